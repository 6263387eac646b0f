"""Which areas a box speaks about: the training's assigner, and the neighbours a click reaches.

One file for both, because a missed defect that an operator draws must become exactly the areas that
the same box would give in the original data. Boxes are in model pixels.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head, Indices
from lineside.boxes import Boxes, area_of, iou

POSITIVE_IOU = 0.5
"""Anchors from this overlap with a box on are responsible for it; the best anchor always is."""
IGNORED_IOU = 0.35
"""Anchors between this and POSITIVE_IOU are neither taught as defect nor as background."""
IGNORED_COVER = 0.25
"""Cells covered by at least this share, their middle outside the box, are left alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """Areas for a set of boxes: `areas[i]` is responsible for box `boxes[i]`; `ignored` is neither.

    An area answers for one box at most, the one it fits best. Int32; `areas` ascending.
    """

    areas: Indices
    boxes: Indices
    ignored: Indices


def assign(head: Head, boxes: Boxes) -> Assignment:
    """Gives every box the areas that are to find it; each box gets at least one unless another box has them all.

    Args:
        head: the head's areas.
        boxes: (n, 4) in model pixels.
    """
    if len(boxes) == 0:
        nothing = np.zeros(0, np.int32)
        return Assignment(areas=nothing, boxes=nothing, ignored=nothing)
    priors = head.boxes()
    if isinstance(head, CellGrid):
        cover = _cover(priors, boxes)
        centres = (priors[:, None, :2] + priors[:, None, 2:]) / 2
        inside = np.all((centres >= boxes[None, :, :2]) & (centres < boxes[None, :, 2:]), axis=2)
        # Among boxes that hold a cell's middle, the smallest explains the cell best.
        fit = np.where(inside, 2.0 - area_of(boxes)[None, :] / (area_of(boxes).max() + 1.0), cover)
        positive: NDArray[np.bool_] = inside
        near: NDArray[np.bool_] = cover >= IGNORED_COVER
    else:
        fit = iou(priors, boxes)
        positive = np.asarray(fit >= POSITIVE_IOU)
        near = np.asarray(fit >= IGNORED_IOU)
    best = fit.argmax(axis=0)
    reached = fit[best, np.arange(len(boxes))] > 0
    positive[best[reached], np.flatnonzero(reached)] = True
    # The best area of a box stays with it even where another box fits the area better: a defect
    # without any area could never be learnt.
    preference = np.where(positive, fit, -1.0)
    preference[best[reached], np.flatnonzero(reached)] += 10.0
    areas = np.flatnonzero(positive.any(axis=1)).astype(np.int32)
    ignored = np.flatnonzero(near.any(axis=1) & ~positive.any(axis=1)).astype(np.int32)
    return Assignment(areas=areas, boxes=preference[areas].argmax(axis=1).astype(np.int32), ignored=ignored)


def overlapping(head: Head, box: Boxes, minimum_iou: float) -> Indices:
    """Areas that could raise the box: what a click on it reaches when the head is not the one that raised it.

    Args:
        head: the head's areas.
        box: (4,) in model pixels.
        minimum_iou: for anchors, the overlap from which an anchor could raise the same box.
    """
    boxes = box.reshape(1, 4)
    assigned = assign(head, boxes)
    if isinstance(head, CellGrid):
        return assigned.areas
    near = np.flatnonzero(iou(head.boxes(), boxes)[:, 0] >= minimum_iou)
    return np.union1d(assigned.areas, near).astype(np.int32)


def _cover(cells: Boxes, boxes: Boxes) -> NDArray[np.float32]:
    """(cells, boxes) share of each cell that a box covers."""
    low = np.maximum(cells[:, None, :2], boxes[None, :, :2])
    high = np.minimum(cells[:, None, 2:], boxes[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    return np.asarray(sides[..., 0] * sides[..., 1] / area_of(cells)[:, None], np.float32)
