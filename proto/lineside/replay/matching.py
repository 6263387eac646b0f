"""Which candidate detection answers which judged box: overlap in frame pixels, and class. Pure.

A judged box may share its answer with another: two clicks on one defect (two boxes of the old model, or two operators'
drawings) are both answered by the one box a better model puts there. The price: of two defects that lie in one another
only the pair is known to be found. The part is rejected either way, at that very place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.boxes import area_of, as_boxes, iou
from lineside.records import BoxTuple

Overlaps = NDArray[np.float32]

LEAST_OVERLAP = 0.33
"""Intersection over union from which two boxes are the same place: what the evaluation's mAP at 0.33 uses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CandidateDetection:
    """What the candidate says of a frame. `box` in frame pixels, `score` 0 to 1."""

    class_name: str
    score: float
    box: BoxTuple


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The candidate's answer to one judged box, as indices of its detections.

    by: the best overlapping one of the class asked for, or None.
    other: the best overlapping one of another class, or None.
    nearest: the largest overlap of any class, 0 to 1, below the limit as well.
    """

    by: int | None
    other: int | None
    nearest: float


def overlaps(judged: Sequence[BoxTuple], said: Sequence[BoxTuple], *, poor: Sequence[bool] | None = None) -> Overlaps:
    """(n, m) float32 overlap of n judged with m candidate boxes, 0 to 1.

    Intersection over union. For a judged box somebody called poor, intersection over the smaller of the two boxes: a
    better box must not count as a miss because the judged one was bad.
    """
    first, second = as_boxes(list(judged)), as_boxes(list(said))
    table = iou(first, second)
    if poor is None or not any(poor):
        return table
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    smaller = np.minimum(area_of(first)[:, None], area_of(second)[None, :])
    inside = np.divide(sides[..., 0] * sides[..., 1], smaller, out=np.zeros_like(table), where=smaller > 0)
    return np.asarray(np.where(np.asarray(poor, bool)[:, None], inside, table), np.float32)


def match(
    row: Overlaps, said: Sequence[CandidateDetection], class_name: str, *, least_overlap: float = LEAST_OVERLAP
) -> Match:
    """What the candidate answers to one judged box of a class.

    Args:
        row: (m,) overlaps of the judged box with the candidate's m detections.
        said: the candidate's detections.
        class_name: class asked for.
        least_overlap: from which a detection is in the same place, above 0, at most 1.
    """
    by = other = None
    # Best overlap first, then score: the order the candidate's detections came in decides nothing.
    for index in sorted(range(len(said)), key=lambda place: (-row[place], -said[place].score, said[place].box)):
        if row[index] < least_overlap:
            break
        if said[index].class_name == class_name:
            by = index if by is None else by
        else:
            other = index if other is None else other
    return Match(by=by, other=other, nearest=float(row.max()) if len(said) else 0.0)
