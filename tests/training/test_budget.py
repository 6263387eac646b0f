"""A time budget: never more steps than asked for, never begun what does not fit, and busy moments cost no more than
they took."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import quick, squares, tiny

from training.budget import LAST, Budget
from training.checkpoint import load_metadata
from training.loop import RunOptions, train


def run(budget: Budget, durations: Sequence[float], *, first: int = 0, stop: int | None = None) -> list[int]:
    """The plan before each step and after the last one, where steps take these times."""
    plans, elapsed = [], 0.0
    for step in itertools.count(first):
        plans.append(budget.plan(step, elapsed))
        if plans[-1] <= step or step == stop:
            return plans
        elapsed += durations[step % len(durations)]
    raise AssertionError


times = st.lists(st.floats(0.001, 10), min_size=1, max_size=30)


@settings(deadline=None)
@given(durations=times, most=st.integers(1, 200))
def test_without_a_budget_the_plan_is_the_whole_run(durations: list[float], most: int) -> None:
    assert set(run(Budget(None, most=most), durations)) == {most}


@settings(deadline=None)
@given(durations=times, most=st.integers(1, 200), seconds=st.floats(0.01, 500))
def test_no_step_is_begun_that_the_slowest_of_the_last_ones_says_will_not_fit(
    durations: list[float], most: int, seconds: float
) -> None:
    plans = run(Budget(seconds, most=most), durations)
    steps = len(plans) - 1
    taken = [durations[step % len(durations)] for step in range(steps)]
    assert 1 <= steps <= most
    assert all(step < plan <= most for step, plan in enumerate(plans[:-1]))
    for step in range(1, steps):
        assert sum(taken[:step]) + max(taken[max(0, step - LAST) : step]) <= seconds * (1 + 1e-9)
    if steps < most:
        assert sum(taken) + max(taken[-LAST:]) > seconds * (1 - 1e-9)


@settings(deadline=None)
@given(duration=st.floats(0.001, 1), most=st.integers(1, 300), seconds=st.floats(0.01, 100))
def test_at_a_steady_pace_as_many_steps_are_done_as_fit(duration: float, most: int, seconds: float) -> None:
    steps = len(run(Budget(seconds, most=most), [duration])) - 1
    assert abs(steps - min(most, max(1, int(seconds / duration)))) <= 1


@settings(deadline=None)
@given(duration=st.floats(0.01, 1), seconds=st.floats(1, 100))
def test_a_steady_pace_is_planned_rightly_from_the_first_step_on(duration: float, seconds: float) -> None:
    plans = run(Budget(seconds, most=500), [duration])
    fit = min(500, seconds / duration)
    assert all(abs(plan - fit) <= 1.5 for plan in plans[1:-1])


def test_a_busy_moment_at_the_beginning_costs_what_it_took_and_no_more() -> None:
    # Twenty steps of a second, then tenths: 20 + 80 / 0.1 = 820 steps fit into 100 s. A plan made once, by the first
    # twenty, would stop at 100.
    durations = [1.0] * 20 + [0.1] * 2000
    assert len(run(Budget(100.0, most=2000), durations)) - 1 == pytest.approx(820, abs=10)


def test_a_busy_moment_in_the_middle_does_not_overrun() -> None:
    durations = [0.125] * 240 + [1.0] * 2000
    plans = run(Budget(100.0, most=2000), durations)
    assert len(plans) - 1 == 240 + 70
    assert plans[200] == 800
    # What is planned follows the clock, so that a schedule of step / plan ends low all the same.
    assert plans[-2] == pytest.approx(310, abs=2)


@settings(deadline=None)
@given(
    durations=st.lists(st.integers(1, 64), min_size=1, max_size=30),
    most=st.integers(1, 150),
    seconds=st.integers(1, 60),
    cut=st.integers(1, 150),
)
def test_a_resumed_budget_decides_as_an_uninterrupted_one(
    durations: list[int], most: int, seconds: int, cut: int
) -> None:
    exact = [value / 64 for value in durations]
    uninterrupted = run(Budget(float(seconds), most=most), exact)
    begun = Budget(float(seconds), most=most)
    plans = run(begun, exact, stop=cut)
    if len(plans) <= cut:
        return
    spent = begun.spent(sum(exact[step % len(exact)] for step in range(cut)))
    resumed = Budget(float(seconds), most=most, spent=spent, recent=begun.recent)
    assert plans[:cut] + run(resumed, exact, first=cut) == uninterrupted


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_budget_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"budget_seconds is .*, expected above 0"):
        Budget(seconds, most=10)


def ticking(seconds: float) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) * seconds


def test_a_run_stops_in_time_and_its_learning_rate_has_fallen(tmp_path: Path) -> None:
    config = quick(tiny(), steps=1000)
    options = RunOptions(budget_seconds=5.0, clock=ticking(0.25))
    train(config, squares(), None, tmp_path, options=options)
    run_facts = load_metadata(tmp_path).figures["run"]
    assert (run_facts["steps"], run_facts["seconds"]) == (20, 5.0)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(line["done"], line["total"]) for line in lines] == [(20, 20)]
    assert lines[-1]["learning_rate"] < 0.05 * config.optimiser.learning_rate
    assert lines[-1]["seconds_left"] == 0
