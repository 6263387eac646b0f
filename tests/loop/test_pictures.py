"""The sheet of frames before and after: a row a model, what is right, wrong and missed in its own colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.pixels import decode
from lineside.synthetic import ORIGINAL
from loop.pictures import FALSE, MISSED, RIGHT, SIDE, before_and_after, first_of_both_kinds
from training.data.synthetic import load

NOTHING = Found(
    boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), classes=np.zeros(0, np.int32), areas=()
)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour)).all(axis=2).any())


def test_defective_and_healthy_frames_take_turns_in_their_order() -> None:
    dataset = load(0, 10, seed=1, setup=ORIGINAL)
    chosen = first_of_both_kinds(dataset, 4)
    assert [sample.name for sample in chosen] == [sample.name for sample in dataset][:4]


def test_right_false_and_missed_are_drawn_each_in_its_colour(tmp_path: Path) -> None:
    dataset = load(0, 2, seed=1, setup=ORIGINAL)
    defective, healthy = dataset.samples
    right = Found(
        boxes=defective.boxes,
        scores=np.ones(len(defective.boxes), np.float32),
        classes=defective.classes,
        areas=tuple(np.array([0], np.int32) for _ in defective.boxes),
    )
    false = Found(
        boxes=as_boxes([(100, 100, 140, 140)]),
        scores=np.ones(1, np.float32),
        classes=np.zeros(1, np.int32),
        areas=(np.array([0], np.int32),),
    )
    path = before_and_after(
        tmp_path / "sheet.png", [defective, healthy], {"before": [NOTHING, false], "after": [right, NOTHING]}
    )
    sheet = decode(path.read_bytes())
    assert sheet.shape[1] == 2 * SIDE
    before, after = sheet[26 : 26 + SIDE], sheet[2 * 26 + SIDE : 2 * 26 + 2 * SIDE]
    assert has(before[:, :SIDE], MISSED)
    assert has(before[:, SIDE:], FALSE)
    assert not has(before, RIGHT)
    assert has(after[:, :SIDE], RIGHT)
    assert not has(after, FALSE)
