"""Which run is next: those that others wait for first. Decides; no process, no clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

from training.table1.plan import BASELINE, Beginning, Job, TablePlan


class Schedule:
    """Gives out the jobs of a plan in its order, each once the one it waits for has ended.

    A row waits for its baseline, or for the row whose rounds it begins with, so that equal rounds are trained once.
    When a baseline fails, its seed's rows are given up; when another row fails, those that waited for it train those
    rounds themselves.
    """

    def __init__(self, plan: TablePlan, beginnings: Mapping[str, Beginning] | None = None) -> None:
        self._waiting = list(plan.jobs())
        rows = plan.beginnings() if beginnings is None else beginnings
        self._waits_for = {
            job: Job(recipe=rows[job.recipe].row, seed=job.seed) for job in plan.jobs() if job.recipe in rows
        }
        self._ended: set[Job] = set()
        self._running: set[Job] = set()

    @property
    def over(self) -> bool:
        """Whether nothing is left to be given out."""
        return not self._waiting

    def next(self) -> Job | None:
        """A job that can begin now; None: there is none yet, or none at all."""
        for job in self._waiting:
            if job not in self._waits_for or self._waits_for[job] in self._ended:
                self._waiting.remove(job)
                self._running.add(job)
                return job
        return None

    def ended(self, job: Job, *, failed: bool = False) -> tuple[Job, ...]:
        """A job has ended.

        Returns:
            The jobs that are given up with it.
        """
        self._running.discard(job)
        self._ended.add(job)
        if not (failed and job.recipe == BASELINE):
            return ()
        lost = tuple(item for item in self._waiting if item.seed == job.seed)
        self._waiting = [item for item in self._waiting if item.seed != job.seed]
        return lost

    def stop(self) -> None:
        """Nothing more is given out."""
        self._waiting.clear()


def makespan(
    plan: TablePlan,
    seconds: Callable[[Job], float],
    parallel: int,
    beginnings: Mapping[str, Beginning] | None = None,
) -> float:
    """How long the plan takes when so many run at a time.

    Args:
        plan: of the table.
        seconds: a job takes.
        parallel: jobs at a time.
        beginnings: of the plan, where they are known already.
    """
    schedule = Schedule(plan, beginnings)
    running: list[tuple[float, int, Job]] = []
    now, number = 0.0, 0
    while True:
        while len(running) < parallel and (job := schedule.next()) is not None:
            number += 1
            heapq.heappush(running, (now + seconds(job), number, job))
        if not running:
            return now
        now, _, job = heapq.heappop(running)
        schedule.ended(job)
