"""Curves: a line a report in history.jsonl, and event files that TensorBoard itself reads back."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from support.lessons import lessons, quick, squares, tiny

from training.adapt.dann import DannConfig
from training.extras import MissingExtraError
from training.floor import FloorConfig
from training.loop import RunOptions, train
from training.progress import Progress

STEPS = 60

# One worker runs them all, so that what they share is made once.
pytestmark = pytest.mark.xdist_group("curves")


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def killed_and_resumed(folder: Path) -> Path:
    """A run whose last state is of step 30 when it dies after its report of step 40; then it goes on to the end."""
    config = quick(
        tiny(),
        steps=STEPS,
        new_labels="mentored",
        dann=DannConfig(),
        floor=FloorConfig(every=STEPS, share=0.25),
    )
    board = folder / "board"

    def at_40(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 40:
            shutil.copy(folder / "state.safetensors", folder / "kept")

    def run(options: RunOptions) -> None:
        train(config, squares(16), lessons(config.detector), folder, on_progress=at_40, options=options)

    run(RunOptions(save_every=30, stop_after=45, tensorboard=board))
    shutil.move(folder / "kept", folder / "state.safetensors")
    # A power cut may leave half a line.
    with open(folder / "history.jsonl", "a", encoding="utf-8") as file:
        file.write('{"stage": "trai')
    run(RunOptions(save_every=30, resume=True, tensorboard=board))
    return folder


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return killed_and_resumed(tmp_path_factory.mktemp("resumed"))


def test_the_history_of_a_killed_run_has_each_step_once(resumed: Path) -> None:
    assert [line["done"] for line in history(resumed)] == [20, 40, 60]


def test_tensorboard_reads_the_curves_of_the_history(resumed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(resumed / "board"))
    board.Reload()
    names = {"loss/total", "loss/original", "loss/new", "loss/dann", "learning_rate", "steps_per_second"}
    assert set(board.Tags()["scalars"]) == {*names, "original/map_33"}
    lines = history(resumed)

    def points(name: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in board.Scalars(name)]

    for name, key in (("total", "loss"), ("original", "loss_original"), ("new", "loss_new")):
        assert points(f"loss/{name}") == [(line["done"], pytest.approx(line[key], rel=1e-6)) for line in lines]
    assert points("original/map_33") == [(STEPS, pytest.approx(lines[-1]["watched"]))]
    assert board.Tensors("configuration/text_summary")


def test_a_missing_library_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"lineside\[tensorboard\]"):
        train(quick(tiny()), squares(), None, tmp_path, options=RunOptions(tensorboard=tmp_path / "board"))
    assert not (tmp_path / "board").exists()
    assert not (tmp_path / "checkpoint.safetensors").exists()
