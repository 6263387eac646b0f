"""What may be noticed about how somebody answers, so that it can be said kindly: a long run of one answer, haste. Pure.

Nothing here accuses: a run of confirms is what a line with a real fault looks like. A notice says what was seen, how
unusual it is for this very person, and leaves the conclusion to people. Nobody is compared with anybody else.
"""

from __future__ import annotations

import dataclasses
import enum
import statistics
from collections.abc import Sequence

from lineside.agreement import NO, YES
from lineside.records import FeedbackEvent

LEAST_BEFORE = 30
"""Answers by which somebody's usual way is known."""
SHORTEST_RUN = 12
UNUSUAL = 1e-4
"""Chance of such a run from one given answer on, below which it is noticed."""
LATEST = 20
"""Answers whose time is compared with the beginning of the sitting."""
HASTY, SLOW = 0.5, 2.0
"""Times the usual seconds."""
SITTING_SECONDS = 1800.0
"""A longer pause begins a new sitting."""


class Habit(enum.Enum):
    """What was noticed."""

    SAME_ANSWER = "same answer"
    HASTE = "haste"
    SLOWING = "slowing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that was noticed about somebody's latest answers."""

    operator: str
    habit: Habit
    answers: int
    """How many of the latest answers it is about."""
    usual: float
    """Share of the answer before the run; median seconds at the beginning of the sitting."""
    now: float
    """1 in a run; median seconds of the latest answers."""


def notices(events: Sequence[FeedbackEvent]) -> tuple[Notice, ...]:
    """What may be said to one operator now.

    Args:
        events: his answers, all by one operator, in the order they were given; those about detections count.
    """
    said = [event for event in events if event.gesture in YES | NO]
    if not said:
        return ()
    return tuple(notice for notice in (_run(said), _pace(said)) if notice is not None)


def _run(said: Sequence[FeedbackEvent]) -> Notice | None:
    latest = said[-1].gesture in YES
    run = 0
    for event in reversed(said):
        if (event.gesture in YES) != latest:
            break
        run += 1
    before = said[: len(said) - run]
    if run < SHORTEST_RUN or len(before) < LEAST_BEFORE:
        return None
    # Laplace's rule: an answer never given yet is not impossible.
    usual = (sum((event.gesture in YES) == latest for event in before) + 1) / (len(before) + 2)
    if usual**run >= UNUSUAL:
        return None
    return Notice(operator=said[-1].operator, habit=Habit.SAME_ANSWER, answers=run, usual=usual, now=1.0)


def _pace(said: Sequence[FeedbackEvent]) -> Notice | None:
    sitting = [said[-1]]
    for event in reversed(said[:-1]):
        if (sitting[-1].client_unix_ns - event.client_unix_ns) / 1e9 > SITTING_SECONDS:
            break
        sitting.append(event)
    sitting.reverse()
    if len(sitting) < LEAST_BEFORE + LATEST:
        return None
    usual = statistics.median(event.seconds for event in sitting[:LEAST_BEFORE])
    now = statistics.median(event.seconds for event in sitting[-LATEST:])
    if usual <= 0 or HASTY < now / usual < SLOW:
        return None
    habit = Habit.HASTE if now < usual else Habit.SLOWING
    return Notice(operator=said[-1].operator, habit=habit, answers=LATEST, usual=usual, now=now)
