"""Anchor shapes fitted to the boxes of a training set.

Squares in a geometric row from small boxes to large ones, close enough that a box of any size between overlaps one of
them well, and, where slender boxes are common, one slender shape in both orientations. The set is closed under a
quarter turn, so that augmentation can move the labels of every anchor.
"""

from __future__ import annotations

import math

import numpy as np

from lineside.boxes import Boxes

STEP = 1.5
"""Largest ratio between the sides of neighbouring squares."""
ROOM = 1.15
"""The largest square is this much larger than the box at the 95th percentile: new parts may have larger defects."""
MOST_SQUARES = 5
SLENDER = 2.0
"""Ratio of sides from which a box is slender."""
COMMON = 0.1
"""Share of slender boxes from which they get a shape of their own."""
SMALLEST = 6.0
"""Model pixels; smaller anchors overlap no box of a stride-8 grid well."""


def fit_shapes(boxes: Boxes) -> tuple[tuple[float, float], ...]:
    """Shapes (width, height) in whole model pixels, smallest first.

    Args:
        boxes: (n, 4) model pixels, at least one.

    Raises:
        ValueError: there is no box.
    """
    if len(boxes) == 0:
        raise ValueError("there are no boxes to fit anchor shapes to; the training set holds no defect")
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).astype(np.float64)
    small, large = np.percentile(np.sqrt(sides.prod(axis=1)), [5, 95])
    small, large = max(SMALLEST, float(small)), max(SMALLEST, float(large) * ROOM)
    count = min(MOST_SQUARES, 1 + math.ceil(math.log(large / small) / math.log(STEP) - 1e-9))
    shapes = {(float(round(side)), float(round(side))) for side in np.geomspace(small, large, count)}
    short, long = sides.min(axis=1), sides.max(axis=1)
    slender = long / short >= SLENDER
    if slender.mean() >= COMMON:
        narrow = max(SMALLEST, float(round(np.median(short[slender]))))
        wide = max(narrow, float(round(np.median(long[slender]))))
        shapes |= {(narrow, wide), (wide, narrow)}
    return tuple(sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)))
