"""Command lines of the loop: what they refuse, in one line, before anything is started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import loop as benchmark
from loop import cli


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seed", "-1"], "expected 0 or more"),
        (["--panel-port", "70000"], "expected 0 to 65535"),
    ],
)
def test_the_demo_refuses_impossible_numbers(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--out", str(tmp_path / "new")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_demo_never_writes_into_a_folder_that_holds_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("precious")
    assert cli.main(["--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_default_folder_is_always_a_new_one(tmp_path: Path) -> None:
    wanted = tmp_path / "demo"
    assert cli._new_folder(wanted) == wanted
    wanted.mkdir()
    (tmp_path / "demo-2").mkdir()
    assert cli._new_folder(wanted) == tmp_path / "demo-3"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "cats"], "KIND"),
        (["--data", "coco:labels.json"], "expected one of deeppcb"),
        (["--data", "synthetic", "--seeds", "0"], "--seeds is 0"),
        (["--data", "synthetic", "--error-rate", "2"], "error_rate is 2"),
        (["--data", "synthetic", "--seconds-tap", "-1"], "pace.tap is -1"),
        (["--data", "deeppcb:nowhere"], "nowhere"),
    ],
)
def test_the_benchmark_says_what_is_wrong_in_one_line(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main([*arguments, "--json", str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "x.json").exists()


def test_the_benchmark_wants_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    given = ["--data", "synthetic", "--json", str(tmp_path / "x.json"), "--out", str(tmp_path)]
    assert benchmark.main(given) == 2
    assert "is not empty" in capsys.readouterr().err


def test_steps_are_given_by_recipe() -> None:
    assert benchmark._steps("baseline=100,full=20") == {"baseline": 100, "full": 20}
