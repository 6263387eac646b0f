"""The inventory: what it takes, what it refuses by name, and whom a word means."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineside.fleet.inventory import Inventory, Station, Tls, load_inventory

TEXT = """
[tls]
ca = "keys/ca.pem"

[[stations]]
name = "line-1"
address = "10.0.0.1:50051"
group = "hall-a"
tags = ["press"]

[[stations]]
name = "line-2"
address = "[fe80::1]:50051"
group = "hall-a"
tls = false

[[stations]]
name = "line-3"
address = "unix:/run/lineside/grpc.sock"
tags = ["press", "night"]
tls = { ca = "other.pem", certificate = "ada.pem", key = "ada.key" }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def test_an_inventory_is_read_with_its_files_beside_it(tmp_path: Path) -> None:
    one, two, three = load_inventory(write(tmp_path, TEXT)).stations
    assert (one.name, one.group, one.tags) == ("line-1", "hall-a", ("press",))
    assert one.tls == Tls(ca=tmp_path / "keys/ca.pem")
    assert (two.address, two.tls) == ("[fe80::1]:50051", None)
    assert three.tls == Tls(ca=tmp_path / "other.pem", certificate=tmp_path / "ada.pem", key=tmp_path / "ada.key")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["all"], ["line-1", "line-2", "line-3"]),
        (["hall-a"], ["line-1", "line-2"]),
        (["line-3", "line-1", "line-3"], ["line-1", "line-3"]),
        (["tag:night"], ["line-3"]),
        (["tag:press", "line-2"], ["line-1", "line-2", "line-3"]),
    ],
)
def test_whom_words_mean(tmp_path: Path, words: list[str], names: list[str]) -> None:
    inventory = load_inventory(write(tmp_path, TEXT))
    assert [station.name for station in inventory.select(words)] == names


@pytest.mark.parametrize("word", ["line-9", "tag:day", "", "hall"])
def test_a_word_that_fits_nothing_is_told_what_there_is(tmp_path: Path, word: str) -> None:
    inventory = load_inventory(write(tmp_path, TEXT))
    known = "there are all, hall-a, line-1, line-2, line-3, tag:night, tag:press"
    with pytest.raises(ValueError, match=known):
        inventory.select([word])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"no \[\[stations\]\] table"),
        ("stations = 3", r"no \[\[stations\]\] table"),
        ("[[stations]\n", "is not TOML"),
        ('[[stations]]\nname = "a"', "station 1: address is missing"),
        ('[[stations]]\nname = "a b"\naddress = "h:1"', "name is 'a b', expected 1 to 64 letters"),
        ('[[stations]]\nname = "a"\naddress = "h"', "address of a is 'h', expected HOST:PORT"),
        ('[[stations]]\nname = "a"\naddress = 5', "address is 5, expected text"),
        ('[[stations]]\nname = "a"\naddress = "h:1"\nport = 2', "unknown key port; possible here: name, address"),
        ('[[stations]]\nname = "a"\naddress = "h:1"\ntags = "x"', "tags is 'x', expected a list"),
        ('[[stations]]\nname = "a"\naddress = "h:1"\ngroup = "a"', "'a' names a station and a group"),
        ('[[stations]]\nname = "all"\naddress = "h:1"', "'all' names a station and a group"),
        ('[tls]\nkey = "k"\n[[stations]]\nname = "a"\naddress = "h:1"', "certificate and key belong together"),
        ('[[stations]]\nname = "a"\naddress = "h:1"\ntls = 3', "tls is 3, expected a table"),
        ('[[stations]]\nname = "a"\naddress = "h:1"\n' * 2, "name 'a' is there twice"),
        (
            '[[stations]]\nname = "a"\naddress = "h:1"\n[[stations]]\nname = "b"\naddress = "h:1"',
            "address 'h:1' is there twice",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        load_inventory(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_inventory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no inventory at .*fleet\.toml"):
        load_inventory(tmp_path / "fleet.toml")


def test_the_example_of_the_documentation_is_an_inventory(tmp_path: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "fleet.md").read_text()
    (example,) = [part.partition("```")[0] for part in document.split("```toml\n")[1:]]
    inventory = load_inventory(write(tmp_path, example))
    assert inventory.groups == ("hall-a",)
    uncommented = example.replace("# [tls]", "[tls]").replace("# ca", "ca").replace("# cert", "cert")
    assert load_inventory(write(tmp_path, uncommented.replace("# key", "key"))).stations[1].tls is not None


def test_a_station_without_a_group_is_not_meant_by_an_empty_word() -> None:
    inventory = Inventory(stations=(Station(name="a", address="h:1"),))
    with pytest.raises(ValueError, match="no station fits ''"):
        inventory.select([""])
