"""A small real RTSP server (RFC 2326) that sends JPEG over RTP (RFC 2435) on the same connection, for one reader."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

_PAYLOAD = 1400
_SSRC = 0x4C494E45
_DESCRIPTION = "\r\n".join(
    ("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=line", "t=0 0", "m=video 0 RTP/AVP 26", "a=control:0", "")
)


class RtspServer:
    """A context manager; `url` once entered. Each reader gets `picture(0)`, `picture(1)`, ... at a steady rate.

    Args:
        picture: (h, w, 3) RGB for a number, sides multiples of 8.
        fps: pictures per second.
        silent: answers nothing at all, as a camera that hangs.
    """

    def __init__(self, picture: Callable[[int], np.ndarray], *, fps: float = 25.0, silent: bool = False) -> None:
        self._picture = picture
        self._period = 1 / fps
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._readers: list[socket.socket] = []
        self.paused = threading.Event()
        """Set: the connection stays and nothing is sent."""
        self.sessions = 0
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/line"

    def __enter__(self) -> RtspServer:
        threading.Thread(target=self._accept, name="rtsp", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Breaks every connection, as a pulled cable with a switch behind it does."""
        readers, self._readers = self._readers, []
        for reader in readers:
            with suppressed():
                reader.shutdown(socket.SHUT_RDWR)
            reader.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                reader, _ = self._listener.accept()
            except OSError:
                return
            self._readers.append(reader)
            if not self._silent:
                threading.Thread(target=self._serve, args=(reader,), name="rtsp-reader", daemon=True).start()

    def _serve(self, reader: socket.socket) -> None:
        with suppressed():
            for request in _requests(reader):
                method, sequence = request.split(" ", 1)[0], _header(request, "CSeq")
                lines = ["RTSP/1.0 200 OK", f"CSeq: {sequence}"]
                body = ""
                if method == "OPTIONS":
                    lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                elif method == "DESCRIBE":
                    lines += ["Content-Type: application/sdp", f"Content-Length: {len(_DESCRIPTION)}"]
                    body = _DESCRIPTION
                elif method == "SETUP":
                    lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
                else:
                    lines.append("Session: 1")
                reader.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
                if method == "PLAY":
                    self.sessions += 1
                    threading.Thread(target=self._play, args=(reader,), name="rtsp-play", daemon=True).start()

    def _play(self, reader: socket.socket) -> None:
        number = packet = 0
        with suppressed():
            while not self._stopping.wait(self._period):
                if self.paused.is_set():
                    continue
                for chunk in _rtp(self._picture(number), number, packet):
                    packet += 1
                    reader.sendall(b"$\x00" + struct.pack(">H", len(chunk)) + chunk)
                number += 1


def _rtp(pixels: np.ndarray, number: int, first_packet: int) -> Iterator[bytes]:
    """The packets of one picture."""
    height, width = pixels.shape[:2]
    coded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    tables, scan = _parts(coded)
    timestamp = int(number * 3600) & 0xFFFFFFFF
    offset = 0
    while offset < len(scan):
        room = _PAYLOAD - (132 if offset == 0 else 0)
        piece = scan[offset : offset + room]
        last = offset + len(piece) == len(scan)
        rtp = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), first_packet & 0xFFFF, timestamp, _SSRC)
        jpeg = struct.pack(">BBHBBBB", 0, offset >> 16, offset & 0xFFFF, 1, 255, width // 8, height // 8)
        quantisation = struct.pack(">BBH", 0, 0, len(tables)) + tables if offset == 0 else b""
        yield rtp + jpeg + quantisation + piece
        offset += len(piece)
        first_packet += 1


def _parts(coded: bytes) -> tuple[bytes, bytes]:
    """Quantisation tables and entropy-coded data of a baseline 4:2:0 JPEG with the standard Huffman tables."""
    tables, place = b"", 2
    while True:
        marker, length = coded[place + 1], struct.unpack(">H", coded[place + 2 : place + 4])[0]
        if marker == 0xDB:
            block = coded[place + 4 : place + 2 + length]
            for start in range(0, len(block), 65):
                tables += block[start + 1 : start + 65]
        place += 2 + length
        if marker == 0xDA:
            return tables, coded[place:-2]


def _requests(reader: socket.socket) -> Iterator[str]:
    data = b""
    while chunk := reader.recv(4096):
        data += chunk
        while data:
            if data[:1] == b"$":  # the reader's own RTCP reports
                if len(data) < 4 or len(data) < 4 + struct.unpack(">H", data[2:4])[0]:
                    break
                data = data[4 + struct.unpack(">H", data[2:4])[0] :]
            elif b"\r\n\r\n" in data:
                request, data = data.split(b"\r\n\r\n", 1)
                yield request.decode()
            else:
                break


def _header(request: str, name: str) -> str:
    return next(line.split(":", 1)[1].strip() for line in request.splitlines() if line.lower().startswith(name.lower()))


@contextmanager
def suppressed() -> Iterator[None]:
    """A reader that goes away in the middle is nothing to a server."""
    try:
        yield
    except OSError:
        time.sleep(0)
