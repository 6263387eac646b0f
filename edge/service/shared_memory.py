"""Removes pictures in shared memory whose callers were killed: a line PC that crashes must not fill the memory."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from lineside.shared_memory import sweep

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 30.0


class Sweeper:
    """A context manager with a thread that looks from time to time; the first time at once.

    Args:
        seconds: between two looks.
    """

    def __init__(self, seconds: float = SWEEP_SECONDS) -> None:
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-memory", daemon=True)

    def __enter__(self) -> Sweeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            removed = sweep()
            if removed:
                logger.info("%d objects in shared memory removed, whose callers were gone", removed)
            if self._stopping.wait(self._seconds):
                return
