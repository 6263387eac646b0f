"""How many pictures go into an engine at a time, and under which of its profiles. Decides; touches nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lineside.engines.key import BatchRange


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a batch that is run at once."""

    start: int
    """Place of its first picture in the batch."""
    count: int
    """Pictures of the batch."""
    run: int
    """Pictures the engine is given: more than `count` where it takes no fewer; what comes out beyond is thrown away."""
    profile: int
    """Index of the engine's optimisation profile."""


def pieces(count: int, profiles: Sequence[BatchRange]) -> tuple[Piece, ...]:
    """Splits a batch so that every part fits a profile, in the fewest parts.

    A profile is chosen that takes the size, the one that was tuned nearest to it first.

    Args:
        count: pictures, at least 1.
        profiles: of the engine, in its order, at least one.
    """
    found = []
    start = 0
    largest = max(profile.largest for profile in profiles)
    while start < count:
        size = min(count - start, largest)
        run, index = _fitting(size, profiles)
        found.append(Piece(start=start, count=size, run=run, profile=index))
        start += size
    return tuple(found)


def _fitting(size: int, profiles: Sequence[BatchRange]) -> tuple[int, int]:
    """The size to run and the profile for it: the smallest size not below `size` that any profile takes."""
    choices = [
        (max(size, profile.smallest), abs(profile.best - size), index)
        for index, profile in enumerate(profiles)
        if size <= profile.largest
    ]
    run, _, index = min(choices)
    return run, index
