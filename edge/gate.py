"""Lets a few pictures in at a time, callers in turn, and nobody who would be too late. `edge.turns` decides."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from edge.turns import Turns
from lineside.reasons import ContractError, Reason


class _Ticket:
    """Somebody who waits: the lock is let go when it is his turn."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = threading.Lock()
        self.called.acquire()


class Gate:
    """Thread-safe.

    Args:
        places: pictures in work at a time.
    """

    def __init__(self, places: int) -> None:
        self._turns: Turns[_Ticket] = Turns(places)
        self._lock = threading.Lock()

    @property
    def working(self) -> int:
        """Pictures in work."""
        return self._turns.working

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        with self._lock:
            return self._turns.waiting

    @contextlib.contextmanager
    def turn(self, caller: str, *, deadline_monotonic_ns: int | None = None) -> Iterator[None]:
        """Waits for a place and holds it while inside.

        Args:
            caller: whose picture it is.
            deadline_monotonic_ns: after which he does not wait any more; None: no limit.

        Raises:
            ContractError: QUEUE_FULL, his time would be over before his turn; DEADLINE, it is over.
        """
        ticket = _Ticket()
        left = None if deadline_monotonic_ns is None else (deadline_monotonic_ns - time.monotonic_ns()) / 1e9
        with self._lock:
            if left is not None:
                ahead = self._turns.ahead_of(caller)
                if ahead.seconds > left:
                    raise ContractError(
                        Reason.QUEUE_FULL,
                        f"{ahead.pictures} pictures are ahead, about {1000 * ahead.seconds:.0f} ms, and the caller's"
                        f" time is over in {max(0.0, 1000 * left):.0f}; call again a little later, or allow more time",
                    )
            has_place = self._turns.come(caller, ticket)
        if not has_place and not ticket.called.acquire(timeout=-1 if left is None else max(0.0, left)):
            self._give_up(caller, ticket)
        began, stayed = time.monotonic(), None
        try:
            yield
            stayed = time.monotonic() - began
        finally:
            self._leave(stayed)

    def _give_up(self, caller: str, ticket: _Ticket) -> None:
        """Raises DEADLINE; a place he was given in the same moment goes to the next."""
        with self._lock:
            waited = self._turns.give_up(caller, ticket)
        if not waited:
            self._leave(None)
        raise ContractError(Reason.DEADLINE, "the caller's time was over before it was his turn; allow more time")

    def _leave(self, stayed: float | None) -> None:
        with self._lock:
            following = self._turns.leave(time.monotonic(), stayed=stayed)
        if following is not None:
            following.called.release()
