"""A time budget: how many steps a run is planned to have, judged anew at every step. Pure: time arrives as an argument.

The share of a run that is done is the larger of step / most and elapsed / seconds, and the plan is the number of steps
at which that share would be one. Schedules are functions of step / plan, so they follow the clock: the learning rate
ends low however the machine's speed changed meanwhile. A step is begun only while the slowest of the last ones would
still fit.
"""

from __future__ import annotations

import collections

LAST = 20
"""Steps whose slowest is expected to come again."""


class Budget:
    """Wall time for the steps of one run.

    Args:
        seconds: of the budget; None: no limit, the plan is always `most`.
        most: steps that are never exceeded.
        spent: seconds that steps of the same run took before it was resumed.
    """

    def __init__(self, seconds: float | None, *, most: int, spent: float = 0.0) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"budget_seconds is {seconds}, expected above 0")
        self._seconds = seconds
        self._most = most
        self._spent = spent
        self._last = 0.0
        self._recent: collections.deque[float] = collections.deque(maxlen=LAST)

    def plan(self, step: int, elapsed: float) -> int:
        """Steps of the whole run; equal to `step` when no further one fits. Called before each step.

        Args:
            step: steps done, the resumed ones too.
            elapsed: seconds since this process began its first step.
        """
        if self._seconds is None or step >= self._most:
            return self._most
        if elapsed > 0:
            self._recent.append(elapsed - self._last)
        self._last = elapsed
        spent = self._spent + elapsed
        if step and spent + max(self._recent, default=0.0) > self._seconds:
            return step
        share = max(step / self._most, spent / self._seconds)
        return self._most if step == 0 or share <= 0 else min(self._most, max(step + 1, round(step / share)))

    def spent(self, elapsed: float) -> float:
        """Seconds of steps in all, for a saved state."""
        return self._spent + elapsed
