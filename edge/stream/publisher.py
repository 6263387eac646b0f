"""Everything the station decides, on a ZeroMQ PUB socket: frames [topic, StationEvent].

Best effort by nature: a slow subscriber loses messages without anybody being told. The numbers in the events show it
(they have no holes), and Watch(from_sequence) fills the gap.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

import zmq
from pydantic import Field

from edge.events import EventBus, StoredEvent
from edge.settings import Settings

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0
_LINGER_MILLISECONDS = 500


class StreamSettings(Settings):
    """Section [stream]."""

    enabled: bool = True
    """False: no stream."""
    listen: str = "tcp://127.0.0.1:5556"
    """ZeroMQ endpoint; port 0 or * takes any free one."""
    queue: int = Field(default=1000, ge=1)
    """Events that wait for one subscriber before the next ones are dropped for it."""


class DetectionPublisher:
    """A context manager: entering binds and starts the thread, leaving sends what is published and stops.

    Args:
        settings: of the section.
        bus: what is sent, from the moment of entering.
        secure: puts CURVE on the socket before it is bound; None: an open socket.
        context: of the sockets; the process-wide one by default.
    """

    def __init__(
        self,
        settings: StreamSettings,
        bus: EventBus,
        *,
        secure: Callable[[zmq.Socket[bytes]], None] | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._secure = secure
        self._context = context
        self.address = ""
        """Where it listens, known once entered."""

    def __enter__(self) -> DetectionPublisher:
        """Binds.

        Raises:
            OSError: the address cannot be had.
        """
        context = self._context if self._context is not None else zmq.Context.instance()
        socket: zmq.Socket[bytes] = context.socket(zmq.PUB)
        try:
            socket.setsockopt(zmq.LINGER, _LINGER_MILLISECONDS)
            socket.setsockopt(zmq.SNDHWM, self._settings.queue)
            if self._secure is not None:
                self._secure(socket)
            socket.bind(wildcard_port(self._settings.listen))
        except zmq.ZMQError as error:
            socket.close()
            raise OSError(
                f"[stream] listen: {self._settings.listen} cannot be had: {error}; is another station running?"
            ) from error
        except BaseException:
            socket.close()
            raise
        self.address = socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]
        self._events = self._bus.subscribe()
        self._thread = threading.Thread(target=self._run, args=(socket,), name="publisher", daemon=True)
        self._thread.start()
        logger.info("events are published on %s", self.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Sends what has been published until now, then stops; idempotent."""
        self._events.finish()
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            logger.error("the publisher did not end within %.0f s", _JOIN_SECONDS)

    def _run(self, socket: zmq.Socket[bytes]) -> None:
        # The socket was handed over by starting the thread; from here on it is this thread's alone.
        with socket, self._events:
            while (event := self._events.take()) is not None:
                if isinstance(event, StoredEvent):  # a Gap is for Watch: subscribers see it in the numbers
                    socket.send_multipart((event.topic.encode(), event.data))


def wildcard_port(endpoint: str) -> str:
    """ZeroMQ's way to say any free port: `*` where people write 0."""
    return endpoint[:-1] + "*" if endpoint.startswith("tcp://") and endpoint.endswith(":0") else endpoint
