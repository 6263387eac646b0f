"""What each gesture asks of a candidate; nothing is asked where operators were unsure or disagreed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.events import detection, event, record

from lineside.records import BoxTuple, FeedbackEvent, Gesture, MentoringRecord
from lineside.replay.findings import Group, findings_of
from lineside.replay.judging import CONTRADICTION, DISPUTED, UNSURE, Answer, FrameResult, Truth, expectations_of, judge
from lineside.replay.matching import CandidateDetection

HERE: BoxTuple = (0, 0, 8, 8)
THERE: BoxTuple = (30, 30, 40, 40)


def said(name: str = "dent", box: BoxTuple = HERE) -> CandidateDetection:
    return CandidateDetection(class_name=name, score=0.9, box=box)


def held(kept: MentoringRecord, *detections: CandidateDetection) -> FrameResult:
    return judge(kept, expectations_of(kept), detections)


def answers(events: Sequence[FeedbackEvent], *detections: CandidateDetection) -> list[Answer]:
    return [result.answer for result in held(record([detection(0, [1])], events), *detections).results]


MISSED = event(Gesture.MISSED, class_name="dent", box=HERE, missed_index=1)


@pytest.mark.parametrize(
    ("word", "detections", "expected"),
    [
        (event(Gesture.CONFIRM, 0), [said()], Answer.FOUND),
        (event(Gesture.CONFIRM, 0), [said("scratch")], Answer.RENAMED),
        (event(Gesture.CONFIRM, 0), [said(box=THERE)], Answer.LOST),
        (event(Gesture.POOR_BOX, 0), [said(box=(2, 2, 4, 4))], Answer.FOUND),
        (event(Gesture.WRONG_CLASS, 0, class_name="scratch"), [said("scratch")], Answer.FOUND),
        (event(Gesture.WRONG_CLASS, 0, class_name="scratch"), [said("dent")], Answer.RENAMED),
        (event(Gesture.WRONG_CLASS, 0, class_name="scratch"), [], Answer.LOST),
        (MISSED, [said()], Answer.FOUND),
        (MISSED, [], Answer.LOST),
        (event(Gesture.REJECT, 0), [], Answer.SILENT),
        (event(Gesture.REJECT, 0), [said()], Answer.FIRES),
        (event(Gesture.REJECT, 0), [said("scratch")], Answer.FIRES),
        (event(Gesture.WRONG_CLASS, 0), [said()], Answer.FIRES),
        (event(Gesture.WRONG_CLASS, 0), [said("scratch")], Answer.SILENT),
        (event(Gesture.FRAME_HEALTHY), [], Answer.SILENT),
        (event(Gesture.FRAME_HEALTHY), [said(box=THERE)], Answer.FIRES),
        (event(Gesture.FRAME_COMPLETE), [said(box=THERE)], Answer.FIRES),
    ],
)
def test_a_gesture_asks_what_it_said(
    word: FeedbackEvent, detections: list[CandidateDetection], expected: Answer
) -> None:
    assert answers([word], *detections) == [expected]


def test_a_confirmed_defect_is_not_held_against_a_reject_beside_it() -> None:
    kept = record(
        [detection(0, [1]), detection(1, [2], box=(0, 0, 8, 9))],
        [event(Gesture.CONFIRM, 0), event(Gesture.REJECT, 1)],
    )
    assert [result.answer for result in held(kept, said()).results] == [Answer.FOUND, Answer.SILENT]


def test_on_a_complete_frame_what_was_judged_is_no_alarm() -> None:
    word = [event(Gesture.CONFIRM, 0), event(Gesture.FRAME_COMPLETE, sequence=2)]
    assert sorted(item.value for item in answers(word, said())) == ["found", "silent"]


def test_disputed_and_unsure_are_counted_and_excuse_what_fires_there() -> None:
    disputed = [event(Gesture.CONFIRM, 0, operator="ada"), event(Gesture.REJECT, 0, operator="bo", sequence=2)]
    kept = record([detection(0, [1])], [*disputed, event(Gesture.FRAME_HEALTHY, sequence=3)])
    assert expectations_of(kept).set_aside == (DISPUTED,)
    assert [result.answer for result in held(kept, said()).results] == [Answer.SILENT]
    assert held(kept).truth is Truth.OPEN
    assert expectations_of(record([detection(0, [1])], [event(Gesture.UNSURE, 0)])).set_aside == (UNSURE,)


def test_a_healthy_frame_with_a_confirmed_defect_is_held_against_nobody() -> None:
    kept = record([detection(0, [1])], [event(Gesture.CONFIRM, 0), event(Gesture.FRAME_HEALTHY, sequence=2)])
    asked = expectations_of(kept)
    assert asked.asked == ()
    assert asked.set_aside == (CONTRADICTION, CONTRADICTION)


def test_verdicts_change_for_better_and_for_worse_and_the_worst_is_first() -> None:
    defective = record([detection(0, [1])], [event(Gesture.CONFIRM, 0)])
    sound = record([detection(0, [1])], [event(Gesture.FRAME_HEALTHY)])
    found = findings_of([held(sound), held(defective)])
    assert [finding.group for finding in found] == [Group.ESCAPE, Group.FLIP, Group.FLIP]
    assert found[1].text == "REJECT becomes PASS; the part is defective: worse"
    assert found[2].text == "REJECT becomes PASS; the part is sound: better"
    assert held(defective, said()).flipped is False
