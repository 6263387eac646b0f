"""From what an industrial camera sends to pixels the station judges. Pure. Names are those of the PFNC standard."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_MONO_BITS = {"Mono8": 8, "Mono10": 10, "Mono12": 12, "Mono14": 14, "Mono16": 16}
_TO_RGB = {
    "BayerRG8": cv2.COLOR_BayerRGGB2RGB,
    "BayerGR8": cv2.COLOR_BayerGRBG2RGB,
    "BayerGB8": cv2.COLOR_BayerGBRG2RGB,
    "BayerBG8": cv2.COLOR_BayerBGGR2RGB,
    "RGB8": None,
    "BGR8": cv2.COLOR_BGR2RGB,
    "RGBa8": cv2.COLOR_RGBA2RGB,
    "BGRa8": cv2.COLOR_BGRA2RGB,
}
_CHANNELS = {"RGB8": 3, "BGR8": 3, "RGBa8": 4, "BGRa8": 4}
FORMATS = (*_MONO_BITS, *_TO_RGB)
"""What `to_pixels` understands; packed formats (Mono12p and the like) are not among them."""
_CODES = {
    0x01080001: "Mono8",
    0x01100003: "Mono10",
    0x01100005: "Mono12",
    0x01100025: "Mono14",
    0x01100007: "Mono16",
    0x01080008: "BayerGR8",
    0x01080009: "BayerRG8",
    0x0108000A: "BayerGB8",
    0x0108000B: "BayerBG8",
    0x02180014: "RGB8",
    0x02180015: "BGR8",
    0x02200016: "RGBa8",
    0x02200017: "BGRa8",
}


def format_name(name: str | int) -> str:
    """The PFNC name of a format by its code or by the name it had before ("BGR8Packed").

    Raises:
        ValueError: none of FORMATS.
    """
    known = _CODES.get(name, f"{name:#010x}") if isinstance(name, int) else name.removesuffix("Packed")
    known = {"BGRA8": "BGRa8", "RGBA8": "RGBa8"}.get(known, known)
    if known not in FORMATS:
        raise ValueError(f"pixel format {known} is not understood; set pixel_format to one of {', '.join(FORMATS)}")
    return known


def to_pixels(data: bytes | memoryview | NDArray[np.uint8], width: int, height: int, name: str) -> NDArray[np.uint8]:
    """The picture, a copy of its own: (h, w) for mono formats, (h, w, 3) RGB for the others.

    Deeper mono formats keep their 8 highest bits.

    Args:
        data: the camera's buffer, rows from top to bottom, each at least as long as the picture is wide; the rows may
            be padded at their ends, all alike.
        width: pixels.
        height: pixels.
        name: one of FORMATS.

    Raises:
        ValueError: fewer bytes than the picture has: its end never came.
    """
    raw = np.frombuffer(data, np.uint8)
    bits = _MONO_BITS.get(name, 8)
    row = width * _CHANNELS.get(name, 1) * (1 if bits == 8 else 2)
    if len(raw) < row * height:
        raise ValueError(f"{len(raw)} bytes of {row * height} ({width}x{height} {name})")
    rows = raw[: len(raw) // height * height].reshape(height, -1)[:, :row]
    if name in _MONO_BITS:
        if bits == 8:
            return np.array(rows, np.uint8)
        deep = np.ascontiguousarray(rows).view("<u2")
        return np.asarray(deep >> (bits - 8), np.uint8)
    code = _TO_RGB[name]
    channels = _CHANNELS.get(name, 1)
    shaped = np.ascontiguousarray(rows).reshape((height, width) if channels == 1 else (height, width, channels))
    if code is None:
        return shaped.copy() if shaped.base is not None or shaped is rows else shaped
    return cv2.cvtColor(shaped, code).astype(np.uint8, copy=False)
