"""A TCP link that breaks after so many bytes, again and again, between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class BreakingLink:
    """Listens, and passes bytes on until a connection has carried as many as `break_after` says; then it is cut.

    Args:
        target: HOST:PORT of the server.
        break_after: bytes from client to server per connection, one number for each connection; None or beyond the
            list: it holds.
        bytes_per_second: it carries no more from client to server; None: as much as there is.
    """

    def __init__(self, target: str, break_after: list[int | None], *, bytes_per_second: float | None = None) -> None:
        self._rate = bytes_per_second
        self._leaving = threading.Event()
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._limits = list(break_after)
        self.connections = 0
        self.carried = 0
        """Bytes from client to server, all connections together."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._listener.getsockname())

    def __enter__(self) -> BreakingLink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            _cut(end)
        self._thread.join(10)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            limit = self._limits[self.connections] if self.connections < len(self._limits) else None
            self.connections += 1
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for source, sink, most in ((client, server, limit), (server, client, None)):
                threading.Thread(target=self._carry, args=(source, sink, most), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                if self._rate is not None and source in self._open[::2]:
                    self._leaving.wait(len(data) / self._rate)
                sink.sendall(data)
                carried += len(data)
                if most is not None or source in self._open[::2]:
                    self.carried += len(data)
                if most is not None and carried >= most:
                    break
        _cut(source)
        _cut(sink)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
