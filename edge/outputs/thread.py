"""One thread and one event loop per output: whatever a PLC or a broker does, inspections do not notice.

The thread starts the protocol again with growing pauses when it fails, tells changes of its state once, and feeds an
output that follows from the station's ring of events, where a slow reader holds nobody up.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from edge.events import EventBus
from edge.outputs.channel import Channel
from edge.outputs.contract import Output, OutputLostError, OutputState, Served
from edge.outputs.handshake import Followed, Missed, Mode, Outcome
from lineside.v1 import inspection_pb2

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
LOOK_SECONDS = 0.25
"""How often cameras and model are asked whether they are there."""
_START_SECONDS = 120.0
_JOIN_SECONDS = 10.0
_FEED_SECONDS = 0.5
_LAST_WORD_SECONDS = 0.3
"""So long a PLC may still read that the station is stopping."""

OnState = Callable[[str, OutputState, str], None]


class OutputThread:
    """A context manager: entering starts the thread and waits until it listens, leaving ends it.

    Args:
        station: its name.
        output: the protocol.
        channels: in the order the PLC counts them.
        bus: read by an output that follows.
        on_state: told the output's name, its state and why, once a change.
    """

    def __init__(
        self, *, station: str, output: Output, channels: Sequence[Channel], bus: EventBus, on_state: OnState
    ) -> None:
        self.name = output.name
        self.channels = tuple(channels)
        self.address = ""
        """Where it listens; known once entered. Empty for one that calls others."""
        self._station = station
        self._output = output
        self._bus = bus
        self._on_state = on_state
        self._state = OutputState.UNSPECIFIED
        self._reported = threading.Lock()
        self._listens: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"output {self.name}", daemon=True)
        self._feeder = threading.Thread(target=self._feed, name=f"output {self.name} events", daemon=True)

    @property
    def state(self) -> OutputState:
        """UNSPECIFIED before the first word."""
        return self._state

    def __enter__(self) -> OutputThread:
        """Starts.

        Raises:
            OSError: the address cannot be had.
        """
        self._thread.start()
        try:
            self.address = self._listens.result(_START_SECONDS)
        except concurrent.futures.TimeoutError:
            self.close()
            raise OSError(f"[outputs.{self.name}] did not start within {_START_SECONDS:.0f} s") from None
        except BaseException:
            self.close()
            raise
        if any(channel.rules.mode is Mode.FOLLOWING for channel in self.channels):
            self._feeder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answers what is at work with NO_VERDICT, tells the other side, ends the threads; idempotent."""
        self.begin_to_close()
        for thread in (self._thread, self._feeder):
            if thread.ident is not None:
                thread.join(_JOIN_SECONDS)
                if thread.is_alive():
                    logger.error("%s did not end within %.0f s", thread.name, _JOIN_SECONDS)

    def begin_to_close(self) -> None:
        """As `close`, and does not wait for the end: so that several can end at the same time."""
        self._stopping.set()
        loop, leaving = self._loop, self._leaving
        if loop is not None and leaving is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(leaving.set)

    def report(self, state: OutputState, message: str) -> None:
        """Tells a state; the same as before is no news."""
        with self._reported:
            if state is self._state:
                return
            self._state = state
        level = logging.WARNING if state is OutputState.LOST else logging.INFO
        logger.log(level, "output %s: %s%s", self.name, state.name.lower(), f", {message}" if message else "")
        self._on_state(self.name, state, message)

    def _run(self) -> None:
        try:
            asyncio.run(self._supervise())
        except Exception as error:
            if not self._listens.done():
                self._listens.set_exception(error)
                return
            logger.exception("output %s has failed; it is gone until the station is started anew", self.name)
            self.report(OutputState.LOST, "it has failed; the station's log says why")
        finally:
            if not self._listens.done():
                self._listens.set_result("")
            for channel in self.channels:
                channel.join()

    async def _supervise(self) -> None:
        self._leaving = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        for channel in self.channels:
            channel.open(f"output {self.name}")
        looking = asyncio.create_task(self._look())
        serving = asyncio.create_task(self._serve_again_and_again())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            for channel in self.channels:
                channel.close()
            if not serving.done() and self._state is OutputState.CONNECTED:
                await asyncio.sleep(_LAST_WORD_SECONDS)
        finally:
            for task in (looking, leaving, serving):
                task.cancel()
            await asyncio.wait((looking, leaving, serving), timeout=_JOIN_SECONDS / 2)
        if serving.done() and not serving.cancelled():
            serving.result()

    async def _serve_again_and_again(self) -> None:
        served = Served(station=self._station, channels=self.channels, report=self.report, listening=self._is_listening)
        retry = FIRST_RETRY_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._output.serve(served)
            except (OutputLostError, OSError) as error:
                if not self._listens.done():
                    raise
                self.report(OutputState.LOST, str(error))
            except Exception as error:
                if not self._listens.done():
                    raise
                logger.exception("output %s failed in a way the station did not foresee", self.name)
                self.report(OutputState.LOST, f"{type(error).__name__}; the station's log says why")
            for channel in self.channels:
                channel.on_change = _nobody
            lasted = time.monotonic() - began
            retry = FIRST_RETRY_SECONDS if lasted > retry else min(2 * retry, LONGEST_RETRY_SECONDS)
            await asyncio.sleep(retry)

    def _is_listening(self, address: str) -> None:
        if not self._listens.done():
            self._listens.set_result(address)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for channel in self.channels:
                channel.look()

    def _feed(self) -> None:
        by_camera = {channel.camera: channel for channel in self.channels}
        with self._bus.subscribe(cameras=tuple(by_camera)) as events:
            while not self._stopping.is_set():
                event = events.get(_FEED_SECONDS)
                if event is None:
                    continue
                try:
                    self._feed_one(by_camera, event)
                except RuntimeError:  # the loop has been closed: the station is stopping
                    return

    def _feed_one(self, by_camera: dict[str, Channel], event: inspection_pb2.StationEvent) -> None:
        loop = self._loop
        kind = event.WhichOneof("event")
        if loop is None or kind not in ("inspection", "gap"):
            return
        if kind == "gap":  # how many were of which camera nobody knows any longer
            for channel in by_camera.values():
                loop.call_soon_threadsafe(channel.deliver, Missed(count=1))
            return
        channel = by_camera[event.inspection.camera]
        age_ns = max(0, time.monotonic_ns() - event.inspection.captured_monotonic_ns)
        loop.call_soon_threadsafe(channel.deliver, Followed(outcome=Outcome.of_event(event), age_ns=age_ns))


def _nobody(channel: Channel) -> None:
    """While the protocol is down: the handshake goes on, and its state is told when it is up again."""
