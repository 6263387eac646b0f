"""Work on several items of a stream at once, answers in the order of the items."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class InOrder(Generic[Item, Answer]):
    """Iterates over the answers. While the first item's answer is awaited the next ones are already being worked on.

    Args:
        items: read in a thread of its own, never more than `depth` ahead of the answers taken.
        work: makes an answer; runs in one of `depth` threads. What it raises ends the iteration.
        depth: items in work at a time.
    """

    def __init__(self, items: Iterator[Item], work: Callable[[Item], Answer], *, depth: int) -> None:
        self._items = items
        self._work = work
        self._room = threading.Semaphore(depth)
        self._over = threading.Event()
        self._waiting: queue.SimpleQueue[concurrent.futures.Future[Answer] | BaseException | None] = queue.SimpleQueue()
        self._pool = concurrent.futures.ThreadPoolExecutor(depth, thread_name_prefix="stream")

    def __iter__(self) -> Iterator[Answer]:
        threading.Thread(target=self._read, name="stream reader", daemon=True).start()
        try:
            while (entry := self._waiting.get()) is not None:
                if isinstance(entry, BaseException):
                    raise entry
                yield entry.result()
                self._room.release()
        finally:
            self._over.set()
            self._room.release()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """The iteration ends after the answers for the items read until now."""
        self._waiting.put(None)

    def _read(self) -> None:
        try:
            for item in self._items:
                self._room.acquire()
                if self._over.is_set():
                    return
                self._waiting.put(self._pool.submit(self._work, item))
            self._waiting.put(None)
        except BaseException as error:  # reaches whoever iterates
            self._waiting.put(error)
