"""The command as people call it: exit codes, one line for what is wrong, and what is told while it works."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import packages

from lineside.fleet.cli import main
from lineside.fleet.telling import Lines
from loop.ports import steady_address
from loop.station import to_toml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two stations that are down."""
    path = tmp_path / "fleet.toml"
    path.write_text(to_toml({"stations": [{"name": f"line-{n}", "address": steady_address()} for n in (1, 2)]}))
    return path


def test_stations_that_are_down_are_told_and_the_exit_code_is_three(
    tmp_path: Path, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = packages.make_anchor_package(tmp_path / "one").folder
    assert main(["status", "--fleet", str(fleet), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["reachable"], [item["reachable"] for item in document["stations"]]) == (0, [False, False])
    assert main(["push", str(package), "--fleet", str(fleet), "--to", "all", "--patience", "1"]) == 3
    said = capsys.readouterr()
    assert said.out.count("push unreachable: no station answers at 127.0.0.1") == 2
    assert "2 stations are not done; the same command goes on" in said.out
    assert "is tried again" in said.err
    # Named canaries are waited for; nothing else is begun, and the journal is there to go on with.
    rollout = ["rollout", str(package), "--fleet", str(fleet), "--to", "all", "--canary", "line-2", "--patience", "1"]
    assert main(rollout) == 3
    assert "line-1  not begun" in capsys.readouterr().out
    (journal,) = (tmp_path / "rollouts").glob("tiles-1.0.0-*.jsonl")
    lines = [json.loads(text) for text in journal.read_text().splitlines()]
    assert lines[0]["plan"]["canaries"] == ["line-2"]
    assert [(line["station"], line["outcome"]) for line in lines[1:]] == [("line-2", "unreachable")]
    # Another roll-out of the same package is not mistaken for this one.
    assert main([*rollout, "--frames", "7"]) == 2
    assert "with other stations or limits" in capsys.readouterr().err
    assert main([*rollout, "--dry-run"]) == 0
    assert "line-2  does not answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "--to", "line-9"], "no station fits 'line-9'; there are all, line-1, line-2"),
        (["push", "nowhere", "--to", "all"], "nowhere"),
        (["rollout", "nowhere", "--to", "all", "--canary", "1", "--most-flips", "2"], "nowhere"),
    ],
)
def test_calling_it_wrongly_is_one_line_and_exit_code_two(
    fleet: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--fleet", str(fleet)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lineside deploy {arguments[0]}: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_number_of_canaries_needs_so_many_that_answer(
    tmp_path: Path, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = packages.make_anchor_package(tmp_path / "one").folder
    assert main(["rollout", str(package), "--fleet", str(fleet), "--to", "all", "--canary", "1"]) == 2
    assert "1 canaries are wanted and 0 of 2 stations answer" in capsys.readouterr().err


def test_at_a_terminal_every_station_has_its_line(tmp_path: Path, fleet: Path) -> None:
    package = packages.make_anchor_package(tmp_path / "one").folder
    master, slave = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(master, 1 << 16):
                seen.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-m", "lineside", "deploy", "push", str(package), "--fleet", str(fleet)]
    done = subprocess.run(
        [*command, "--to", "all", "--patience", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=slave,
        check=False,
        text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(slave)
    reader.join(30)
    os.close(master)
    shown = b"".join(seen).decode(errors="replace")
    assert done.returncode == 3
    assert "line-1" in shown
    assert "line-2" in shown


def test_in_a_file_the_same_step_is_not_told_every_second_and_nothing_steers_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines()
    lines.words("line-1", "watch: 1 of 9 frames")
    lines.words("line-1", "watch: 2 of 9 frames")
    lines.words("line-2", "push: \x1b[2J")
    lines.progress("line-2", 0, 0)
    lines.words("line-1", "confirm: confirmed")
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "line-1  watch: 1 of 9 frames",
        "line-2  push: \ufffd[2J",
        "line-1  confirm: confirmed",
    ]
