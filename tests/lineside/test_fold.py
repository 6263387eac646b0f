"""The fold gives one answer for one set of events, whatever their order and however often they arrive."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from support.events import event

from lineside.fold import fold
from lineside.records import FeedbackEvent, Gesture, Outcome

about_detection = st.builds(
    lambda gesture, number, operator, revision: (gesture, number, operator, revision),
    st.sampled_from([Gesture.CONFIRM, Gesture.REJECT, Gesture.UNSURE, Gesture.POOR_BOX, Gesture.RETRACT]),
    st.integers(0, 2),
    st.sampled_from(["ada", "bob"]),
    st.integers(1, 4),
)


@st.composite
def histories(draw: st.DrawFn) -> list[FeedbackEvent]:
    rows = draw(st.lists(about_detection, max_size=12, unique_by=lambda row: row[1:]))
    return [
        event(gesture, number, operator=operator, revision=revision, sequence=place + 1)
        for place, (gesture, number, operator, revision) in enumerate(rows)
    ]


@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(events: list[FeedbackEvent], chance: random.Random) -> None:
    shuffled = events + [item for item in events if chance.random() < 0.3]
    chance.shuffle(shuffled)
    assert fold(shuffled) == fold(events)


def test_the_highest_revision_counts() -> None:
    (judgement,) = fold([event(Gesture.REJECT, 0, revision=2, sequence=1), event(Gesture.CONFIRM, 0, sequence=2)])
    assert (judgement.gesture, judgement.events) == (Gesture.REJECT, (1,))


def test_a_retracted_answer_leaves_nothing_and_can_be_given_again() -> None:
    said, taken_back = event(Gesture.CONFIRM, 0), event(Gesture.RETRACT, 0, revision=2)
    assert fold([said, taken_back]) == ()
    (judgement,) = fold([said, taken_back, event(Gesture.REJECT, 0, revision=3)])
    assert judgement.gesture is Gesture.REJECT


def test_two_operators_who_contradict_each_other_are_disputed() -> None:
    (judgement,) = fold([event(Gesture.CONFIRM, 0), event(Gesture.REJECT, 0, operator="bob", sequence=2)])
    assert judgement.outcome is Outcome.DISPUTED
    assert judgement.operators == ("ada", "bob")


def test_two_operators_who_name_different_classes_are_disputed() -> None:
    events = [
        event(Gesture.WRONG_CLASS, 0, class_name="a"),
        event(Gesture.WRONG_CLASS, 0, class_name="b", operator="bob"),
    ]
    assert fold(events)[0].outcome is Outcome.DISPUTED


def test_a_poor_box_agrees_with_a_confirm_and_leads() -> None:
    (judgement,) = fold([event(Gesture.CONFIRM, 0, revision=5), event(Gesture.POOR_BOX, 0, operator="bob")])
    assert (judgement.outcome, judgement.gesture) == (Outcome.SAID, Gesture.POOR_BOX)


def test_who_is_unsure_gives_way() -> None:
    (judgement,) = fold([event(Gesture.UNSURE, 0), event(Gesture.REJECT, 0, operator="bob")])
    assert (judgement.outcome, judgement.gesture, judgement.operators) == (Outcome.SAID, Gesture.REJECT, ("bob",))


def test_missed_defects_of_one_frame_stay_apart_and_can_be_taken_back_one_by_one() -> None:
    first = event(Gesture.MISSED, class_name="dent", box=(0, 0, 4, 4), missed_index=1)
    second = event(Gesture.MISSED, class_name="dent", box=(8, 8, 12, 12), missed_index=2)
    gone = event(Gesture.RETRACT, missed_index=1, revision=2)
    assert len(fold([first, second])) == 2
    (left,) = fold([first, second, gone])
    assert left.box == (8, 8, 12, 12)


def test_the_seconds_of_all_who_count_are_added() -> None:
    (judgement,) = fold([event(Gesture.REJECT, 0, seconds=1.5), event(Gesture.REJECT, 0, operator="bob", seconds=2)])
    assert judgement.seconds == 3.5
