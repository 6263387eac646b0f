"""Boxes as float32 arrays (n, 4): x1, y1, x2, y2, the corners of pixels, in whatever frame they are said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def as_boxes(values: object) -> Boxes:
    """An (n, 4) float32 array out of anything numpy can read; an empty sequence gives (0, 4).

    Raises:
        ValueError: the shape is not (n, 4), or a number is not finite.
    """
    array = np.asarray(values, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes have shape {array.shape}, expected (n, 4)")
    if not np.isfinite(array).all():
        raise ValueError("boxes hold NaN or infinity")
    return array


def area_of(boxes: Boxes) -> NDArray[np.float32]:
    """(n,) areas in square pixels; a box turned inside out has area 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def iou(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(n, m) intersection over union; 0 where both are empty."""
    corner_low = np.maximum(first[:, None, :2], second[None, :, :2])
    corner_high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(corner_high - corner_low, 0.0, None)
    inside = sides[..., 0] * sides[..., 1]
    union = area_of(first)[:, None] + area_of(second)[None, :] - inside
    ratio = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return np.asarray(ratio, np.float32)


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """The boxes cut to a frame of the given size in pixels."""
    limit = np.array([width, height, width, height], np.float32)
    return np.asarray(np.clip(boxes, 0.0, limit), np.float32)
