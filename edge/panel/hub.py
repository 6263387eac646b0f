"""Between the station's threads and the pages: one reader of the events, one status document, a wake-up per page.

A page is never waited for. It is only told that there is something new, and takes what is newest when it is ready, so a
slow tablet sees fewer pictures and the line notices nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from starlette.concurrency import run_in_threadpool

from edge.mentoring.log import StorageHealth
from edge.panel.board import Board
from edge.panel.pages.chronicle import Chronicle
from edge.panel.parts import PanelParts
from edge.panel.wire import Json, model_json, swap_json
from lineside.v1 import inspection_pb2

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
"""How often the status document is made anew."""
HEARTBEAT_SECONDS = 2.0
"""How often a page hears from the station even if nothing changes; the page calls the station lost after three."""
LINGER_SECONDS = 0.02
"""How late an event may reach the pages; so the station is not held up for every one at a fast line."""
_AT_ONCE = 256
_JOIN_SECONDS = 5.0


class Hub:
    """An async context manager that belongs to one event loop.

    Args:
        parts: of the station.
        chronicle: told of every event, on the reader's thread; closed with it.
    """

    def __init__(self, parts: PanelParts, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self.board = Board()
        self.status: Json = {}
        """The status document; its `beat` grows with every change and every heartbeat."""
        self.closed = False
        self._parts = parts
        self._wakers: set[asyncio.Event] = set()
        self._beat = 0
        self._beat_at = 0.0
        self._changed = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hub:
        """Starts the reader and the ticker; the status document is there afterwards."""
        loop = asyncio.get_running_loop()
        # From the first event: cameras tell their state once, perhaps before the panel was up.
        self._subscription = self._parts.bus.subscribe(from_sequence=1, linger=LINGER_SECONDS)
        self._thread = threading.Thread(target=self._read, args=(loop,), name="panel-events", daemon=True)
        self._thread.start()
        await self._tick()
        self._ticker = asyncio.create_task(self._run(), name="panel-ticker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the pages, the ticker and the reader; idempotent."""
        self.closed = True
        self._wake()
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
            self._ticker = None
        if self._thread is not None:
            self._subscription.close()
            await run_in_threadpool(self._thread.join, _JOIN_SECONDS)
            if self._thread.is_alive():
                logger.error("the panel's reader of events did not end within %.0f s", _JOIN_SECONDS)
            self._thread = None
            await run_in_threadpool(self._chronicle.close)

    @contextlib.contextmanager
    def page(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be something new, for as long as the page is open."""
        waker = asyncio.Event()
        waker.set()
        self._wakers.add(waker)
        try:
            yield waker
        finally:
            self._wakers.discard(waker)

    @property
    def pages(self) -> int:
        """Pages open now."""
        return len(self._wakers)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while (first := self._subscription.get()) is not None:
            group = [first]
            while len(group) < _AT_ONCE and (event := self._subscription.get(0)) is not None:
                group.append(event)
            try:
                self._chronicle.see(group)
            except Exception:
                logger.exception("what came along could not be counted")
            try:
                loop.call_soon_threadsafe(self._see, group)
            except RuntimeError:  # the loop is closed: nobody looks any more
                return

    def _see(self, group: list[inspection_pb2.StationEvent]) -> None:
        for event in group:
            self.board.see(event)
        if any(event.WhichOneof("event") in ("model", "camera") for event in group):
            self._changed.set()
        self._wake()

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), TICK_SECONDS)
            self._changed.clear()
            try:
                await self._tick()
            except Exception:
                logger.exception("the panel's status could not be made")
                await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _tick(self) -> None:
        serving = self._parts.slot.serving
        storage = await run_in_threadpool(self._storage)
        document: Json = {
            "type": "status",
            "station": self._parts.station,
            "boot_id": self._parts.bus.boot_id,
            "model": None if serving is None else model_json(serving.package),
            "swap": swap_json(self._parts.swaps()),
            "storage": storage,
            **self.board.to_json(),
        }
        now = time.monotonic()
        known = {name: value for name, value in self.status.items() if name not in ("beat", "now_unix_ms")}
        if document == known and now - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat += 1
        self._beat_at = now
        self.status = {**document, "beat": self._beat, "now_unix_ms": time.time_ns() // 1_000_000}
        self._wake()

    def _storage(self) -> Json:
        try:
            return storage_json(self._parts.log.health())
        except OSError as error:
            return {"state": "fault", "trouble": f"the disk cannot be asked: {error.strerror}", "kept": 0, "said": 0}


def storage_json(health: StorageHealth) -> Json:
    """How the log is; `kept` and `said` grow when there may be something else to judge."""
    return {
        "state": health.state.value,
        "trouble": health.trouble,
        "kept": health.frames_kept,
        "said": health.feedback_accepted,
    }
