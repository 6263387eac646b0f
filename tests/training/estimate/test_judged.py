"""What gestures say of detections and defects, as a table; words that contradict each other settle nothing."""

from __future__ import annotations

import pytest
from support.judged import COMPLETE, CONFIRM, HEALTHY, REJECT, frame, say

from lineside.records import FeedbackEvent, Gesture
from training.estimate.judged import Answer, Defects, Search

TWO = (("dent", 0.9), ("scratch", 0.6))


@pytest.mark.parametrize(
    ("said", "answer", "defects"),
    [
        (CONFIRM, Answer.RIGHT, Defects(found=("dent",))),
        (say(Gesture.POOR_BOX), Answer.RIGHT, Defects(found=("dent",))),
        (REJECT, Answer.WRONG, Defects()),
        (say(Gesture.WRONG_CLASS, class_name="scratch"), Answer.NAMED, Defects(renamed=("scratch",))),
        (say(Gesture.WRONG_CLASS), Answer.NOT_THAT, Defects()),
        (say(Gesture.UNSURE), Answer.UNSURE, Defects()),
        (HEALTHY, Answer.WRONG, Defects()),
        (COMPLETE, Answer.WRONG, Defects()),
    ],
)
def test_each_gesture_has_one_answer(said: FeedbackEvent, answer: Answer, defects: Defects) -> None:
    judged = frame(said)
    assert judged.detections[0].answer is answer
    assert judged.defects == defects
    assert judged.touched


def test_a_frame_nobody_spoke_about_says_nothing() -> None:
    judged = frame(detections=TWO)
    assert [item.answer for item in judged.detections] == [Answer.UNTOUCHED] * 2
    assert not judged.touched
    assert judged.search is Search.NOT


def test_what_is_left_beside_an_answer_is_open() -> None:
    assert [item.answer for item in frame(CONFIRM, detections=TWO).detections] == [Answer.RIGHT, Answer.UNANSWERED]


def test_what_is_left_on_a_complete_frame_is_denied() -> None:
    judged = frame(CONFIRM, COMPLETE, detections=TWO)
    assert [item.answer for item in judged.detections] == [Answer.RIGHT, Answer.WRONG]
    assert judged.search is Search.SEARCHED


def test_operators_who_disagree_leave_it_disputed() -> None:
    judged = frame(CONFIRM, say(Gesture.REJECT, operator="bob"))
    assert judged.detections[0].answer is Answer.DISPUTED
    assert judged.detections[0].operators == 2
    assert not judged.defects.known


def test_a_retracted_answer_is_none() -> None:
    later = say(Gesture.RETRACT, index=2)
    assert not frame(CONFIRM, later).touched


def test_a_healthy_frame_with_a_confirmed_defect_settles_neither() -> None:
    judged = frame(CONFIRM, say(Gesture.REJECT, 1), HEALTHY, detections=TWO)
    assert [item.answer for item in judged.detections] == [Answer.CONTRADICTED, Answer.WRONG]
    assert judged.search is Search.OPEN
    assert not judged.defects.known


def test_a_healthy_frame_with_a_marked_defect_leaves_the_mark_open() -> None:
    judged = frame(say(Gesture.MISSED, class_name="dent", place=4), HEALTHY, detections=())
    assert judged.defects == Defects(open_missed=("dent",))


def test_one_that_says_healthy_and_one_that_says_complete_have_not_searched_it_for_certain() -> None:
    judged = frame(HEALTHY, say(Gesture.FRAME_COMPLETE, None, operator="bob"), detections=())
    assert judged.search is Search.OPEN


def test_a_defect_is_counted_once_whoever_marks_it_and_however_often_it_is_raised() -> None:
    twice = frame(CONFIRM, say(Gesture.CONFIRM, 1), detections=(("dent", 0.9), ("dent", 0.8)), places=(0, 0))
    assert twice.defects.found == ("dent",)
    assert twice.count(Answer.RIGHT) == 2
    drawn = frame(
        say(Gesture.MISSED, class_name="dent", place=4),
        say(Gesture.MISSED, class_name="dent", place=4, operator="bob"),
        say(Gesture.MISSED, class_name="scratch", place=4, index=1),
        COMPLETE,
        detections=(),
    )
    # Two people's dents at one place are one; a scratch there is another defect.
    assert sorted(drawn.defects.missed) == ["dent", "scratch"]
    known = frame(CONFIRM, say(Gesture.MISSED, class_name="dent", place=0, operator="bob"), COMPLETE)
    assert known.defects == Defects(found=("dent",))


def test_a_part_without_an_id_is_its_frame() -> None:
    assert frame(part="").part == "frame frame"
    assert frame(part="7").part == "line-1/7"


def test_the_verdict_and_not_the_detections_say_whether_it_was_rejected() -> None:
    assert not frame(verdict="PASS").rejected
    assert frame().rejected
