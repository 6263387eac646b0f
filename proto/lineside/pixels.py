"""Pictures: decoding files and letterboxing pixels. The only contract file that needs OpenCV.

It is here, not twice, because the station and the training must make the same numbers out of the same
bytes. Pictures are uint8, (height, width) mono or (height, width, 3) RGB.
"""

from __future__ import annotations

import os

# OpenCV reads this once, when it is loaded: a picture that claims more pixels is refused before
# memory is taken for it.
MAXIMUM_PIXELS = 1 << 27
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAXIMUM_PIXELS))
# What is wrong with a picture is told to whoever sent it; OpenCV's own lines on stderr would let him fill our log.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from lineside.letterbox import Letterbox  # noqa: E402
from lineside.reasons import ContractError, Reason  # noqa: E402

Pixels = NDArray[np.uint8]

ENCODINGS = ("JPEG", "PNG", "WebP", "BMP", "TIFF")
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"P5", "pgm"),
    (b"P6", "ppm"),
)


def encoding_of(data: bytes) -> str | None:
    """File suffix of the encoding, judged by the first bytes: jpg, png, webp, bmp, tif, pgm, ppm, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((suffix for start, suffix in _SIGNATURES if data.startswith(start)), None)


def decode(data: bytes) -> Pixels:
    """Reads an encoded picture: (h, w) for grey ones, (h, w, 3) RGB for the rest; alpha is dropped.

    Orientation tags are ignored: boxes belong to the pixels as stored.

    Raises:
        ContractError: IMAGE_DECODE (not a readable picture), IMAGE_SHAPE (readable, not 8 bit).
    """
    allowed = ", ".join(ENCODINGS)
    if not data:
        raise ContractError(Reason.IMAGE_DECODE, f"the image is empty (0 bytes); send one of {allowed}")
    if encoding_of(data) is None:
        raise ContractError(
            Reason.IMAGE_DECODE, f"{len(data)} bytes that begin like no known picture; send one of {allowed}"
        )
    # A colour JPEG is asked for as RGB at once, which saves turning it round: the same pixels a tenth sooner.
    rgb = _is_colour_jpeg(data)
    kind = cv2.IMREAD_COLOR_RGB if rgb else cv2.IMREAD_UNCHANGED
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        raise ContractError(
            Reason.IMAGE_DECODE,
            f"{len(data)} bytes that cannot be decoded; at most {MAXIMUM_PIXELS} pixels, one of {allowed}",
        ) from None
    if picture is None:
        raise ContractError(Reason.IMAGE_DECODE, f"{len(data)} bytes that cannot be decoded; is the picture cut off?")
    if picture.dtype != np.uint8:
        raise ContractError(Reason.IMAGE_SHAPE, f"the picture holds {picture.dtype} pixels, expected 8 bit")
    if picture.ndim == 2 or rgb:
        return np.ascontiguousarray(picture, np.uint8)
    if picture.shape[2] == 1:
        return np.ascontiguousarray(picture[:, :, 0])
    if picture.shape[2] == 4:
        return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB).astype(np.uint8, copy=False)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _is_colour_jpeg(data: bytes) -> bool:
    """Whether this is a JPEG of three components of 8 bit; False where that is not clear from its first segments."""
    if data[:3] != b"\xff\xd8\xff":
        return False
    position = 2
    for _ in range(64):
        marker = data[position + 1 : position + 2]
        if data[position : position + 1] != b"\xff" or not marker:
            return False
        if marker[0] == 0xFF:  # padding
            position += 1
            continue
        if 0xC0 <= marker[0] <= 0xCF and marker[0] not in (0xC4, 0xC8, 0xCC):
            return data[position + 4 : position + 5] == b"\x08" and data[position + 9 : position + 10] == b"\x03"
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def encode_lossless(picture: Pixels) -> bytes:
    """The pixels as binary PGM or PPM (netpbm): a header and the bytes, so that it costs one copy."""
    kind = b"P5" if picture.ndim == 2 else b"P6"
    height, width = picture.shape[:2]
    return b"%s\n%d %d\n255\n" % (kind, width, height) + picture.tobytes()


def encode_png(picture: Pixels) -> bytes:
    """The pixels as PNG, for files that are kept or shown."""
    return bytes(cv2.imencode(".png", _bgr(picture))[1].tobytes())


def encode_jpeg(picture: Pixels, quality: int = 85) -> bytes:
    """The pixels as JPEG, for screens; quality 1 to 100."""
    return bytes(cv2.imencode(".jpg", _bgr(picture), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def _bgr(picture: Pixels) -> Pixels:
    if picture.ndim == 2:
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)


def with_channels(picture: Pixels, channels: int) -> Pixels:
    """(h, w, channels): grey pictures are repeated, colour ones weighted to grey as the model needs it."""
    if channels == 1:
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return np.asarray(grey, np.uint8)[:, :, None]
    if channels != 3:
        raise ValueError(f"channels is {channels}, expected 1 or 3")
    if picture.ndim == 3:
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def letterboxed(picture: Pixels, geometry: Letterbox, *, channels: int, padding: int) -> Pixels:
    """The model's input (model_height, model_width, channels) for one picture.

    Shrinking averages the pixels a target pixel covers (a defect a few pixels wide must not fall
    between samples); growing interpolates linearly.

    Raises:
        ContractError: IMAGE_SHAPE, the picture does not have the geometry's frame size.
    """
    height, width = picture.shape[:2]
    if (width, height) != (geometry.frame_width, geometry.frame_height):
        raise ContractError(
            Reason.IMAGE_SHAPE,
            f"the picture is {width}x{height}, expected {geometry.frame_width}x{geometry.frame_height}",
        )
    inner = (geometry.inner_width, geometry.inner_height)
    picture = with_channels(picture, channels)
    if inner != (width, height):
        shrinks = inner[0] < width
        picture = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
        picture = picture.reshape(inner[1], inner[0], channels)
    if inner == (geometry.model_width, geometry.model_height):
        return np.ascontiguousarray(picture)
    canvas = np.full((geometry.model_height, geometry.model_width, channels), padding, np.uint8)
    canvas[geometry.top : geometry.top + inner[1], geometry.left : geometry.left + inner[0]] = picture
    return canvas
