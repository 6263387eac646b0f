"""The original network's raw outputs decoded in numpy, and the evidence that its areas lie where the reading says.

Independent of the surgery on purpose: the golden cases of an adopted package are what this file makes of the original
graph, so that a mistake in the surgery cannot hide. Shape suffixes as in the text: R rows (places that can raise a
detection), C classes, A areas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.adopt.cutting import cut
from export.adopt.families import Preprocessing
from export.adopt.foreign import PICTURE_TYPES, Foreign, session_of
from export.adopt.reading import Reading, Table
from lineside.areas import AnchorGrid

Raw = Mapping[str, NDArray[Any]]
Original = Callable[[NDArray[np.uint8]], Raw]
FARTHEST = 0.5
"""Largest share of the distance to a chance place at which boxes still count as lying at their own area."""
MOST_OUTSIDE = 0.01
"""Largest share of places that may break a family's own law (rounding in half precision)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """One picture: boxes float64 (R, 4) corners in model pixels, scores float64 (R, C), areas int64 (R,)."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.int64]
    objectness: NDArray[np.float64] | None = None
    """(R,), where the family has one."""


def original(foreign: Foreign, tensors: tuple[str, ...], preprocessing: Preprocessing) -> Original:
    """The network as it was given: tensors by name for a letterboxed picture uint8 (H, W, channels), RGB.

    Raises:
        ValueError: ONNX Runtime does not run it.
    """
    infer = session_of(cut(foreign.model, tensors))

    def run(picture: NDArray[np.uint8]) -> Raw:
        return infer({foreign.picture: prepare(picture, foreign, preprocessing)})

    return run


def prepare(picture: NDArray[np.uint8], foreign: Foreign, preprocessing: Preprocessing) -> NDArray[Any]:
    """(1, ...) input of the original network, as its own users prepare it."""
    values: NDArray[Any] = picture.astype(np.float32)
    if preprocessing.order == "bgr" and foreign.channels == 3:
        values = values[:, :, ::-1]
    if preprocessing.white == 1.0:
        values = values / np.float32(255)
    if preprocessing.mean:
        values = values - np.array(preprocessing.mean, np.float32)
    if preprocessing.deviation:
        values = values / np.array(preprocessing.deviation, np.float32)
    if not foreign.channels_last:
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None].astype(PICTURE_TYPES[foreign.dtype]))


def decode(raw: Raw, reading: Reading, foreign: Foreign) -> Decoded:
    """What the network says of each place of one picture."""
    family = reading.family
    boxes = _rows(raw, reading.boxes)[:, :4]
    scores = _rows(raw, reading.scores)
    heads = scores[:, reading.first_class : reading.first_class + reading.classes]
    if family.scores == "logit":
        heads = _sigmoid(heads)
    objectness = None
    if family.objectness:
        objectness = scores[:, reading.first_class - 1]
        objectness = _sigmoid(objectness) if family.scores == "logit" else objectness
        heads = heads * objectness[:, None]
    if family.box == "cell":
        cells = _cells(reading.grid)
        boxes = np.concatenate([(boxes[:, :2] + cells[:, :2]) * cells[:, 2:], np.exp(boxes[:, 2:]) * cells[:, 2:]], 1)
    if family.unit == "sides":
        boxes = boxes * np.array([foreign.width, foreign.height] * 2, np.float64)
    if family.box != "corners":
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    if reading.queries:
        areas = np.asarray(raw[reading.queries][0], np.int64)
    else:
        areas = np.asarray(reading.order or range(reading.rows), np.int64)
    return Decoded(boxes=boxes, scores=heads, areas=areas, objectness=objectness)


