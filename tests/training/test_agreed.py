"""Confirmed boxes are noted in every lesson, and taught where a recipe asks for it."""

from __future__ import annotations

import numpy as np
import pytest
from support.events import detection, event, record
from support.lessons import tiny

from lineside.assign import assign
from lineside.boxes import as_boxes
from lineside.records import FeedbackEvent, Gesture, MentoringRecord
from training.data.agreed import with_agreed_boxes
from training.data.lesson import teach
from training.data.prepared import Mentored

CONFIG = tiny()
HEAD = CONFIG.head_for(64, 64)
BOX = (20.0, 18.0, 34.0, 30.0)
AREAS = assign(HEAD, as_boxes([BOX])).areas


def taught_by(*events: FeedbackEvent, head: str = "anchors", size: tuple[int, int] = (64, 64)) -> Mentored:
    config = tiny(head)
    shown: MentoringRecord = record([detection(0, AREAS.tolist(), name="dark", box=BOX)], events, size=size)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    item, _ = teach(shown, pixels, config, recorded_head=HEAD if head == "anchors" else None)
    return item


@pytest.mark.parametrize(
    ("gesture", "class_name", "agrees"),
    [
        (Gesture.CONFIRM, None, True),
        (Gesture.WRONG_CLASS, "bright", True),
        (Gesture.WRONG_CLASS, None, False),
        (Gesture.POOR_BOX, None, False),
        (Gesture.REJECT, None, False),
        (Gesture.UNSURE, None, False),
    ],
)
def test_who_affirms_the_box_and_who_does_not(gesture: Gesture, class_name: str | None, agrees: bool) -> None:
    item = taught_by(event(gesture, 0, class_name=class_name))
    assert not item.taught.any()
    (asked,) = with_agreed_boxes([item])
    assert np.flatnonzero(asked.taught).tolist() == (AREAS.tolist() if agrees else [])
    assert (asked.targets[asked.taught] == np.float32(BOX)).all()


def test_operators_who_disagree_affirm_nothing() -> None:
    item = taught_by(event(Gesture.CONFIRM, 0), event(Gesture.REJECT, 0, operator="bob", sequence=2))
    assert item.agreed is None


def test_the_box_lies_in_the_networks_pixels() -> None:
    shown = record(
        [detection(0, AREAS.tolist(), name="dark", box=(40.0, 36.0, 68.0, 60.0))],
        [event(Gesture.CONFIRM, 0)],
        size=(128, 128),
    )
    item, _ = teach(shown, np.zeros((128, 128), np.uint8), CONFIG, recorded_head=HEAD)
    assert item.agreed is not None
    assert (item.targets[item.agreed] == np.float32(BOX)).all()


def test_a_drawn_box_keeps_its_place() -> None:
    drawn = (21.0, 18.0, 35.0, 30.0)
    item = taught_by(event(Gesture.CONFIRM, 0), event(Gesture.MISSED, class_name="dark", box=drawn, missed_index=1))
    (asked,) = with_agreed_boxes([item])
    assert item.taught.any()
    assert (asked.targets[item.taught] == np.float32(drawn)).all()


def test_cells_have_no_boxes_to_be_taught() -> None:
    assert taught_by(event(Gesture.CONFIRM, 0), head="cells").agreed is None
