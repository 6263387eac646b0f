"""A click becomes labels: the table of gestures, row by row, on a grid small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import detection, event, record

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid
from lineside.gestures import ABSENT, PRESENT, UNKNOWN, AreaLabels, labels_of
from lineside.letterbox import Letterbox
from lineside.records import Gesture, MentoringRecord

GRID = CellGrid(rows=8, columns=8, stride=8)
CLASSES = ("dent", "scratch", "stain")
LETTERBOX = Letterbox(frame_width=64, frame_height=64, model_width=64, model_height=64)
AREAS = [9, 10]


def labels(item: MentoringRecord, *, exclusive: bool = True, recorded: object = GRID) -> AreaLabels:
    return labels_of(
        item,
        head=GRID,
        recorded_head=recorded,
        classes=CLASSES,
        exclusive=exclusive,
        letterbox=LETTERBOX,  # type: ignore[arg-type]
    )


def one(gesture: Gesture, *, exclusive: bool = True, class_name: str | None = None) -> AreaLabels:
    return labels(record([detection(0, AREAS)], [event(gesture, 0, class_name=class_name)]), exclusive=exclusive)


@pytest.mark.parametrize(
    ("gesture", "exclusive", "class_name", "expected"),
    [
        (Gesture.CONFIRM, True, None, [PRESENT, ABSENT, ABSENT]),
        (Gesture.CONFIRM, False, None, [PRESENT, UNKNOWN, UNKNOWN]),
        (Gesture.POOR_BOX, True, None, [PRESENT, ABSENT, ABSENT]),
        (Gesture.REJECT, True, None, [ABSENT, ABSENT, ABSENT]),
        (Gesture.REJECT, False, None, [ABSENT, ABSENT, ABSENT]),
        (Gesture.WRONG_CLASS, True, "stain", [ABSENT, ABSENT, PRESENT]),
        (Gesture.WRONG_CLASS, False, "stain", [ABSENT, UNKNOWN, PRESENT]),
        (Gesture.WRONG_CLASS, True, None, [ABSENT, UNKNOWN, UNKNOWN]),
        (Gesture.UNSURE, True, None, [UNKNOWN, UNKNOWN, UNKNOWN]),
    ],
)
def test_a_gesture_says_this_about_the_detections_areas_and_nothing_about_others(
    gesture: Gesture, exclusive: bool, class_name: str | None, expected: list[int]
) -> None:
    result = one(gesture, exclusive=exclusive, class_name=class_name)
    others = np.setdiff1d(np.arange(GRID.count), AREAS)
    assert result.states[AREAS].tolist() == [expected, expected]
    assert (result.states[others] == UNKNOWN).all()
    assert np.flatnonzero(result.spoken).tolist() == ([] if gesture is Gesture.UNSURE else AREAS)
    assert len(result.drawn_areas) == 0


def test_a_missed_defect_takes_the_areas_the_assigner_gives_and_its_box_may_be_learnt() -> None:
    drawn = event(Gesture.MISSED, class_name="scratch", box=(16, 16, 32, 24), missed_index=1)
    result = labels(record([], [drawn]))
    # Middles at x 20 and 28, y 20: row 2, columns 2 and 3.
    assert np.argwhere(result.states[:, 1] == PRESENT).ravel().tolist() == [18, 19]
    assert result.drawn_areas.tolist() == [18, 19]
    assert result.drawn_boxes.tolist() == [[16, 16, 32, 24]] * 2


def test_a_healthy_frame_is_absent_everywhere() -> None:
    result = labels(record([], [event(Gesture.FRAME_HEALTHY)]))
    assert (result.states == ABSENT).all()
    assert not result.spoken.any()


def test_a_healthy_frame_denies_each_of_its_detections_as_if_it_had_been_rejected() -> None:
    result = labels(record([detection(0, AREAS), detection(1, [20])], [event(Gesture.FRAME_HEALTHY)]))
    assert (result.states == ABSENT).all()
    assert np.flatnonzero(result.spoken).tolist() == [9, 10, 20]


def test_a_healthy_frame_says_nothing_about_a_detection_somebody_was_unsure_of() -> None:
    result = labels(
        record([detection(0, AREAS)], [event(Gesture.UNSURE, 0), event(Gesture.FRAME_HEALTHY, operator="b")])
    )
    assert (result.states[AREAS] == UNKNOWN).all()
    assert not result.spoken.any()


def test_a_complete_frame_is_absent_wherever_nothing_was_said() -> None:
    result = labels(
        record([detection(0, AREAS)], [event(Gesture.CONFIRM, 0), event(Gesture.FRAME_COMPLETE)]), exclusive=False
    )
    assert result.states[AREAS].tolist() == [[PRESENT, UNKNOWN, UNKNOWN]] * 2
    assert (np.delete(result.states, AREAS, axis=0) == ABSENT).all()


@pytest.mark.parametrize("whole", [Gesture.FRAME_COMPLETE, Gesture.FRAME_HEALTHY])
def test_what_operators_were_unsure_or_disagreed_about_stays_unknown(whole: Gesture) -> None:
    item = record(
        [detection(0, [1]), detection(1, [2])],
        [
            event(Gesture.UNSURE, 0),
            event(Gesture.CONFIRM, 1),
            event(Gesture.REJECT, 1, operator="bob"),
            event(whole, sequence=5),
        ],
    )
    result = labels(item)
    assert (result.states[[1, 2]] == UNKNOWN).all()
    assert (np.delete(result.states, [1, 2], axis=0) == ABSENT).all()
    assert len(result.skipped) == 2


def test_a_healthy_frame_with_a_confirmed_defect_teaches_nothing_there() -> None:
    result = labels(record([detection(0, AREAS)], [event(Gesture.CONFIRM, 0), event(Gesture.FRAME_HEALTHY)]))
    assert (result.states[AREAS] == UNKNOWN).all()
    assert any("healthy" in reason for reason in result.skipped)


def test_a_reject_does_not_erase_the_confirmed_defect_beside_it() -> None:
    item = record([detection(0, [5, 6]), detection(1, [6, 7])], [event(Gesture.CONFIRM, 0), event(Gesture.REJECT, 1)])
    assert labels(item).states[[5, 6, 7], 0].tolist() == [PRESENT, PRESENT, ABSENT]


def test_a_class_the_new_head_does_not_have_is_skipped_with_a_reason() -> None:
    result = labels(record([detection(0, AREAS, name="rust")], [event(Gesture.CONFIRM, 0)]))
    assert (result.states == UNKNOWN).all()
    assert "rust" in result.skipped[0]
    # A reject needs no class: nothing is there.
    result = labels(record([detection(0, AREAS, name="rust")], [event(Gesture.REJECT, 0)]))
    assert (result.states[AREAS] == ABSENT).all()


def test_another_head_finds_the_areas_anew_from_the_box() -> None:
    other = AnchorGrid(levels=(AnchorLevel(rows=4, columns=4, stride=16, shapes=((16, 16),)),))
    item = record([detection(0, [2], box=(8, 8, 24, 16))], [event(Gesture.REJECT, 0)])
    # Cells with their middle inside x 8..24, y 8..16: row 1, columns 1 and 2.
    assert np.argwhere(labels(item, recorded=other).states[:, 0] == ABSENT).ravel().tolist() == [9, 10]
    assert np.argwhere(labels(item, recorded=GRID).states[:, 0] == ABSENT).ravel().tolist() == [2]


ANCHORS = AnchorGrid(levels=(AnchorLevel(rows=4, columns=4, stride=16, shapes=((16, 16), (32, 32))),))


def anchor_labels(item: MentoringRecord) -> AreaLabels:
    return labels_of(item, head=ANCHORS, recorded_head=ANCHORS, classes=CLASSES, exclusive=True, letterbox=LETTERBOX)


@pytest.mark.parametrize("gesture", [Gesture.CONFIRM, Gesture.POOR_BOX, Gesture.WRONG_CLASS])
def test_affirming_an_anchor_detection_makes_present_what_training_would_and_leaves_the_rest_open(
    gesture: Gesture,
) -> None:
    # Area 10 is the 16 x 16 anchor at row 1, column 1 (pixels 16..32), area 11 the 32 x 32 one around it (IoU 0.25),
    # area 12 the next 16 x 16 anchor to the right (IoU 0).
    name = "stain" if gesture is Gesture.WRONG_CLASS else None
    clicked = record(
        [detection(0, [10, 11, 12], box=(16, 16, 32, 32))],
        [event(gesture, 0, class_name=name), event(Gesture.FRAME_COMPLETE)],
    )
    result = anchor_labels(clicked)
    kind = 2 if gesture is Gesture.WRONG_CLASS else 0
    assert np.argwhere(result.states == PRESENT).tolist() == [[10, kind]]
    denied = ABSENT if gesture is Gesture.WRONG_CLASS else UNKNOWN
    assert result.states[[11, 12]].tolist() == [[denied, UNKNOWN, UNKNOWN]] * 2
    assert np.flatnonzero(result.spoken).tolist() == [10, 11, 12]


def test_rejecting_an_anchor_detection_denies_every_anchor_that_would_raise_it() -> None:
    result = anchor_labels(record([detection(0, [10, 11, 12], box=(16, 16, 32, 32))], [event(Gesture.REJECT, 0)]))
    assert (result.states[[10, 11, 12]] == ABSENT).all()


def test_an_anchor_detection_whose_box_fits_none_of_its_areas_well_still_teaches_the_nearest() -> None:
    result = anchor_labels(record([detection(0, [10, 13], box=(0, 0, 16, 16))], [event(Gesture.CONFIRM, 0)]))
    assert len(np.argwhere(result.states == PRESENT)) == 1


gestures_about_detections = st.sampled_from([Gesture.CONFIRM, Gesture.REJECT, Gesture.WRONG_CLASS, Gesture.UNSURE])


@given(st.lists(gestures_about_detections, min_size=1, max_size=4))
def test_areas_nobody_clicked_are_always_unknown(gestures: list[Gesture]) -> None:
    found = [detection(number, [number * 3, number * 3 + 1]) for number in range(len(gestures) + 1)]
    events = [event(gesture, number) for number, gesture in enumerate(gestures)]
    result = labels(record(found, events))
    clicked = np.concatenate([item.areas for item in found[:-1]])
    assert (np.delete(result.states, clicked, axis=0) == UNKNOWN).all()
