"""The station.toml that is written is the one that was meant, read by another parser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_config
from loop.demo import _station_config, port_is_free
from loop.display import LineDisplay
from loop.station import StationProcess, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

names = st.text("abcdefgh_-", min_size=1, max_size=8)
values = st.one_of(
    st.text(max_size=20),
    st.integers(-(1 << 40), 1 << 40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.integers(0, 9), max_size=3),
    st.lists(st.text(max_size=5), max_size=3),
)
sections = st.dictionaries(names, values, max_size=4)
documents = st.dictionaries(
    names, st.one_of(values, sections, st.lists(sections.filter(bool), min_size=1, max_size=3)), max_size=5
)


@given(documents)
def test_any_document_comes_back_as_it_was(document: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(document)) == document


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="expected text"):
        to_toml({"a": object()})


def test_the_demo_station_is_one_the_station_accepts(tmp_path: Path) -> None:
    config = {"station": {"name": "demo"}, **_station_config(tmp_path / "light.json", 0, LineDisplay(lambda _: None))}
    path = tmp_path / "station.toml"
    path.write_text(to_toml(config))
    assert load_config(path).cameras[0].name == "line"


def test_a_taken_port_is_told_and_another_one_is_taken() -> None:
    import socket

    said: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not port_is_free(port)
        config = _station_config(Path("light.json"), port, LineDisplay(said.append))
    assert config["panel"]["listen"] == "127.0.0.1:0"
    assert said == [f"Port {port} is taken on this machine; the panel gets another one"]


def test_a_station_that_was_not_started_has_no_address(tmp_path: Path) -> None:
    station = StationProcess(tmp_path, {"station": {"name": "x"}})
    assert not station.running
    assert station.stop() == 0
    with pytest.raises(RuntimeError, match="not started"):
        _ = station.addresses
