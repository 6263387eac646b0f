"""Several confirmed boxes on one defect are one lesson; by themselves they teach as before."""

from __future__ import annotations

import dataclasses

import numpy as np
from support.events import detection, event, record
from support.lessons import tiny

from lineside.assign import assign
from lineside.boxes import as_boxes
from lineside.records import BoxTuple, FeedbackEvent, Gesture, MentoringRecord, RecordedDetection
from training.data.agreed import with_agreed_boxes
from training.data.doubled import second_boxes, without_doubled
from training.data.lesson import teach
from training.data.prepared import Mentored
from training.data.surroundings import with_surroundings
from training.losses.classification import ABSENT, PRESENT, UNKNOWN

CONFIG = tiny()
HEAD = CONFIG.head_for(64, 64)
BEST, BESIDE, FAR = (20.0, 18.0, 34.0, 30.0), (28.0, 18.0, 42.0, 30.0), (46.0, 46.0, 60.0, 58.0)


def raised(number: int, box: BoxTuple, score: float, name: str = "dark") -> RecordedDetection:
    areas = assign(HEAD, as_boxes([box])).areas.tolist()
    return dataclasses.replace(detection(number, areas, name=name, box=box), score=score)


def shown(*events: FeedbackEvent) -> MentoringRecord:
    return record([raised(0, BESIDE, 0.6), raised(1, BEST, 0.8), raised(2, FAR, 0.5)], events, size=(64, 64))


def lesson(item: MentoringRecord) -> Mentored:
    return teach(item, np.zeros((64, 64), np.uint8), CONFIG, recorded_head=HEAD)[0]


def areas(box: BoxTuple) -> set[int]:
    return set(assign(HEAD, as_boxes([box])).areas.tolist())


def present(item: Mentored) -> set[int]:
    return set(np.flatnonzero((item.states == PRESENT).any(axis=1)).tolist())


ALL = tuple(event(Gesture.CONFIRM, number, sequence=number + 1) for number in range(3))


def test_the_surest_of_overlapping_confirmed_detections_is_the_defects_box() -> None:
    assert {name.rpartition("/")[2] for name in second_boxes(shown(*ALL))} == {"0"}


def test_a_detection_of_another_class_or_a_rejected_one_is_no_second_box() -> None:
    other = record([raised(0, BESIDE, 0.6, "bright"), raised(1, BEST, 0.8)], ALL[:2], size=(64, 64))
    assert not second_boxes(other)
    assert not second_boxes(shown(event(Gesture.REJECT, 0), ALL[1]))
    # What is called the same class by its correction is of one defect again.
    named = record(
        [raised(0, BESIDE, 0.6, "bright"), raised(1, BEST, 0.8)],
        [event(Gesture.WRONG_CLASS, 0, class_name="dark"), ALL[1]],
        size=(64, 64),
    )
    assert len(second_boxes(named)) == 1


def test_a_poor_box_says_nothing_of_the_place_even_alone() -> None:
    assert len(second_boxes(shown(event(Gesture.POOR_BOX, 0)))) == 1


def test_as_answers_all_of_them_teach_and_only_a_recipe_that_asks_leaves_some_out() -> None:
    item = lesson(shown(*ALL))
    assert present(item) >= areas(BEST) | areas(BESIDE) | areas(FAR)
    (one,) = without_doubled([item])
    assert present(one) == areas(BEST) | areas(FAR)
    only_second = areas(BESIDE) - areas(BEST)
    assert only_second
    assert (one.states[list(only_second)] == UNKNOWN).all()
    assert not one.spoken[list(only_second)].any()


def test_the_box_taught_is_the_surest_ones() -> None:
    (one,) = with_agreed_boxes(without_doubled([lesson(shown(*ALL))]))
    taught = {tuple(float(edge) for edge in box) for box in one.targets[one.taught]}
    assert taught == {BEST, FAR}


def test_beside_the_defect_a_second_box_may_become_background() -> None:
    (one,) = with_surroundings(without_doubled([lesson(shown(*ALL))]), HEAD)
    beside = [area for area in areas(BESIDE) - areas(BEST) if one.states[area, 0] == ABSENT]
    (kept,) = with_surroundings([lesson(shown(*ALL))], HEAD)
    assert not [area for area in beside if kept.states[area, 0] == ABSENT]


def test_a_frame_without_second_boxes_is_left_as_it_is() -> None:
    item = lesson(shown(ALL[1], ALL[2]))
    assert item.doubled is None
    assert without_doubled([item])[0] is item


def test_in_a_complete_frame_a_second_box_is_not_background_by_that() -> None:
    (one,) = without_doubled([lesson(shown(*ALL, event(Gesture.FRAME_COMPLETE, sequence=9)))])
    assert (one.states[list(areas(BESIDE) - areas(BEST))] == UNKNOWN).all()
    assert (one.states == ABSENT).all(axis=1).sum() > HEAD.count // 2
