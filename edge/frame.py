"""A frame: one picture with its identity. Everything in the station passes this value around."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from numpy.typing import NDArray

from lineside.ids import is_frame_id

LARGEST_SIDE = 32768
"""Pixels; the contract's limit for a frame's width and height."""
LONGEST_PART_ID = 256
"""Characters."""

_CAMERA_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_camera_name(text: str) -> bool:
    """Whether the contract allows this as a camera's name: letters, digits, '-', '_', '.', 1 to 64 of them."""
    return _CAMERA_NAME.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture at sensor resolution, checked at birth.

    Raises:
        ValueError: a field is not what its description says; the message names it and the value seen.
    """

    frame_id: str
    """UUIDv7."""
    camera: str
    part_id: str
    """Serial number or reference; empty: not known."""
    camera_sequence: int
    """The camera's own counter, or the number of the request since the daemon started."""
    captured_unix_ns: int
    """Wall clock; may jump."""
    captured_monotonic_ns: int
    """The clock that only grows (`time.monotonic_ns`); no meaning across boots."""
    pixels: NDArray[np.uint8]
    """(h, w) mono or (h, w, 3) RGB; nobody writes to it."""
    source: bytes | None = None
    """The picture file exactly as received; None where only pixels came."""
    source_suffix: str = ""
    """File suffix of `source` without a dot (jpg, png, ...); empty where there is none."""

    def __post_init__(self) -> None:
        if not is_frame_id(self.frame_id):
            raise ValueError(f"frame_id is {self.frame_id!r}, expected a UUIDv7 in lower case")
        if not is_camera_name(self.camera):
            raise ValueError(f"camera is {self.camera!r}, expected 1 to 64 letters, digits, '-', '_' or '.'")
        if len(self.part_id) > LONGEST_PART_ID:
            raise ValueError(f"part_id has {len(self.part_id)} characters, expected at most {LONGEST_PART_ID}")
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
            raise ValueError(f"pixels are {self.pixels.dtype} {shape}, expected uint8 (h, w) or (h, w, 3)")
        if not (1 <= shape[0] <= LARGEST_SIDE and 1 <= shape[1] <= LARGEST_SIDE):
            raise ValueError(f"pixels are {shape[1]}x{shape[0]}, expected sides of 1 to {LARGEST_SIDE}")
        if (self.source is None) != (self.source_suffix == ""):
            raise ValueError(f"source_suffix is {self.source_suffix!r}, expected one exactly where there is a source")

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])
