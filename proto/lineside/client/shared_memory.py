"""Pictures handed to a station on the same host without sending them: a ring of slots in shared memory.

    with InspectionClient(ADDRESS) as client, SharedPictures(picture_bytes=5 << 20) as shared:
        with shared.slot(height=2048, width=2448, channels=1) as slot:
            grab_into(slot.pixels)  # a camera library that writes where it is told: nothing is copied
            result = client.inspect(slot.request(camera="top"))

The station reads a slot before it answers, so a slot is free again with the answer. Where the caller gave up waiting
the station may still be reading: such a slot rests for a while. Objects of callers that were killed are removed by the
next caller that starts, and by the station.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lineside import shared_memory
from lineside.client.requests import Rules, with_fields
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

REST_SECONDS = 1.0
"""How long a slot rests after a call whose end the station did not tell."""
_PAGE = 4096


class Slot:
    """Room for one picture, of one caller until he leaves it. A context manager, made by `SharedPictures.slot`."""

    def __init__(self, shared: SharedPictures, number: int, name: str, offset: int, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        """uint8 (h, w) mono or (h, w, 3) RGB: write the picture here before asking for the request."""
        self._shared = shared
        self._number = number
        self._name = name
        self._offset = offset

    def request(
        self,
        *,
        camera: str = "",
        part_id: str = "",
        frame_id: str = "",
        captured_unix_ns: int = 0,
        recipe: Rules = None,
    ) -> inspection_pb2.InspectRequest:
        """A request about the picture that lies here; fields as in InspectRequest of inspection.proto."""
        mono = self.pixels.ndim == 2
        handle = inspection_pb2.SharedMemoryImage(
            name=self._name,
            offset=self._offset,
            width=self.pixels.shape[1],
            height=self.pixels.shape[0],
            format=inspection_pb2.PIXEL_FORMAT_MONO8 if mono else inspection_pb2.PIXEL_FORMAT_RGB8,
        )
        request = inspection_pb2.InspectRequest(image=inspection_pb2.Image(shared_memory=handle))
        return with_fields(
            request,
            camera=camera,
            part_id=part_id,
            frame_id=frame_id,
            captured_unix_ns=captured_unix_ns,
            recipe=recipe,
        )

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told = error is None or (isinstance(error, ContractError) and error.reason is not Reason.DEADLINE)
        self._shared._give_back(self._number, rests=not told)


class SharedPictures:
    """The ring. A context manager; slots may be taken from several threads.

    Args:
        picture_bytes: of the largest picture: height * width, three times that for RGB.
        slots: pictures on their way at a time; as many as calls at a time, and two more for a stream.
        mode: permissions of the object; 0o644 where the station runs as another user.

    Raises:
        OSError: this host has no shared memory, or not that much.
        ValueError: a size is impossible.
    """

    def __init__(self, picture_bytes: int, *, slots: int = 4, mode: int = 0o600) -> None:
        if picture_bytes < 1 or slots < 1:
            raise ValueError(f"{slots} slots of {picture_bytes} bytes, expected at least one of one")
        shared_memory.sweep()
        self._step = -(-picture_bytes // _PAGE) * _PAGE
        self._room = picture_bytes
        self.name, self._descriptor = shared_memory.create(self._step * slots, mode=mode)
        try:
            self._memory = mmap.mmap(self._descriptor, self._step * slots)
        except BaseException:
            self._remove()
            raise
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._changed = threading.Condition()
        self._free = [(0.0, number) for number in range(slots)]
        self._closed = False

    def slot(self, *, height: int, width: int, channels: int = 3, timeout: float | None = None) -> Slot:
        """Room for one picture, waiting until a slot is free.

        Args:
            height: rows.
            width: columns.
            channels: 1 (mono) or 3 (RGB).
            timeout: seconds to wait at most; None: no limit.

        Raises:
            ValueError: the picture has no such shape, or is larger than a slot.
            TimeoutError: none was free in time.
            RuntimeError: the ring is closed.
        """
        size = height * width * channels
        if channels not in (1, 3) or min(height, width) < 1 or size > self._room:
            raise ValueError(
                f"{width}x{height} pixels of {channels} bytes do not fit: a slot holds {self._room}, a pixel 1 or 3"
            )
        number = self._take(timeout)
        offset = number * self._step
        flat = self._bytes[offset : offset + size]
        return Slot(
            self, number, self.name, offset, flat.reshape((height, width) if channels == 1 else (height, width, 3))
        )

    def put(self, pixels: NDArray[np.uint8], *, timeout: float | None = None) -> Slot:
        """A slot with a copy of a picture, uint8 (h, w) or (h, w, 3) RGB. Raises as `slot`."""
        if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (h, w) or (h, w, 3)")
        slot = self.slot(
            height=pixels.shape[0], width=pixels.shape[1], channels=1 if pixels.ndim == 2 else 3, timeout=timeout
        )
        slot.pixels[...] = pixels
        return slot

    def close(self) -> None:
        """Removes the object; the station keeps what it has read. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._remove()
        # A picture somebody still holds keeps the memory mapped until he lets go of it.
        del self._bytes
        with contextlib.suppress(BufferError):
            self._memory.close()

    def __enter__(self) -> SharedPictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, timeout: float | None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                if self._closed:
                    raise RuntimeError("the shared pictures are closed")
                now = time.monotonic()
                ready = min(self._free, default=None)
                if ready is not None and ready[0] <= now:
                    self._free.remove(ready)
                    return ready[1]
                waits = [moment - now for moment in (None if ready is None else ready[0], until) if moment is not None]
                if until is not None and until <= now:
                    raise TimeoutError(f"no slot was free within {timeout} s; are there as many slots as calls?")
                self._changed.wait(min(waits, default=None))

    def _give_back(self, number: int, *, rests: bool) -> None:
        with self._changed:
            self._free.append((time.monotonic() + REST_SECONDS if rests else 0.0, number))
            self._changed.notify()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            (shared_memory.FOLDER / self.name).unlink()
        os.close(self._descriptor)
