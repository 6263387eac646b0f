"""From a pixel mask to cells: where a defect's outline is known, a cell counts by its pixels and not by the box. Pure.

A crack's box is mostly healthy surface; only a cell head can use that, because an anchor stands for the whole box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid
from lineside.assign import Assignment
from lineside.boxes import Boxes, iou

DEFECT_SHARE = 0.25
"""Cells with at least this share of their pixels on a defect are to find it."""
CLEAN_SHARE = 0.02
"""Cells with a larger share than this are not taught as background."""


def cell_cover(mask: NDArray[np.uint8], grid: CellGrid) -> NDArray[np.float32]:
    """(count,) share of each cell's pixels that are on a defect, 0 to 1.

    Args:
        mask: uint8 (rows * stride, columns * stride), 255 on a defect; values between count partly.
        grid: the cells.
    """
    blocks = mask.reshape(grid.rows, grid.stride, grid.columns, grid.stride)
    return np.asarray(blocks.mean(axis=(1, 3)).ravel() / 255.0, np.float32)


def assign_mask(grid: CellGrid, cover: NDArray[np.float32], boxes: Boxes) -> Assignment:
    """Gives every box the cells of the mask inside it; each box gets the one it covers best, however thin the defect.

    Args:
        grid: the cells.
        cover: (count,) of `cell_cover`.
        boxes: (n, 4) model pixels, around the mask's parts.
    """
    overlap = iou(grid.boxes(), boxes)
    inside = overlap > 0
    chosen = inside & (cover[:, None] >= DEFECT_SHARE)
    share = np.where(inside, cover[:, None], -1.0)
    best = share.argmax(axis=0)
    reached = share[best, np.arange(len(boxes))] > 0
    chosen[best[reached], np.flatnonzero(reached)] = True
    # Where boxes overlap, the cell goes to the one it is a larger part of.
    fit = np.where(chosen, overlap, -1.0)
    fit[best[reached], np.flatnonzero(reached)] += 10.0
    areas = np.flatnonzero(chosen.any(axis=1)).astype(np.int32)
    ignored = np.setdiff1d(np.flatnonzero(cover > CLEAN_SHARE), areas).astype(np.int32)
    return Assignment(areas=areas, boxes=fit[areas].argmax(axis=1).astype(np.int32), ignored=ignored)
