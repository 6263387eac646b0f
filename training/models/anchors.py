"""Anchor shapes fitted to the boxes of a training set.

k-means in the plane of log long side and log short side, so that the set of shapes is closed under a quarter turn: a
slender cluster gives both of its orientations, a compact one a square. Deterministic: the first centres are quantiles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineside.boxes import Boxes

SLENDER = 1.4
"""Ratio of sides from which a cluster gives two shapes instead of a square."""
SMALLEST = 6.0
"""Model pixels; smaller anchors overlap no box of a stride-8 grid well."""


def fit_shapes(boxes: Boxes, *, clusters: int = 3) -> tuple[tuple[float, float], ...]:
    """Shapes (width, height) in model pixels, smallest first.

    Args:
        boxes: (n, 4) model pixels, at least one.
        clusters: of boxes; there are up to twice as many shapes.

    Raises:
        ValueError: there is no box.
    """
    if len(boxes) == 0:
        raise ValueError("there are no boxes to fit anchor shapes to; the training set holds no defect")
    sides = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).astype(np.float64))
    points = np.sort(sides, axis=1)
    centres = _k_means(points, min(clusters, len(np.unique(points, axis=0))))
    shapes: set[tuple[float, float]] = set()
    for short, long in np.exp(centres):
        if long / short < SLENDER:
            side = float(max(SMALLEST, round(np.sqrt(short * long))))
            shapes.add((side, side))
        else:
            narrow, wide = float(max(SMALLEST, round(short))), float(max(SMALLEST, round(long)))
            shapes |= {(narrow, wide), (wide, narrow)}
    return tuple(sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape)))


def _k_means(points: NDArray[np.float64], clusters: int) -> NDArray[np.float64]:
    """(clusters, 2) centres after at most 50 rounds."""
    order = np.argsort(points.sum(axis=1), kind="stable")
    quantiles = (np.arange(clusters) + 0.5) / clusters
    centres: NDArray[np.float64] = points[order[(quantiles * len(points)).astype(int)]]
    for _ in range(50):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.stack(
            [
                points[nearest == index].mean(axis=0) if (nearest == index).any() else centres[index]
                for index in range(clusters)
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres
