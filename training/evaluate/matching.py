"""Which detections meet which defects. Pure."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lineside.areas import Indices
from lineside.boxes import Boxes, iou
from lineside.decode import Found

MEETS = 0.33
"""Overlap from which a detection meets a defect."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """right: (n,) bool per detection, whether it meets a defect of its class that no better one has met.
    met: (m,) bool per defect."""

    right: NDArray[np.bool_]
    met: NDArray[np.bool_]


def match(found: Found, boxes: Boxes, classes: Indices, *, minimum_iou: float = MEETS) -> Match:
    """Best detections choose first, each the defect of its class it overlaps most among those still free.

    Args:
        found: detections, highest score first.
        boxes: (m, 4) true boxes in the same pixels. classes: (m,).
        minimum_iou: overlap from which a detection meets a defect.
    """
    right, met = np.zeros(len(found), bool), np.zeros(len(boxes), bool)
    if len(found) and len(boxes):
        overlap = np.where(found.classes[:, None] == classes[None, :], iou(found.boxes, boxes), 0.0)
        for number in np.argsort(-found.scores, kind="stable"):
            free = np.where(met, 0.0, overlap[number])
            best = int(free.argmax())
            if free[best] >= minimum_iou:
                right[number] = met[best] = True
    return Match(right=right, met=met)
