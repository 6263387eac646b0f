"""A swap that is cut short anywhere, by kill -9 or by the power: a model serves that was allowed to, and what was
acknowledged holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import packages
from support.lossy_disk import disk, skip_without_fuse, why_no_disk

from lineside.v1 import model_pb2

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("power-cut")]

VICTIM = Path(__file__).resolve().parents[1] / "support" / "swap_victim.py"
MOST_STEPS = 80
SCORES = {"1.0.0": packages.expected_score(0.0), "1.1.0": packages.expected_score(0.1)}


class Victims:
    """Processes of swap_victim.py, one for each command."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        said = self._process.stdout.readline().strip()
        assert "failed:" not in said, said
        return said

    def look(self, folder: Path) -> dict[str, Any]:
        return dict(json.loads(self("look", folder)))


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    folder = tmp_path_factory.mktemp("packages")
    made = [
        packages.make_anchor_package(folder / "one"),
        packages.make_anchor_package(folder / "two", version="1.1.0", bias=0.1),
    ]
    command = [sys.executable, str(VICTIM), *(str(package.folder) for package in made)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Victims(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def check(seen: dict[str, Any], acknowledged: list[str]) -> None:
    """What a start after the cut has to find."""
    state_of_two = seen["states"].get("1.1.0")
    assert seen["serving"] in SCORES
    assert seen["score"] == pytest.approx(SCORES[seen["serving"]], abs=1e-5)
    assert model_pb2.MODEL_STATE_REFUSED not in seen["states"].values()
    assert seen["broken_links"] == []
    if "activated" in acknowledged and "confirmed" not in acknowledged:
        # The trial goes on, and its way back is there. A confirmation may have been written and not told.
        assert (seen["serving"], seen["way_back"]) == ("1.1.0", True)
    if "rolled-back" in acknowledged:
        assert (seen["serving"], state_of_two) == ("1.0.0", model_pb2.MODEL_STATE_RETIRED)
    elif "confirmed" in acknowledged and seen["serving"] == "1.1.0":
        assert state_of_two == model_pb2.MODEL_STATE_CONFIRMED
    if "pushed" in acknowledged:
        assert state_of_two is not None
    assert seen["frozen"] or "frozen" not in acknowledged
    deeds = {"pushed": "push", "activated": "activate", "confirmed": "confirm", "rolled-back": "rollback"}
    assert {deeds[word] for word in acknowledged if word in deeds} <= set(seen["audit"])
    # Nothing half of a push lies about, unless it can be continued.
    assert [name for name in seen["staging"] if not name.endswith(".begin")] == []


def every_step(
    victims: Victims, begin: Path, folder_of: Callable[[int], Path], cut: Callable[[], None], command: str = "live"
) -> list[str]:
    """Cuts before each step in turn until nothing is left to cut; the words acknowledged last in each life."""
    told = []
    for step in range(1, MOST_STEPS):
        folder = folder_of(step)
        copy_durably(begin, folder)
        acknowledged = victims(command, folder, step).split()
        cut()
        check(victims.look(folder), acknowledged)
        told.append(acknowledged[-1] if acknowledged else "nothing")
        if told[-1] == "end":
            return told
    raise AssertionError(f"still something to cut after {MOST_STEPS} steps")


def copy_durably(source: Path, target: Path) -> None:
    """Copies a folder, all of it on the disk afterwards."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*"), target.parent]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


@pytest.fixture(scope="module")
def begun(victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a station whose first model is confirmed."""
    folder = tmp_path_factory.mktemp("begun") / "data"
    folder.mkdir()
    victims("begin", folder)
    seen = victims.look(folder)
    assert (seen["serving"], seen["states"]) == ("1.0.0", {"1.0.0": model_pb2.MODEL_STATE_CONFIRMED})
    return folder


def test_a_swap_cut_short_at_any_step_leaves_what_was_acknowledged(
    tmp_path: Path, victims: Victims, begun: Path
) -> None:
    """Killed before each step in turn, and, where this machine can mount such a disk, with the power gone too."""
    if why_no_disk(tmp_path):
        told = every_step(victims, begun, lambda step: tmp_path / str(step), lambda: None)
    else:
        with disk(tmp_path / "mounted", 3) as opened:
            told = every_step(victims, begun, lambda step: opened.folder / str(step), opened.cut)
    # It was cut within every part of the way.
    assert list(dict.fromkeys(told)) == [
        "nothing", "pushed", "activated", "confirmed", "rolled-back", "end",
    ]  # fmt: skip


def test_leaving_out_the_fsyncs_shows(tmp_path: Path, victims: Victims, begun: Path) -> None:
    skip_without_fuse(tmp_path)
    with disk(tmp_path / "mounted", 3) as opened, pytest.raises(AssertionError):
        every_step(victims, begun, lambda step: opened.folder / str(step), opened.cut, "careless")
