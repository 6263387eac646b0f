"""A region as rectangles, for formats and tools that know boxes only. Pure; whole pixels, x1 y1 x2 y2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lineside.records import BoxTuple

Rectangle = tuple[int, int, int, int]


def pixels_of(box: BoxTuple, width: int, height: int) -> Rectangle | None:
    """Every pixel of the picture that a box touches; None: there is none."""
    x1, y1 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x2, y2 = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def without(regions: Iterable[Rectangle], holes: Sequence[Rectangle]) -> list[Rectangle]:
    """The largest rectangles inside the regions that touch no hole. They overlap, and their union is all that is left.

    Largest, because whoever asks whether a box lies in the region looks at one rectangle at a time.
    """
    left = _largest(regions)
    for hole in holes:
        left = _largest(part for region in left for part in _around(region, hole))
    return left


def _around(region: Rectangle, hole: Rectangle) -> list[Rectangle]:
    x1, y1, x2, y2 = region
    a, b, c, d = hole
    if a >= x2 or c <= x1 or b >= y2 or d <= y1:
        return [region]
    parts = [(x1, y1, a, y2), (c, y1, x2, y2), (x1, y1, x2, b), (x1, d, x2, y2)]
    return [part for part in parts if part[0] < part[2] and part[1] < part[3]]


def _largest(rectangles: Iterable[Rectangle]) -> list[Rectangle]:
    """Without those that lie inside another, sorted."""
    chosen: list[Rectangle] = []
    for candidate in sorted(set(rectangles), key=lambda item: ((item[0] - item[2]) * (item[3] - item[1]), item)):
        x1, y1, x2, y2 = candidate
        if not any(a <= x1 and b <= y1 and x2 <= c and y2 <= d for a, b, c, d in chosen):
            chosen.append(candidate)
    return chosen
