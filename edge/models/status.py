"""The lineup as others see it: status messages, the changes between two lineups, and who watches them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from edge.models.swap import Held, Lineup
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_KEPT_EVENTS = 1024


def status_of(item: Held, lineup: Lineup) -> model_pb2.ModelStatus:
    """The message for one package."""
    return model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name=item.name, version=item.version, digest=item.digest),
        state=model_pb2.ModelState.ValueType(item.state.value),
        reason=item.reason.value if item.reason else "",
        message=item.message,
        serving=lineup.serving == item.digest,
        changed_unix_ns=item.changed_unix_ns,
    )


def refusal(digest: str, error: ContractError, now: int) -> model_pb2.ModelStatus:
    """The message for a package that was refused before the station could know it."""
    return model_pb2.ModelStatus(
        model=model_pb2.ModelRef(digest=digest),
        state=model_pb2.MODEL_STATE_REFUSED,
        reason=error.reason.value,
        message=error.message,
        changed_unix_ns=now,
    )


def changes(before: Lineup, after: Lineup, actor: str) -> list[model_pb2.ModelEvent]:
    """An event for every package whose status is another; the one that serves now comes last."""
    events = []
    for item in after.held:
        status, old = status_of(item, after), before.find(item.digest)
        if old is None or status_of(old, before) != status:
            events.append(model_pb2.ModelEvent(status=status, actor=actor))
    return sorted(events, key=lambda event: event.status.serving)


class ModelWatch:
    """What one watcher has not read yet; a context manager."""

    def __init__(self, first: Sequence[model_pb2.ModelEvent], leave: Callable[[ModelWatch], None]) -> None:
        self._events: queue.Queue[model_pb2.ModelEvent | None] = queue.Queue()
        for event in first:
            self._events.put(event)
        self._limit = len(first) + _KEPT_EVENTS
        self._leave = leave
        self._fault: ContractError | None = None

    def get(self, timeout: float | None = None) -> model_pb2.ModelEvent | None:
        """The next event, or None when none came within `timeout` seconds or somebody called `wake`.

        Raises:
            ContractError: DRAINING, the station stops; QUEUE_FULL, this watcher read too slowly and lost events.
        """
        if self._fault is not None and (self._fault.reason is Reason.QUEUE_FULL or self._events.empty()):
            raise self._fault
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def put(self, event: model_pb2.ModelEvent) -> None:
        """Never blocks."""
        if self._events.qsize() >= self._limit:
            self.fail(ContractError(Reason.QUEUE_FULL, "the watcher read too slowly; watch again"))
            return
        self._events.put(event)

    def fail(self, error: ContractError) -> None:
        """The watcher is told this from now on; the first word counts."""
        self._fault = self._fault or error

    def wake(self) -> None:
        """A waiting `get` returns. From any thread."""
        self._events.put(None)

    def __enter__(self) -> ModelWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self)


class Watches:
    """All watchers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[ModelWatch] = []

    def open(self, first: Sequence[model_pb2.ModelEvent]) -> ModelWatch:
        """A new watcher, who sees `first` first."""
        watch = ModelWatch(first, self._leave)
        with self._lock:
            self._open.append(watch)
        return watch

    def put(self, event: model_pb2.ModelEvent) -> None:
        """To every watcher."""
        with self._lock:
            for watch in self._open:
                watch.put(event)

    def close(self) -> None:
        """Tells every watcher that the station stops."""
        with self._lock:
            for watch in self._open:
                watch.fail(ContractError(Reason.DRAINING, "the station is stopping"))

    def _leave(self, watch: ModelWatch) -> None:
        with self._lock:
            if watch in self._open:
                self._open.remove(watch)
