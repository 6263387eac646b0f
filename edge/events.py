"""Everything that happens at the station, numbered: one ring of events that any number of readers follow.

A reader has no queue of its own, only a place in the ring. So a slow reader costs nothing and can never hold up a
publisher; when the ring has overtaken it, it is told so with a Gap and goes on from the oldest event kept.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Collection
from types import TracebackType

from lineside.v1 import inspection_pb2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as the ring keeps it: encoded once, however many read it."""

    sequence: int
    topic: str
    """"inspection.CAMERA", "feedback", "model", "output" or "camera.CAMERA"."""
    data: bytes
    """A StationEvent."""


def topic_of(event: inspection_pb2.StationEvent) -> str:
    """The ZeroMQ topic of an event.

    Raises:
        ValueError: it is a Gap, which is never stored, or nothing.
    """
    kind = event.WhichOneof("event")
    if kind == "inspection":
        return f"inspection.{event.inspection.camera}"
    if kind == "camera":
        return f"camera.{event.camera.camera}"
    if kind in ("feedback", "model", "output"):
        return kind
    raise ValueError(
        f"an event of kind {kind} cannot be published; there are inspection, feedback, model, camera, output"
    )


class EventBus:
    """The ring. Thread-safe.

    Args:
        boot_id: a new random id for each start of the daemon.
        keep: most events kept for readers who resume.
        keep_bytes: most bytes kept; whichever limit is met first.
    """

    def __init__(self, boot_id: str, keep: int = 65536, keep_bytes: int = 32 << 20) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}, expected at least 1")
        self.boot_id = boot_id
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._ring: collections.deque[StoredEvent] = collections.deque()
        self._bytes = 0
        self._next = 1
        self._closed = False
        self._changed = threading.Condition()

    def publish(self, event: inspection_pb2.StationEvent) -> int:
        """Numbers and stores an event, and wakes the readers; never waits for any of them.

        Args:
            event: only its oneof set; boot id, sequence and time are filled in here.

        Returns:
            Its sequence number.

        Raises:
            ValueError: as `topic_of`.
        """
        topic = topic_of(event)
        with self._changed:
            event.boot_id = self.boot_id
            event.sequence = self._next
            event.unix_ns = time.time_ns()
            stored = StoredEvent(sequence=self._next, topic=topic, data=event.SerializeToString())
            self._next += 1
            self._ring.append(stored)
            self._bytes += len(stored.data)
            while len(self._ring) > self._keep or (self._bytes > self._keep_bytes and len(self._ring) > 1):
                self._bytes -= len(self._ring.popleft().data)
            self._changed.notify_all()
            return stored.sequence

    def subscribe(
        self,
        *,
        boot_id: str = "",
        from_sequence: int | None = None,
        cameras: Collection[str] = (),
        linger: float = 0.0,
    ) -> Subscription:
        """A reader's place in the ring.

        Args:
            boot_id: of `from_sequence`; empty: of this boot. Another boot's: a Gap, then the oldest event kept.
            from_sequence: first event wanted; None: only what happens from now on.
            cameras: only inspections and camera events of these; empty: all of them.
            linger: seconds a reader may be late: at a fast line it is not woken for every event but finds several.
        """
        with self._changed:
            cursor, gap = self._next, ""
            if boot_id not in ("", self.boot_id):
                cursor, gap = self._oldest(), "the station has been started anew since; its numbers begin again"
            elif from_sequence is not None:
                cursor = max(1, from_sequence)
            return Subscription(self, cursor, gap, frozenset(cameras), linger)

    def close(self) -> None:
        """Readers get what is stored and then None at once; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _oldest(self) -> int:
        return self._ring[0].sequence if self._ring else self._next


class Subscription(contextlib.AbstractContextManager["Subscription"]):
    """One reader. Made by `EventBus.subscribe`; used by one thread, closed by any."""

    def __init__(self, bus: EventBus, cursor: int, gap: str, cameras: frozenset[str], linger: float) -> None:
        self._bus = bus
        self._cursor = cursor
        self._gap = gap
        self._cameras = cameras
        self._linger = linger
        self._closed = False
        self._end: int | None = None
        self._ends = threading.Event()

    def take(self, timeout: float | None = None) -> StoredEvent | inspection_pb2.Gap | None:
        """The next event as stored, a Gap where events are gone, or None after `timeout` seconds or when closed."""
        bus = self._bus
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._linger and timeout is None and self._cursor >= bus._next:
            with bus._changed:
                while self._cursor >= bus._next and not (self._closed or bus._closed or self._end is not None):
                    bus._changed.wait()
            self._ends.wait(self._linger)
        with bus._changed:
            while True:
                if self._closed or (self._end is not None and self._cursor >= self._end):
                    return None
                oldest = bus._oldest()
                if self._cursor < oldest or self._gap:
                    cause = self._gap or "older than the station keeps"
                    self._gap, self._cursor = "", max(self._cursor, oldest)
                    return inspection_pb2.Gap(resumes_at=self._cursor, cause=cause)
                while self._cursor < bus._next:
                    # A deque is quick at both ends, where readers are: new events or the oldest ones.
                    stored = bus._ring[self._cursor - oldest]
                    self._cursor += 1
                    if self._wants(stored.topic):
                        return stored
                left = None if deadline is None else deadline - time.monotonic()
                if bus._closed or (left is not None and left <= 0):
                    return None
                bus._changed.wait(left)

    def get(self, timeout: float | None = None) -> inspection_pb2.StationEvent | None:
        """The next event as a message (its own copy), or None after `timeout` seconds or when closed."""
        taken = self.take(timeout)
        if taken is None:
            return None
        if isinstance(taken, inspection_pb2.Gap):
            return inspection_pb2.StationEvent(boot_id=self._bus.boot_id, unix_ns=time.time_ns(), gap=taken)
        return inspection_pb2.StationEvent.FromString(taken.data)

    def close(self) -> None:
        """Wakes a waiting `get`, which gives None; idempotent."""
        self._ends.set()
        with self._bus._changed:
            self._closed = True
            self._bus._changed.notify_all()

    def finish(self) -> None:
        """`get` gives what has been published until now, then None; idempotent."""
        self._ends.set()
        with self._bus._changed:
            if self._end is None:
                self._end = self._bus._next
            self._bus._changed.notify_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wants(self, topic: str) -> bool:
        kind, _, camera = topic.partition(".")
        return not self._cameras or kind in ("feedback", "model", "output") or camera in self._cameras
