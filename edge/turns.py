"""Whose picture is next, and who is told at once that there is no time for his. Decides; `edge.gate` acts.

A few pictures are in work at a time: one in the engine, the next ones decoded and prepared. Whoever comes beyond that
waits in his caller's own line, and the lines take turns, so that one who sends ahead waits behind himself and not
before the others. From how often places become free follows how long a wait will be; whoever cannot wait so long is
refused before anything is done for him.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Generic, TypeVar

Ticket = TypeVar("Ticket")

_NEWEST_COUNTS = 0.1
"""Weight of the newest interval in the mean."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What somebody who comes now would find."""

    pictures: int
    """Before his: in work, or whose turn comes first."""
    seconds: float
    """Until his would be answered, as far as can be told; 0: nothing is known."""


class Turns(Generic[Ticket]):
    """State of the lines. Not thread-safe; time arrives as an argument.

    Args:
        places: pictures in work at a time.
    """

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError(f"places is {places}, expected at least 1")
        self._places = places
        self._working = 0
        # In the order of their turns; a line that has had its turn goes to the end.
        self._lines: collections.OrderedDict[str, collections.deque[Ticket]] = collections.OrderedDict()
        self._left_at: float | None = None
        self._interval = 0.0

    @property
    def working(self) -> int:
        """Pictures in work."""
        return self._working

    @property
    def waiting(self) -> int:
        """Pictures that wait, of all callers."""
        return sum(map(len, self._lines.values()))

    def ahead_of(self, caller: str) -> Ahead:
        """What a picture of this caller would find."""
        mine = len(self._lines.get(caller, ()))
        others = sum(min(len(line), mine + 1) for name, line in self._lines.items() if name != caller)
        pictures = self._working + mine + others
        # Where nobody is ahead nobody is refused, however slow a model there once was.
        return Ahead(pictures=pictures, seconds=(pictures + 1) * self._interval if pictures else 0.0)

    def come(self, caller: str, ticket: Ticket) -> bool:
        """True: there is a place at once; False: the ticket waits."""
        if self._working < self._places and not self._lines:
            self._working += 1
            return True
        self._lines.setdefault(caller, collections.deque()).append(ticket)
        return False

    def give_up(self, caller: str, ticket: Ticket) -> bool:
        """A ticket that does not wait any more; False: it has been called meanwhile, and holds a place."""
        line = self._lines.get(caller)
        if line is None or ticket not in line:
            return False
        line.remove(ticket)
        if not line:
            del self._lines[caller]
        return True

    def leave(self, now: float, *, stayed: float | None) -> Ticket | None:
        """A place is free; who gets it, or None: nobody waits.

        Args:
            now: seconds.
            stayed: seconds from place to answer; None: the picture was dropped and says nothing about how long they
                take.
        """
        if stayed is not None:
            busy = self._working >= self._places
            if busy and self._left_at is not None:
                interval = now - self._left_at
                known = self._interval
                self._interval = interval if not known else known + _NEWEST_COUNTS * (interval - known)
            # From a station that was not busy an interval would be the caller's pause, not the station's work.
            self._left_at = now if busy else None
            self._interval = min(self._interval, stayed)
        if not self._lines:
            self._working -= 1
            return None
        caller, line = next(iter(self._lines.items()))
        ticket = line.popleft()
        if line:
            self._lines.move_to_end(caller)
        else:
            del self._lines[caller]
        return ticket
