"""How far a table is, and how long it will take: from what its runs tell. Pure: time arrives as an argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from training.table1.plan import Job, TablePlan
from training.table1.pool import JobProgress

_EVALUATED = 0.9
"""Of a round's work, what is done when the training is."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of the whole table."""

    done: int
    """Runs."""
    failed: int
    total: int
    share: float
    """Of the work, 0 to 1."""
    seconds_left: float | None
    """None: nobody can say yet."""


class Tracker:
    """Keeps what runs told.

    Args:
        plan: of the table.
        there: runs whose results are there already.
        now: seconds of any clock that goes forward.
    """

    def __init__(self, plan: TablePlan, there: Iterable[Job], now: float) -> None:
        rounds = plan.rounds_to_train()
        self._own_rounds = {job: max(1, rounds[job.recipe]) for job in plan.jobs()}
        self._weights = {job: max(1.0, rounds[job.recipe] * plan.config_of(job.recipe).steps) for job in plan.jobs()}
        self._there = set(there)
        self._began = now
        self._newest: dict[Job, JobProgress] = {}
        self._rounds: dict[Job, int] = {}

    def take(self, told: JobProgress) -> None:
        """A run says where it is."""
        before = self._newest.get(told.job)
        if before is not None and told.stage == "clicks" and before.stage != "clicks":
            self._rounds[told.job] = self._rounds.get(told.job, 0) + (before.stage in ("training", "evaluation"))
        self._newest[told.job] = told

    @property
    def running(self) -> tuple[JobProgress, ...]:
        """What each running job told last, in the order in which they began."""
        return tuple(item for item in self._newest.values() if item.stage not in ("done", "failed"))

    def standing(self, now: float) -> Standing:
        """Of the whole table at this time."""
        over = [item for item in self._newest.values() if item.stage in ("done", "failed")]
        failed = sum(item.stage == "failed" for item in over)
        at_first = sum(self._weights[job] for job in self._there)
        worked = sum(self._weights[item.job] for item in over if item.job not in self._there)
        worked += sum(self._share(item) * self._weights[item.job] for item in self.running)
        everything = sum(self._weights.values())
        left = everything - at_first - worked
        seconds = now - self._began
        return Standing(
            done=len({item.job for item in over} | self._there) - failed,
            failed=failed,
            total=len(self._weights),
            share=(at_first + worked) / everything,
            seconds_left=seconds * left / worked if worked > 0.005 * everything else None,
        )

    def _share(self, told: JobProgress) -> float:
        inside = told.done / told.total if told.total else 0.0
        if told.stage == "training":
            inside *= _EVALUATED
        elif told.stage == "evaluation":
            inside = _EVALUATED + (1 - _EVALUATED) * inside
        else:
            inside = 0.0
        return min(1.0, (self._rounds.get(told.job, 0) + inside) / self._own_rounds[told.job])
