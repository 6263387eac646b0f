"""Everything the station decides, on a ZeroMQ PUB socket: frames [topic, StationEvent].

Best effort by nature: a slow subscriber loses messages without anybody being told. The numbers in the events show it
(they have no holes), and Watch(from_sequence) fills the gap.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from types import TracebackType

import zmq
from pydantic import Field

from edge.events import EventBus, StoredEvent
from edge.settings import Settings
from edge.stream.curve import CurveGuard

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0
LINGER_SECONDS = 0.002
"""How late an event may be sent; so the station is not held up for every one at a fast line."""
_LINGER_MILLISECONDS = 500


class StreamSettings(Settings):
    """Section [stream]."""

    listen: str = Field(default="tcp://127.0.0.1:5556", pattern=r"^(tcp|ipc)://.+")
    """ZeroMQ endpoint; port 0 takes a free one."""
    queue: int = Field(default=1000, ge=1)
    """Events that wait for one subscriber before the next ones are dropped for it."""


class DetectionPublisher:
    """A context manager: entering binds and starts the thread, leaving sends what is published and stops.

    Args:
        settings: of the section.
        bus: what is sent, from the moment of entering.
        curve: protects the socket; None: it is open to whoever reaches it.
    """

    def __init__(self, settings: StreamSettings, bus: EventBus, curve: CurveGuard | None = None) -> None:
        self._settings = settings
        self._bus = bus
        self._curve = curve
        self._events = bus.subscribe(linger=LINGER_SECONDS)
        self._thread: threading.Thread | None = None
        self.endpoint = settings.listen
        """Once entered: the real address."""

    def __enter__(self) -> DetectionPublisher:
        """Binds.

        Raises:
            OSError: the address cannot be had.
        """
        started: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="publisher")
        self._thread.start()
        try:
            self.endpoint = started.result()
        except zmq.ZMQError as error:
            self._thread.join()
            raise OSError(
                error.errno, f"[stream] listen: {self._settings.listen} cannot be had: {error.strerror}"
            ) from None
        logger.info("events are published on %s", self.endpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Sends what has been published until now, then stops; idempotent."""
        self._events.finish()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            if self._thread.is_alive():
                logger.error("the publisher did not end within %.0f s", _JOIN_SECONDS)

    def _run(self, started: concurrent.futures.Future[str]) -> None:
        context = zmq.Context() if self._curve is None else self._curve.context
        try:
            with context.socket(zmq.PUB) as socket, self._events:
                socket.linger = _LINGER_MILLISECONDS
                socket.sndhwm = self._settings.queue
                try:
                    if self._curve is not None:
                        self._curve.protect(socket)
                    socket.bind(self._settings.listen)
                    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
                except Exception as error:
                    started.set_exception(error)
                    return
                started.set_result(endpoint)
                while (event := self._events.take()) is not None:
                    if isinstance(event, StoredEvent):  # a Gap is for Watch: subscribers see it in the numbers
                        socket.send_multipart((event.topic.encode(), event.data))
        except Exception:
            logger.exception("the publisher has failed; nothing is streamed until the station is started anew")
        finally:
            if self._curve is None:
                context.term()