def best(decoded: Decoded, top_k: int) -> dict[str, NDArray[np.generic]]:
    """The K best pairs of place and class as the contract's outputs, without the batch axis."""
    classes = decoded.scores.shape[1]
    order = np.argsort(-decoded.scores.ravel(), kind="stable")[:top_k]
    rows = order // classes
    return {
        "boxes": decoded.boxes[rows].astype(np.float32),
        "scores": decoded.scores.ravel()[order].astype(np.float32),
        "classes": (order % classes).astype(np.int32),
        "areas": decoded.areas[rows].astype(np.int32),
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Whether what the network says agrees with the reading."""

    fault: str | None
    """What speaks against it."""
    words: str
    """What speaks for it."""
    top: float
    """Highest score seen."""


def weigh(pictures: Sequence[Decoded], reading: Reading) -> Evidence:
    """Holds the reading against what the network says of some pictures.

    Scores must be probabilities, areas must exist, boxes must have sides, boxes must lie nearer to their own area
    than to another, and a family's own law must hold: a point lies in the box measured from it (YOLOv8), an anchor's
    box is at most four times the anchor and its centre at most a cell away (YOLOv5), objectness is 1 (YOLOv6).
    """
    boxes = np.concatenate([item.boxes for item in pictures])
    scores = np.concatenate([item.scores for item in pictures])
    areas = np.concatenate([item.areas for item in pictures])
    top = float(scores.max(initial=0.0))
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        return Evidence(fault="boxes or scores hold NaN or infinity", words="", top=top)
    if scores.min(initial=0.0) < -1e-3 or top > 1.001:
        return Evidence(
            fault=f"scores reach from {scores.min():.3g} to {top:.3g} and are no probabilities; say --scores logit",
            words="",
            top=top,
        )
    if reading.family.scores == "logit" and scores.min(initial=1.0) >= 0.5 and top <= 0.7311:
        return Evidence(
            fault=f"scores reach from {scores.min():.2f} to {top:.2f}, as probabilities do when they are taken for"
            " logits; say --scores probability",
            words="",
            top=top,
        )
    if areas.min(initial=0) < 0 or areas.max(initial=0) >= reading.grid.count:
        return Evidence(
            fault=f"areas reach from {areas.min()} to {areas.max()} and there are {reading.grid.count}",
            words="",
            top=top,
        )
    bent = float((boxes[:, 2:] < boxes[:, :2] - 1e-3).any(axis=1).mean())
    if bent > MOST_OUTSIDE:
        return Evidence(fault=f"{bent:.0%} of the boxes have a negative side", words="", top=top)
    if reading.family.name == "yolov6" and any(np.any(np.asarray(item.objectness) != 1) for item in pictures):
        return Evidence(fault="its objectness is not 1 everywhere, as YOLOv6 writes it", words="", top=top)
    priors = np.asarray(reading.grid.boxes(), np.float64)[areas]
    middle, own = (boxes[:, :2] + boxes[:, 2:]) / 2, (priors[:, :2] + priors[:, 2:]) / 2
    # Distances to one's own area and, as what chance would give, to that of another place.
    near = float(np.median(np.abs(middle - own).sum(axis=1)))
    other = np.random.default_rng(0).permutation(len(own))
    far = float(np.median(np.abs(middle - own[other]).sum(axis=1)))
    if near > FARTHEST * far:
        return Evidence(
            fault=f"boxes do not lie at their areas: {near:.0f} model pixels away, {far:.0f} by chance; another order"
            " of levels, other strides, another form of box or another family",
            words="",
            top=top,
        )
    law = _law(boxes, middle, own, priors, areas, reading)
    if law is not None and law[1] > MOST_OUTSIDE:
        return Evidence(fault=f"in {law[1]:.0%} of the places it is not so that {law[0]}", words="", top=top)
    also = f"; {law[0]}" if law is not None else ""
    return Evidence(
        fault=None, words=f"boxes lie {near:.1f} model pixels from their areas, {far:.0f} by chance{also}", top=top
    )


def _law(
    boxes: NDArray[np.float64],
    middle: NDArray[np.float64],
    own: NDArray[np.float64],
    priors: NDArray[np.float64],
    areas: NDArray[np.int64],
    reading: Reading,
) -> tuple[str, float] | None:
    """The family's law in words and the share of places that break it."""
    strides = _cells(reading.grid)[areas, 2]
    if reading.family.name in ("yolov8", "yolov10"):
        slack = 0.02 * strides[:, None]
        outside = (own < boxes[:, :2] - slack) | (own > boxes[:, 2:] + slack)
        return "a box holds the point it is measured from", float(outside.any(axis=1).mean())
    if reading.family.areas == "anchors":
        sides, shapes = boxes[:, 2:] - boxes[:, :2], priors[:, 2:] - priors[:, :2]
        away = np.abs(middle - own).max(axis=1) > 1.02 * strides
        large = (sides > 4.05 * shapes).any(axis=1)
        return "a box is at most four times its anchor and a cell away", float((away | large).mean())
    return None


def _rows(raw: Raw, table: Table) -> NDArray[np.float64]:
    values = np.asarray(raw[table.name][0], np.float64)
    return values.T if table.turned else values


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


def _cells(grid: AnchorGrid) -> NDArray[np.float64]:
    """(A, 3): column and row in units of the stride, and the stride, of each area."""
    parts = []
    for level in grid.levels:
        rows, columns = np.meshgrid(np.arange(level.rows), np.arange(level.columns), indexing="ij")
        cells = np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, level.stride)], 1)
        parts.append(np.repeat(cells, len(level.shapes), axis=0))
    return np.concatenate(parts).astype(np.float64)
