"""What a simulated operator says, from ground truth: the table of answers, chance, and the seconds it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.boxes import as_boxes
from lineside.records import ABOUT_DETECTION, ABOUT_FRAME, Gesture
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.simulation.judging import (
    Character,
    Habit,
    Pace,
    Said,
    annotation_seconds,
    feedback_of,
    judge,
    missed,
    right_answer,
    tapped,
)
from training.simulation.truth import Truth, usual_sides

DEFECT = (10.0, 10.0, 30.0, 30.0)
TRUTH = Truth(boxes=as_boxes([DEFECT]), classes=("scratch",))
HEALTHY = Truth(boxes=as_boxes([]), classes=())


def detection(
    box: tuple[float, float, float, float], class_name: str = "scratch", number: int = 0
) -> inspection_pb2.Detection:
    x1, y1, x2, y2 = box
    return inspection_pb2.Detection(
        detection_id=f"frame/{number}",
        class_name=class_name,
        score=0.9,
        box=mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2),
        areas=[number],
    )


def shown(*detections: inspection_pb2.Detection) -> inspection_pb2.InspectionResult:
    return inspection_pb2.InspectionResult(frame_id="frame", width=100, height=100, detections=detections)


def say(result: inspection_pb2.InspectionResult, truth: Truth, character: Character, seed: int = 0) -> tuple[Said, ...]:
    return judge(result, truth, character, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("box", "class_name", "expected"),
    [
        (DEFECT, "scratch", (Gesture.CONFIRM, None)),
        # 20 x 10 of 20 x 20: IoU 0.5.
        ((10, 10, 30, 20), "scratch", (Gesture.CONFIRM, None)),
        # 20 x 5 of 20 x 20: IoU 0.25.
        ((10, 10, 30, 15), "scratch", (Gesture.POOR_BOX, None)),
        # 20 x 1 of 20 x 20: IoU 0.05.
        ((10, 10, 30, 11), "scratch", (Gesture.REJECT, None)),
        (DEFECT, "dent", (Gesture.WRONG_CLASS, "scratch")),
        # Another class that only touches is a false alarm beside the defect.
        ((10, 10, 30, 15), "dent", (Gesture.REJECT, None)),
        ((60, 60, 80, 80), "scratch", (Gesture.REJECT, None)),
    ],
)
def test_the_right_answer_follows_from_class_and_overlap(
    box: tuple[float, float, float, float], class_name: str, expected: tuple[Gesture, str | None]
) -> None:
    assert right_answer(detection(box, class_name), TRUTH) == expected


def test_nothing_is_right_about_a_healthy_part() -> None:
    assert right_answer(detection(DEFECT), HEALTHY) == (Gesture.REJECT, None)


def test_one_defect_of_each_class_at_the_same_place_is_judged_by_class() -> None:
    both = Truth(boxes=as_boxes([DEFECT, DEFECT]), classes=("dent", "scratch"))
    assert right_answer(detection(DEFECT, "dent"), both) == (Gesture.CONFIRM, None)
    assert right_answer(detection(DEFECT, "stain"), both)[0] is Gesture.WRONG_CLASS


def test_an_operator_who_answers_says_one_thing_about_each_detection_and_nothing_else() -> None:
    said = say(shown(detection(DEFECT), detection((60, 60, 80, 80), number=1)), TRUTH, Character())
    assert [(answer.gesture, answer.detection_id) for answer in said] == [
        (Gesture.CONFIRM, "frame/0"),
        (Gesture.REJECT, "frame/1"),
    ]
    assert sum(answer.seconds for answer in said) == 3.0
    assert say(shown(), TRUTH, Character()) == ()


def test_healthy_parts_are_flagged_by_who_knows_them() -> None:
    character = Character(habit=Habit.FLAGS_HEALTHY)
    assert [answer.gesture for answer in say(shown(), HEALTHY, character)] == [Gesture.FRAME_HEALTHY]
    assert say(shown(), TRUTH, character) == ()


def test_who_completes_a_frame_marks_what_was_missed_and_pays_for_the_search() -> None:
    truth = Truth(boxes=as_boxes([DEFECT, (50, 50, 70, 70)]), classes=("scratch", "dent"))
    said = say(shown(detection(DEFECT)), truth, Character(habit=Habit.COMPLETES))
    assert [answer.gesture for answer in said] == [Gesture.CONFIRM, Gesture.MISSED, Gesture.FRAME_COMPLETE]
    assert said[1].class_name == "dent"
    assert said[1].missed_index == 1
    # A click, a tap, a search, and the click that says so.
    assert [answer.seconds for answer in said] == [1.5, 4.0, 6.5]
    drawn = say(shown(detection(DEFECT)), truth, Character(habit=Habit.COMPLETES, draws=True))
    assert drawn[1].box == (50, 50, 70, 70)
    assert drawn[1].seconds == 12.0
    healthy = say(shown(detection(DEFECT)), HEALTHY, Character(habit=Habit.COMPLETES))
    assert [(item.gesture, item.seconds) for item in healthy] == [(Gesture.FRAME_HEALTHY, 6.5)]


def test_one_press_on_a_part_known_to_be_healthy_stands_for_all_its_false_alarms() -> None:
    result = shown(detection(DEFECT), detection((60, 60, 80, 80), number=1))
    said = say(result, HEALTHY, Character(habit=Habit.FLAGS_HEALTHY))
    assert [(item.gesture, item.seconds) for item in said] == [(Gesture.FRAME_HEALTHY, 1.5)]


def test_who_has_two_buttons_denies_a_wrong_class_without_naming_the_right_one() -> None:
    said = say(shown(detection(DEFECT, "dent")), TRUTH, Character(binary=True))
    assert [(item.gesture, item.class_name) for item in said] == [(Gesture.WRONG_CLASS, None)]


def test_a_tired_operator_errs_more_and_never_more_than_every_second_time() -> None:
    tired = Character(error_rate=0.1, fatigue=0.2)
    assert tired.errors_after(0) == 0.1
    assert tired.errors_after(1800) == pytest.approx(0.2)
    assert tired.errors_after(36000) == 0.5


def test_annotating_by_hand_takes_a_search_a_click_and_a_drawn_box_for_each_defect() -> None:
    # (5 + 1.5 + 12) for the one with a defect, (5 + 1.5) for the healthy one.
    assert annotation_seconds([TRUTH, HEALTHY], Pace()) == 25.0


def test_a_defect_of_another_class_is_not_missed_when_it_was_found_under_a_wrong_name() -> None:
    assert missed(shown(detection(DEFECT, "dent")), TRUTH) == []
    assert missed(shown(detection((10, 10, 30, 15), "dent")), TRUTH) == [0]
    assert missed(shown(detection((10, 10, 30, 15))), TRUTH) == []


@given(st.integers(0, 1000))
def test_who_never_errs_says_what_is_right_whatever_the_chance(seed: int) -> None:
    result = shown(detection(DEFECT), detection((60, 60, 80, 80), number=1))
    assert say(result, TRUTH, Character(), seed) == say(result, TRUTH, Character(), 0)


@given(st.integers(0, 1000))
def test_who_always_errs_never_says_what_is_right(seed: int) -> None:
    result = shown(detection(DEFECT), detection((60, 60, 80, 80), number=1), detection(DEFECT, "dent", 2))
    said = say(result, TRUTH, Character(error_rate=1), seed)
    assert [answer.gesture for answer in said] == [Gesture.REJECT, Gesture.CONFIRM, Gesture.CONFIRM]


def test_errors_and_hesitation_come_as_often_as_was_asked_for() -> None:
    result = shown(*(detection((60, 60, 80, 80), number=number) for number in range(4000)))
    said = say(result, TRUTH, Character(error_rate=0.1, indecision=0.2))
    share = {gesture: sum(answer.gesture is gesture for answer in said) / 4000 for gesture in Gesture}
    # Three standard deviations of a share of 4000.
    assert share[Gesture.UNSURE] == pytest.approx(0.2, abs=0.02)
    assert share[Gesture.CONFIRM] == pytest.approx(0.8 * 0.1, abs=0.015)
    assert share[Gesture.REJECT] == pytest.approx(0.8 * 0.9, abs=0.025)


@given(st.floats(0, 60), st.floats(0, 60), st.floats(4, 40), st.floats(4, 40), st.floats(4, 90), st.integers(0, 1000))
def test_a_tapped_box_lies_in_the_frame_and_has_an_area(
    x: float, y: float, width: float, height: float, side: float, seed: int
) -> None:
    box = as_boxes([(x, y, x + width, y + height)])[0]
    x1, y1, x2, y2 = tapped(box, side, np.random.default_rng(seed), 100, 100)
    assert 0 <= x1 < x2 <= 100
    assert 0 <= y1 < y2 <= 100


@given(st.integers(0, 1000), st.sampled_from(list(Habit)), st.booleans())
def test_every_answer_is_one_the_contract_takes(seed: int, habit: Habit, draws: bool) -> None:
    character = Character(habit=habit, error_rate=0.3, indecision=0.2, draws=draws)
    truth = Truth(boxes=as_boxes([DEFECT, (50, 50, 70, 70)]), classes=("scratch", "dent"))
    for said in say(shown(detection(DEFECT), detection((0, 0, 5, 5), number=1)), truth, character, seed):
        message = feedback_of(said, "frame")
        assert said.gesture in (ABOUT_DETECTION if message.detection_id else ABOUT_FRAME)
        assert message.HasField("box") == (said.gesture is Gesture.MISSED)
        assert bool(message.class_name) <= (said.gesture in (Gesture.MISSED, Gesture.WRONG_CLASS))
        assert message.seconds == said.seconds
        assert message.frame_id == "frame"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Character(error_rate=1.1), "error_rate"),
        (lambda: Character(indecision=-0.1), "indecision"),
        (lambda: Pace(tap=-1), "pace.tap"),
        (lambda: Truth(boxes=as_boxes([DEFECT]), classes=()), "1 boxes and 0 classes"),
    ],
)
def test_impossible_operators_are_refused_by_name(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()  # type: ignore[operator]


def test_the_usual_side_is_the_median_of_its_class() -> None:
    truths = [Truth(boxes=as_boxes([(0, 0, side, side)]), classes=("dent",)) for side in (4, 10, 30)]
    assert usual_sides([*truths, TRUTH]) == {"dent": pytest.approx(10), "scratch": pytest.approx(20)}
