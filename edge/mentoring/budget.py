"""Operators' time as a budget: a bucket that fills evenly over the shift. Pure: time arrives as an argument.

A question is asked with the bucket's fill as its probability. Where more is wanted than there is time for, the fill
settles at time over demand, so the whole shift is asked about and not its first hour; it never comes to 0, because what
has no chance of being asked can stand for nothing.
"""

from __future__ import annotations

from pydantic import Field

from edge.settings import Settings

LEAST_FILL = 0.01


class BudgetSettings(Settings):
    """Section [mentoring.asking.budget]."""

    seconds_per_shift: float = Field(default=0.0, ge=0)
    """Of all operators together, for answering; 0: no limit."""
    shift_hours: float = Field(default=8.0, gt=0, le=24)
    burst_seconds: float = Field(default=120.0, gt=0)
    """Most time saved up in a quiet stretch."""
    click_seconds: float = Field(default=1.5, gt=0)
    """What a question is taken to cost."""
    search_seconds: float = Field(default=6.5, gt=0)
    """What searching a whole frame is taken to cost."""


class Budget:
    """A bucket of operators' seconds, full at first.

    Args:
        settings: how large, how fast it fills.
    """

    def __init__(self, settings: BudgetSettings) -> None:
        self._settings = settings
        self._saved = settings.burst_seconds
        self._seen_ns: int | None = None

    def fill(self, unix_ns: int) -> float:
        """Probability with which what is wanted now is asked: LEAST_FILL to 1.

        Args:
            unix_ns: now. A clock that jumps back fills nothing, one that jumps ahead at most the burst.
        """
        settings = self._settings
        if settings.seconds_per_shift == 0:
            return 1.0
        if self._seen_ns is not None and unix_ns > self._seen_ns:
            rate = settings.seconds_per_shift / (settings.shift_hours * 3600)
            gained = (unix_ns - self._seen_ns) / 1e9 * rate
            self._saved = min(settings.burst_seconds, self._saved + gained)
        self._seen_ns = unix_ns
        return min(1.0, max(LEAST_FILL, self._saved / settings.burst_seconds))

    def spend_on_questions(self, number: int) -> None:
        """So many questions were put."""
        self._spend(number * self._settings.click_seconds)

    def spend_on_search(self) -> None:
        """A frame is to be searched."""
        self._spend(self._settings.search_seconds)

    def _spend(self, seconds: float) -> None:
        # Below empty by what one frame asks, and by the audit, which the budget does not thin.
        self._saved = max(-self._settings.burst_seconds, self._saved - seconds)
