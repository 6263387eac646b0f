"""A time budget for the whole table: one factor for the steps of all rows, so that no row is treated unlike another.

Pure. How long things take is measured elsewhere; here the plan is played through with the pool's own schedule.
"""

from __future__ import annotations

from training.table1.plan import TablePlan
from training.table1.schedule import makespan
from training.table1.timing import Timing

USED = 0.85
"""Share of the budget that is planned for; the rest is for what a short measurement cannot see."""
LEAST_STEPS = 20
"""Of the shortest row; below this a table says nothing."""


class BudgetTooSmallError(ValueError):
    """Not even the shortest table worth having fits."""


class _Costs:
    """Of a plan's rows, so that other scales can be tried quickly."""

    def __init__(self, plan: TablePlan, timing: Timing, parallel: int) -> None:
        self._plan, self._parallel, self._start = plan, parallel, timing.start
        self._beginnings = plan.beginnings()
        self._rest: dict[str, float] = {}
        self._each: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        for name in plan.rows:
            config, rounds = plan.unscaled_config_of(name), plan.rounds_of(name)
            trained = rounds - (self._beginnings[name].rounds if name in self._beginnings else 0)
            asked = rounds if config.new_labels == "mentored" else 0
            looked_over = trained if config.omnia else 0
            answers = (asked + looked_over) * timing.pictures["mentoring"] + trained * timing.pictures["evaluation"]
            self._rest[name] = trained * timing.prepare + answers * timing.answer
            self._each[name] = trained * timing.steps[name]
            self._steps[name] = config.steps

    def shortest(self) -> int | None:
        """Steps at scale 1 of the shortest row that is scaled."""
        return min((steps for name, steps in self._steps.items() if name not in self._plan.steps), default=None)

    def table(self, scale: float) -> float:
        """Seconds that the table takes."""
        seconds = {
            name: self._rest[name] + self._each[name] * self._plan.scaled(name, self._steps[name], scale)
            for name in self._steps
        }
        whole = makespan(self._plan, lambda job: seconds[job.recipe], self._parallel, self._beginnings)
        return self._start + whole


def expected_seconds(plan: TablePlan, timing: Timing, parallel: int) -> float:
    """How long the table takes."""
    return _Costs(plan, timing, parallel).table(plan.scale)


def scale_within(plan: TablePlan, timing: Timing, parallel: int, budget: float) -> float:
    """The plan's scale, or the smaller one with which the table fits into the budget.

    Args:
        plan: of the table, with the most it should train.
        timing: of this machine.
        parallel: runs at a time.
        budget: seconds of wall time for the whole table.

    Raises:
        BudgetTooSmallError: it would leave a row fewer than 20 steps.
    """
    limit = USED * budget
    costs = _Costs(plan, timing, parallel)
    takes = costs.table
    if takes(plan.scale) <= limit:
        return plan.scale
    shortest = costs.shortest()
    low, high = min(plan.scale, LEAST_STEPS / shortest if shortest else plan.scale), plan.scale
    if takes(low) > limit:
        raise BudgetTooSmallError(
            f"budget is {budget:g} s; {len(plan.rows)} rows with {plan.seeds} seeds take at least"
            f" {takes(low) / USED:.0f} s here, with {LEAST_STEPS} steps in the shortest row; give more time, or name"
            " fewer rows with --recipes"
        )
    while high - low > 0.002 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if takes(middle) <= limit else (low, middle)
    # Three digits, downwards: what is written into the plan is what a person can read and give again.
    return int(low * 1000) / 1000 or low
