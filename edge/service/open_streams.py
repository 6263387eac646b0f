"""The streams that are open at a servicer, so that a station that stops can end them in order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

from lineside.reasons import ContractError, Reason


class Finishable(Protocol):
    """Ends by itself once it has been told."""

    def finish(self) -> None:
        """What was read is answered, what was published is told, then it ends."""


class OpenStreams:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Finishable] = set()
        self._finished = False

    @contextlib.contextmanager
    def holding(self, stream: Finishable) -> Iterator[None]:
        """While inside, `finish` reaches the stream."""
        with self._lock:
            self._open.add(stream)
            if self._finished:
                stream.finish()
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(stream)

    def finish(self) -> None:
        """Ends those there are, and those that come; idempotent."""
        with self._lock:
            self._finished = True
            for stream in self._open:
                stream.finish()

    def refuse_if_finished(self) -> None:
        """For the end of a stream: was it the caller who ended it?

        Raises:
            ContractError: DRAINING, it was the station.
        """
        if self._finished:
            raise ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")
