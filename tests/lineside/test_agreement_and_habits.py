"""Agreement by hand-computed numbers; habits that are noticed, and those that are not."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import event

from lineside.agreement import agreement_of, pairs_on_frames
from lineside.habits import Habit, notices
from lineside.records import FeedbackEvent, Gesture


def test_kappa_of_a_table_computed_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: o = 35/50, e = 25/50 * 30/50 + 25/50 * 20/50 = 0.5.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement_of(pairs)
    assert (found.kappa, found.compared) == (pytest.approx(0.4), 50)
    # Wilson of 35 of 50: 0.5623 to 0.8090.
    assert (found.low, found.high) == (pytest.approx(0.125, abs=0.01), pytest.approx(0.618, abs=0.01))


def test_who_never_erred_in_a_few_answers_is_not_certain() -> None:
    found = agreement_of([(True, True), (False, False)] * 5)
    assert found.kappa == 1
    assert found.low < 0.5


@pytest.mark.parametrize("pairs", [[], [(True, True)] * 9])
def test_without_a_choice_there_is_no_agreement(pairs: list[tuple[bool, bool]]) -> None:
    assert math.isnan(agreement_of(pairs).kappa)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_interval_holds_the_figure(pairs: list[tuple[bool, bool]]) -> None:
    found = agreement_of(pairs)
    assert math.isnan(found.kappa) or found.low - 1e-9 <= found.kappa <= found.high + 1e-9


def test_only_detections_that_several_judged_are_compared_and_unsure_says_nothing() -> None:
    frames = [
        [event(Gesture.CONFIRM, 0), event(Gesture.REJECT, 0, operator="bob"), event(Gesture.CONFIRM, 1)],
        [event(Gesture.UNSURE, 0), event(Gesture.REJECT, 0, operator="bob")],
    ]
    assert pairs_on_frames(frames) == {"ada": [(True, False)], "bob": [(False, True)]}


def answers(said: str, *, seconds: float = 1.5, start: int = 0) -> list[FeedbackEvent]:
    return [
        dataclasses.replace(
            event(Gesture.CONFIRM if letter == "y" else Gesture.REJECT, number),
            seconds=seconds,
            client_unix_ns=(start + number) * 3 * 10**9,
        )
        for number, letter in enumerate(said)
    ]


def test_a_run_of_one_answer_is_noticed_where_it_is_unusual_for_this_person() -> None:
    (notice,) = notices(answers("yn" * 20 + "y" * 16))
    assert (notice.habit, notice.answers) == (Habit.SAME_ANSWER, 16)
    assert notice.usual == pytest.approx(21 / 42)
    # Who confirms nine in ten anyway has such runs.
    assert notices(answers(("y" * 9 + "n") * 4 + "y" * 16)) == ()
    assert notices(answers("yn" * 20 + "y" * 11)) == ()
    assert notices(answers("y" * 60)) == ()


def test_haste_and_slowing_are_seen_against_the_same_sitting() -> None:
    usual = answers("yn" * 20, seconds=2.0)
    hasty = answers("yn" * 10, seconds=0.8, start=40)
    assert [notice.habit for notice in notices([*usual, *hasty])] == [Habit.HASTE]
    slow = answers("yn" * 10, seconds=4.5, start=40)
    assert [notice.habit for notice in notices([*usual, *slow])] == [Habit.SLOWING]
    # After a night's pause it is another sitting.
    assert notices([*usual, *answers("yn" * 10, seconds=0.8, start=20_000)]) == ()
    assert notices([]) == ()
