"""A time budget: how many steps a run is planned to have, judged anew at every step. Pure: time arrives as an argument.

The share of a run that is done is the larger of step / most and spent / seconds, and the plan is the number of steps
at which that share would be one. Schedules are functions of step / plan, so they follow the clock: the learning rate
ends low however the machine's speed changed meanwhile. A step is begun only while the slowest of the last ones would
still fit; a run has at least one.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

LAST = 20
"""Steps whose slowest is expected to come again."""


class Budget:
    """Wall time for the steps of one run.

    Args:
        seconds: of the budget; None: no limit, the plan is always `most`.
        most: steps that are never exceeded.
        spent: seconds that steps of the same run took before it was resumed.
        recent: seconds of the last of those steps.
    """

    def __init__(self, seconds: float | None, *, most: int, spent: float = 0.0, recent: Sequence[float] = ()) -> None:
        if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(f"budget_seconds is {seconds}, expected above 0")
        self._seconds = seconds
        self._most = most
        self._before = spent
        self._last = 0.0
        self._recent = collections.deque(recent, maxlen=LAST)

    def plan(self, step: int, elapsed: float) -> int:
        """Steps of the whole run; equal to `step` when no further one fits. Called before each step.

        Args:
            step: steps done, the resumed ones too.
            elapsed: seconds since this process began its first step.
        """
        if elapsed > self._last:
            self._recent.append(elapsed - self._last)
            self._last = elapsed
        if self._seconds is None or step >= self._most:
            return self._most
        spent = self.spent(elapsed)
        if step and spent + max(self._recent, default=0.0) > self._seconds:
            return step
        if spent / self._seconds <= step / self._most:
            return self._most
        return min(self._most, max(step + 1, round(step * self._seconds / spent)))

    def spent(self, elapsed: float) -> float:
        """Seconds of steps in all."""
        return self._before + elapsed

    @property
    def recent(self) -> tuple[float, ...]:
        """Seconds of the last steps, for a saved state."""
        return tuple(self._recent)
