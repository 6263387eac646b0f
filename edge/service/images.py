"""From an Image of the contract to pixels: encoded, raw, or in shared memory of the same host."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.frame import LARGEST_SIDE
from lineside.pixels import MAXIMUM_PIXELS, decode, encoding_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux shows POSIX shared memory
_NAME = re.compile(r"/?[A-Za-z0-9_.-]{1,128}")
_CHANNELS = {
    inspection_pb2.PIXEL_FORMAT_MONO8: 1,
    inspection_pb2.PIXEL_FORMAT_RGB8: 3,
    inspection_pb2.PIXEL_FORMAT_BGR8: 3,
}


class ReadImage(NamedTuple):
    """Pixels of a frame, and the file they came in, if they did."""

    pixels: NDArray[np.uint8]
    """(h, w) mono or (h, w, 3) RGB; read-only where they lie in the request."""
    source: bytes | None
    source_suffix: str


def read_image(image: inspection_pb2.Image, picture: memoryview | None = None) -> ReadImage:
    """The pixels of an image.

    Args:
        image: of a request.
        picture: what belongs into `encoded` or `raw.pixels`, where it was left out (`lineside.wire`).

    Raises:
        ContractError: IMAGE_DECODE (none, empty, or not a picture), IMAGE_SHAPE (impossible size, unknown format, or
            the bytes are not as many as the size asks for).
    """
    kind = image.WhichOneof("payload")
    if kind == "encoded":
        # The file is kept as it came, so it needs bytes of its own; the request's may be megabytes more.
        data = image.encoded if picture is None else bytes(picture)
        pixels = decode(data)
        if max(pixels.shape[:2]) > LARGEST_SIDE:
            raise _too_large(pixels.shape[1], pixels.shape[0])
        return ReadImage(pixels, data, encoding_of(data) or "")
    if kind == "raw":
        return ReadImage(_raw(image.raw, image.raw.pixels if picture is None else picture), None, "")
    if kind == "shared_memory":
        return ReadImage(_shared(image.shared_memory), None, "")
    raise ContractError(
        Reason.IMAGE_DECODE, "the request holds no image; set encoded, raw or shared_memory of its image"
    )


def check_size(width: int, height: int) -> None:
    """Raises ContractError: IMAGE_SHAPE, no frame has such sides."""
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE) or width * height > MAXIMUM_PIXELS:
        raise _too_large(width, height)


def _raw(raw: inspection_pb2.RawImage, data: bytes | memoryview) -> NDArray[np.uint8]:
    shape = _shape(raw.width, raw.height, raw.format)
    expected = shape[0] * shape[1] * (shape[2] if len(shape) == 3 else 1)
    if len(data) != expected:
        raise ContractError(
            Reason.IMAGE_SHAPE,
            f"{len(data)} bytes of pixels, expected {expected} for {raw.width}x{raw.height}"
            f" {inspection_pb2.PixelFormat.Name(raw.format)}",
        )
    return _as_rgb(np.frombuffer(data, np.uint8).reshape(shape), raw.format)


def _shared(handle: inspection_pb2.SharedMemoryImage) -> NDArray[np.uint8]:
    if not _NAME.fullmatch(handle.name) or handle.name.strip("/") in (".", ".."):
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"shared_memory.name is {handle.name[:140]!r}, expected 1 to 128 letters, digits, '-', '_' or '.'",
        )
    shape = _shape(handle.width, handle.height, handle.format)
    pixels = np.empty(shape, np.uint8)
    # Read, not mapped: if the caller shortens the object meanwhile a read is short, a mapping kills the daemon.
    try:
        descriptor = os.open(_SHARED_MEMORY / handle.name.lstrip("/"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ContractError(
            Reason.IMAGE_DECODE, f"shared memory {handle.name!r} cannot be opened here: {error.strerror}"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ContractError(Reason.IMAGE_DECODE, f"{handle.name!r} is no shared memory")
        got = _read_fully(descriptor, pixels, handle.offset)
    finally:
        os.close(descriptor)
    if got != pixels.size:
        raise ContractError(
            Reason.IMAGE_SHAPE,
            f"shared memory {handle.name!r} holds {got} bytes from offset {handle.offset}, expected {pixels.size} for"
            f" {handle.width}x{handle.height} {inspection_pb2.PixelFormat.Name(handle.format)}",
        )
    return _as_rgb(pixels, handle.format)


def _read_fully(descriptor: int, pixels: NDArray[np.uint8], offset: int) -> int:
    """Fills the array from the file; the number of bytes there were."""
    room = memoryview(pixels.reshape(-1).data)
    got = 0
    while got < len(room):
        try:
            count = os.preadv(descriptor, [room[got:]], offset + got)
        except (OSError, OverflowError):
            return got
        if count == 0:
            return got
        got += count
    return got


def _shape(width: int, height: int, pixel_format: int) -> tuple[int, ...]:
    channels = _CHANNELS.get(pixel_format)  # type: ignore[call-overload]
    if channels is None:
        raise ContractError(
            Reason.IMAGE_SHAPE, f"pixel format is {pixel_format}, expected one of MONO8 (1), RGB8 (2), BGR8 (3)"
        )
    check_size(width, height)
    return (height, width) if channels == 1 else (height, width, channels)


def _too_large(width: int, height: int) -> ContractError:
    return ContractError(
        Reason.IMAGE_SHAPE,
        f"the image is {width}x{height}, expected sides of 1 to {LARGEST_SIDE} and at most {MAXIMUM_PIXELS} pixels",
    )


def _as_rgb(pixels: NDArray[np.uint8], pixel_format: int) -> NDArray[np.uint8]:
    if pixel_format != inspection_pb2.PIXEL_FORMAT_BGR8:
        return pixels
    return np.ascontiguousarray(pixels[:, :, ::-1])
