"""Shows a registry under http://HOST:PORT/metrics, in Prometheus's text format or OpenMetrics, whichever is asked for.

A scrape runs in a thread of its own; a few at a time, and one that dawdles is cut off, so nobody who reaches the port
can take threads from the line.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from edge.metrics.settings import MetricsSettings

logger = logging.getLogger(__name__)

MOST_SCRAPES = 4
"""At a time; a connection beyond is closed at once."""
SCRAPE_SECONDS = 10.0
"""How long a caller may take to send his request or to read the answer."""
_LOOK_SECONDS = 0.2
_JOIN_SECONDS = 5.0


class _Handler(WSGIRequestHandler):
    timeout = SCRAPE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library names it
        logger.debug(format, *args)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.BoundedSemaphore(MOST_SCRAPES)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The library's own asks the name service for this machine's name, which may take as long as it likes.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        logger.debug("a scrape from %s broke off", client_address, exc_info=True)


class MetricsServer:
    """A context manager: entering listens, leaving stops.

    Args:
        settings: of the section; with an address.
        registry: what is shown.
    """

    def __init__(self, settings: MetricsSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.address = ""
        """Where it listens, HOST:PORT; known once entered."""

    def __enter__(self) -> MetricsServer:
        """Listens.

        Raises:
            OSError: the address cannot be had.
        """
        try:
            self._server = _Server(self._settings.address)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                f"[metrics] listen: {self._settings.listen} cannot be had ({reason}); is another station running?"
            ) from None
        self._server.set_app(make_wsgi_app(self._registry))
        host, port = self._server.server_name, self._server.server_port
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()
        logger.info("metrics are at http://%s/metrics", self.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening; idempotent."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        with contextlib.suppress(OSError):
            server.server_close()
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            logger.error("the metrics' thread did not end within %.0f s", _JOIN_SECONDS)
