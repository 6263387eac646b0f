"""Numbers drawn into pictures so that they can be read after a camera, a coder and a network: 24 bits and a check.

A grid of four rows and eight columns, each cell dark (0) or bright (1); the last row is a checksum. So a number that is
read is the number that was drawn, or none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 4, 8
MOST = 1 << 24
_DARK, _BRIGHT = 60, 200


def draw(number: int, size: int = 64) -> NDArray[np.uint8]:
    """(size, size) mono with the number, 0 to 2^24 - 1, in it; `size` a multiple of 8."""
    if not 0 <= number < MOST:
        raise ValueError(f"number is {number}, expected 0 to {MOST - 1}")
    value = number << 8 | _check(number)
    bits = np.array([value >> place & 1 for place in range(31, -1, -1)]).reshape(ROWS, COLUMNS)
    cells = np.where(bits, _BRIGHT, _DARK).astype(np.uint8)
    return cells.repeat(size // ROWS, axis=0).repeat(size // COLUMNS, axis=1)


def read(pixels: NDArray[np.uint8]) -> int | None:
    """The number in a picture as `draw` makes it, of any size, mono or with channels; None: the checksum is wrong."""
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    height, width = grey.shape
    rows = (np.arange(ROWS) * 2 + 1) * height // (2 * ROWS)
    columns = (np.arange(COLUMNS) * 2 + 1) * width // (2 * COLUMNS)
    value = 0
    for bit in (grey[np.ix_(rows, columns)] > (_DARK + _BRIGHT) // 2).ravel():
        value = value << 1 | int(bit)
    number = value >> 8
    return number if value & 0xFF == _check(number) else None


def _check(number: int) -> int:
    """CRC-8, polynomial 0x07, over the three bytes; begun at 0xFF so that a black picture is no number."""
    remainder = 0xFF
    for byte in number.to_bytes(3, "big"):
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x07 if remainder & 0x80 else 0)) & 0xFF
    return remainder
