"""Which run is next, and how long a table takes: by hand on small plans."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.recipes import RECIPES
from training.table1.budget import LEAST_STEPS, BudgetTooSmallError, expected_seconds, scale_within
from training.table1.plan import Job, TablePlan
from training.table1.schedule import Schedule, makespan
from training.table1.timing import Timing, kind_of, mean_of


def plan_of(*recipes: str, seeds: int = 1) -> TablePlan:
    return TablePlan(data="synthetic", recipes=recipes, seeds=seeds)


def names(schedule: Schedule) -> list[str]:
    found = []
    while (job := schedule.next()) is not None:
        found.append(job.name)
    return found


def test_rows_wait_for_the_baseline_of_their_seed() -> None:
    schedule = Schedule(plan_of("baseline", "transfer", "full", seeds=2))
    assert names(schedule) == ["baseline-seed0", "baseline-seed1"]
    schedule.ended(Job(recipe="baseline", seed=1))
    assert names(schedule) == ["transfer-seed1", "full-seed1"]
    assert not schedule.over
    schedule.ended(Job(recipe="baseline", seed=0))
    assert names(schedule) == ["transfer-seed0", "full-seed0"]
    assert schedule.over


def test_a_second_round_waits_for_the_row_that_trains_its_first() -> None:
    schedule = Schedule(plan_of("second_round", "recommended", "third_round"))
    assert names(schedule) == ["baseline-seed0"]
    schedule.ended(Job(recipe="baseline", seed=0))
    assert names(schedule) == ["second_round-seed0"]
    schedule.ended(Job(recipe="second_round", seed=0))
    assert names(schedule) == ["recommended-seed0", "third_round-seed0"]


def test_a_failed_baseline_takes_its_seeds_rows_with_it_and_no_others() -> None:
    schedule = Schedule(plan_of("transfer", "full", seeds=2))
    names(schedule)
    lost = schedule.ended(Job(recipe="baseline", seed=0), failed=True)
    assert [job.name for job in lost] == ["transfer-seed0", "full-seed0"]
    schedule.ended(Job(recipe="baseline", seed=1))
    assert names(schedule) == ["transfer-seed1", "full-seed1"]


def test_a_failed_first_round_lets_the_second_try_by_itself() -> None:
    schedule = Schedule(plan_of("recommended", "second_round"))
    names(schedule)
    schedule.ended(Job(recipe="baseline", seed=0))
    names(schedule)
    assert schedule.ended(Job(recipe="recommended", seed=0), failed=True) == ()
    assert names(schedule) == ["second_round-seed0"]


def test_a_stopped_schedule_gives_nothing_out() -> None:
    schedule = Schedule(plan_of("full"))
    schedule.stop()
    assert schedule.next() is None
    assert schedule.over


def test_the_time_of_a_plan_by_hand() -> None:
    # One seed, two at a time: baseline 10, then transfer 4 beside full 6, then longer 5 beside full: 10 + max(9, 6).
    seconds = {"baseline": 10.0, "transfer": 4.0, "full": 6.0, "longer": 5.0}
    plan = plan_of("baseline", "transfer", "full", "longer")
    assert makespan(plan, lambda job: seconds[job.recipe], 2) == 19.0
    assert makespan(plan, lambda job: seconds[job.recipe], 1) == 25.0
    assert makespan(plan, lambda job: seconds[job.recipe], 9) == 16.0


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from(list(RECIPES)), min_size=1, max_size=6, unique=True), st.integers(1, 3), st.integers(1, 4)
)
def test_every_job_is_given_out_and_no_processor_does_two_at_a_time(
    recipes: list[str], seeds: int, parallel: int
) -> None:
    plan = plan_of(*recipes, seeds=seeds)
    whole = makespan(plan, lambda _: 1.0, parallel)
    jobs = len(list(plan.jobs()))
    assert jobs / parallel <= whole <= jobs


def timing(step: float = 0.1, *, recipes: tuple[str, ...] = tuple(RECIPES)) -> Timing:
    return Timing(
        start=5.0,
        prepare=1.0,
        answer=0.01,
        steps=dict.fromkeys(recipes, step),
        pictures={"mentoring": 100, "evaluation": 200},
    )


def test_the_expected_time_by_hand() -> None:
    plan = TablePlan(data="synthetic", recipes=("full",), seeds=1, steps={"baseline": 100, "full": 50})
    # 5 to start; baseline 100 steps of 0.1, 1 to prepare, 200 answers of 0.01: 13; full 5 + 1 + 2.
    assert expected_seconds(plan, timing(), 1) == pytest.approx(5 + 13 + 8)


def test_a_round_that_another_row_trains_costs_only_its_clicks() -> None:
    both = TablePlan(data="synthetic", recipes=("recommended", "second_round"), seeds=1, scale=0.1)
    alone = TablePlan(data="synthetic", recipes=("second_round",), seeds=1, scale=0.1)
    more = expected_seconds(both, timing(), 1) - expected_seconds(alone, timing(), 1)
    assert more == pytest.approx(100 * 0.01)


def test_a_table_that_fits_keeps_its_steps() -> None:
    plan = TablePlan(data="synthetic", recipes=("full",), seeds=1)
    assert scale_within(plan, timing(), 1, 1e6) == 1.0


@settings(max_examples=20, deadline=None)
@given(st.floats(200, 5000), st.integers(1, 4), st.integers(1, 4))
def test_the_scale_is_the_largest_of_three_digits_that_fits(budget: float, seeds: int, parallel: int) -> None:
    plan = TablePlan(data="synthetic", recipes=("transfer", "full", "second_round"), seeds=seeds)
    try:
        scale = scale_within(plan, timing(), parallel, budget)
    except BudgetTooSmallError:
        return
    fitted = TablePlan(data="synthetic", recipes=plan.recipes, seeds=seeds, scale=scale)
    assert expected_seconds(fitted, timing(), parallel) <= 0.85 * budget + 1e-6
    if scale < 1.0:
        more = TablePlan(data="synthetic", recipes=plan.recipes, seeds=seeds, scale=scale * 1.05 + 0.002)
        assert expected_seconds(more, timing(), parallel) > 0.85 * budget


def test_a_budget_below_the_shortest_table_is_refused_with_what_it_takes() -> None:
    plan = TablePlan(data="synthetic", recipes=("full",), seeds=3)
    with pytest.raises(BudgetTooSmallError, match="take at least") as caught:
        scale_within(plan, timing(), 1, 10.0)
    needed = float(str(caught.value).split("at least ")[1].split(" s")[0])
    scale = scale_within(plan, timing(), 1, needed + 1)
    fitted = TablePlan(data="synthetic", recipes=("full",), seeds=3, scale=scale)
    assert fitted.config_of("full").steps >= LEAST_STEPS - 1


def test_steps_are_measured_once_for_each_kind_of_recipe() -> None:
    plan = TablePlan(data="synthetic")
    kinds = {name: kind_of(plan.config_of(name)) for name in plan.rows}
    assert kinds["baseline"] == kinds["mentored"] == kinds["transfer"] == kinds["omnia"] == kinds["full"]
    assert kinds["dann"] == kinds["transfer_dann"]
    assert len({kinds[name] for name in ("baseline", "dann", "distil", "teacher")}) == 4


def test_measurements_of_several_processes_are_averaged() -> None:
    mean = mean_of([timing(0.1), timing(0.3)])
    assert mean.steps["full"] == pytest.approx(0.2)
    assert mean.pictures == {"mentoring": 100, "evaluation": 200}
