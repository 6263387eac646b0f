"""Serves the panel inside the daemon's event loop. Signals stay the daemon's."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator
from types import TracebackType

import uvicorn

from edge.panel.app import create_app
from edge.panel.parts import PanelParts
from edge.panel.settings import PanelSettings

logger = logging.getLogger(__name__)

STOP_SECONDS = 3
"""How long open requests may take when the panel stops."""
LARGEST_MESSAGE = 4096
"""Bytes of a page's WebSocket message before the connection is cut."""


class _Server(uvicorn.Server):
    """uvicorn without hands on the process's signals, and with a word when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals where they are."""
        yield


class PanelServer:
    """An async context manager: entering listens, leaving ends pages and requests.

    Args:
        parts: of the station.
    """

    def __init__(self, parts: PanelParts) -> None:
        self._settings = parts.settings
        certificate, key = parts.settings.tls_certificate, parts.settings.tls_key
        self._server = _Server(
            uvicorn.Config(
                create_app(parts),
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,  # JPEG does not shrink, and it costs time
                ws_ping_interval=20,
                ws_ping_timeout=20,
                timeout_graceful_shutdown=STOP_SECONDS,
                limit_concurrency=None,
                ssl_certfile=None if certificate is None else str(certificate),
                ssl_keyfile=None if key is None else str(key),
            )
        )
        self._task: asyncio.Task[None] | None = None
        self.address = ""
        """Where it listens, HOST:PORT; known once entered."""

    @property
    def url(self) -> str:
        """What to type into a browser."""
        return f"{'http' if self._settings.tls_key is None else 'https'}://{self.address}"

    async def __aenter__(self) -> PanelServer:
        """Listens; pages can be opened on return.

        Raises:
            OSError: the address cannot be had.
            RuntimeError: the panel did not start; the log says why.
        """
        listener = _listener(*self._settings.address)
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="panel")
        up = asyncio.create_task(self._server.up.wait())
        try:
            await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not self._server.started:
                await self._task
                raise RuntimeError("the panel did not start; the lines above say why")
        except BaseException:
            listener.close()
            raise
        finally:
            up.cancel()
        logger.info("the panel is at %s", self.url)
        for warning in exposures(self._settings, host):
            logger.warning(warning)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stops listening, ends the pages; idempotent."""
        if self._task is None:
            return
        self._server.should_exit = True
        task, self._task = self._task, None
        try:
            await task
        except Exception:
            logger.exception("the panel did not end cleanly")


def exposures(settings: PanelSettings, host: str) -> list[str]:
    """What somebody on the network could do with these settings that their owner may not have meant."""
    if ipaddress.ip_address(host).is_loopback:
        return []
    found = []
    if not settings.login:
        found.append("whoever reaches the panel may judge under any name ([panel] login = false)")
    elif settings.tls_key is None:
        found.append("PINs travel openly to the panel; give it a certificate ([panel] tls_certificate, tls_key)")
    return found


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Not dual stack: an address in the settings means exactly that address.
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"[panel] listen: {host}:{port} cannot be had ({reason}); is another station running?") from None
