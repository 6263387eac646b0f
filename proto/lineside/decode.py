"""From the graph's fixed-size outputs to detections: suppression of anchors, grouping of cells.

Small arrays, numpy alone, no state. The station and the evaluation use this one file, so a figure in a
report is a figure of the product. Boxes are in model pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head, Indices
from lineside.boxes import Boxes, iou
from lineside.v1 import model_pb2

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Detections of one picture, highest score first.

    boxes: (n, 4) float32 model pixels. scores: (n,) float32. classes: (n,) int32.
    areas: n ascending int32 arrays. No area is in two detections of one class, nor in two of any class where
        classes exclude each other: a click on one must not speak about the other.
    """

    boxes: Boxes
    scores: Floats
    classes: Indices
    areas: tuple[Indices, ...]

    def __len__(self) -> int:
        return len(self.scores)


_NOTHING = Found(
    boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), classes=np.zeros(0, np.int32), areas=()
)


def decode_anchors(
    boxes: Boxes,
    scores: Floats,
    classes: Indices,
    areas: Indices,
    *,
    thresholds: Floats,
    parameters: model_pb2.DecodeParameters,
) -> Found:
    """Detections out of an anchor graph's K candidates.

    A candidate at or above its class's threshold wins unless a better winner overlaps it by more than
    `nms_iou` (a winner of any class where classes exclude each other, else of its own). Every other candidate
    joins the winner it overlaps most, by at least `area_iou`: these areas would raise the same box if only the
    winner's were taught.

    Args:
        boxes: (K, 4). scores: (K,). classes: (K,). areas: (K,). Candidates with score 0 are empty.
        thresholds: (C,) per class.
        parameters: of the manifest.
    """
    live = np.flatnonzero(scores > 0)
    live = live[np.argsort(-scores[live], kind="stable")]
    boxes, scores, classes, areas = boxes[live], scores[live], classes[live], areas[live]
    if len(live) == 0:
        return _NOTHING
    overlap = iou(boxes, boxes)
    rivals = overlap > parameters.nms_iou
    if not parameters.exclusive_classes:
        rivals &= classes[:, None] == classes[None, :]
    winners: list[int] = []
    for candidate in np.flatnonzero(scores >= thresholds[classes]):
        if len(winners) == parameters.maximum_detections:
            break
        if not rivals[candidate, winners].any():
            winners.append(int(candidate))
    if not winners:
        return _NOTHING
    shared = overlap[:, winners]
    owner = np.where(shared.max(axis=1) >= parameters.area_iou, shared.argmax(axis=1), -1)
    owner[winners] = np.arange(len(winners))
    # An area can stand in the list twice (two classes of it among the candidates); its better entry decides.
    _, first = np.unique(areas, return_index=True)
    keep = np.zeros(len(areas), bool)
    keep[first] = True
    keep[winners] = True
    won = set(areas[winners].tolist())
    return Found(
        boxes=boxes[winners],
        scores=scores[winners],
        classes=classes[winners].astype(np.int32),
        areas=tuple(
            np.unique(
                np.append(
                    [area for area in areas[keep & (owner == number)].tolist() if area not in won],
                    areas[winner],
                )
            ).astype(np.int32)
            for number, winner in enumerate(winners)
        ),
    )


def decode_cells(heat: Floats, grid: CellGrid, *, thresholds: Floats, parameters: model_pb2.DecodeParameters) -> Found:
    """Detections out of a cell graph's heat map: connected cells (8 neighbours) of one class.

    The score is the region's highest heat, the box the smallest that holds its cells. Where classes exclude
    each other a cell goes to the class that exceeds its threshold by the largest factor.

    Args:
        heat: (rows, columns, C), 0 to 1.
        grid: the head's areas.
        thresholds: (C,) per class, above 0.
        parameters: of the manifest.
    """
    fires = heat >= thresholds
    if not fires.any():
        return _NOTHING
    if parameters.exclusive_classes:
        best = (heat / thresholds).argmax(axis=2)
        fires &= best[:, :, None] == np.arange(heat.shape[2])
    cell_boxes = grid.boxes()
    found: list[tuple[float, int, Indices]] = []
    for class_index in range(heat.shape[2]):
        found.extend(
            (float(heat[:, :, class_index].ravel()[cells].max()), class_index, cells)
            for cells in _regions(fires[:, :, class_index])
            if len(cells) >= max(1, parameters.minimum_cells)
        )
    found.sort(key=lambda item: (-item[0], item[1], int(item[2][0])))
    found = found[: parameters.maximum_detections]
    if not found:
        return _NOTHING
    return Found(
        boxes=np.stack(
            [
                np.concatenate([cell_boxes[cells, :2].min(axis=0), cell_boxes[cells, 2:].max(axis=0)])
                for _, _, cells in found
            ]
        ),
        scores=np.array([score for score, _, _ in found], np.float32),
        classes=np.array([class_index for _, class_index, _ in found], np.int32),
        areas=tuple(cells for _, _, cells in found),
    )


def decode_outputs(
    outputs: Mapping[str, NDArray[np.generic]],
    head: Head,
    *,
    thresholds: Floats,
    parameters: model_pb2.DecodeParameters,
) -> Found:
    """Detections out of a graph's outputs for one picture, whichever head it has.

    Args:
        outputs: by name, without the batch axis.
        head: of the manifest.
        thresholds: (C,) per class.
        parameters: of the manifest.
    """
    if isinstance(head, CellGrid):
        heat = np.asarray(outputs["heat"], np.float32)
        return decode_cells(heat, head, thresholds=thresholds, parameters=parameters)
    return decode_anchors(
        np.asarray(outputs["boxes"], np.float32),
        np.asarray(outputs["scores"], np.float32),
        np.asarray(outputs["classes"], np.int32),
        np.asarray(outputs["areas"], np.int32),
        thresholds=thresholds,
        parameters=parameters,
    )


def _regions(mask: NDArray[np.bool_]) -> list[Indices]:
    """Connected sets of True cells, each as ascending flat indices, in order of their first cell."""
    rows, columns = mask.shape
    waiting = set(np.flatnonzero(mask).tolist())
    regions = []
    for start in sorted(waiting):
        if start not in waiting:
            continue
        waiting.remove(start)
        region, edge = [start], [start]
        while edge:
            row, column = divmod(edge.pop(), columns)
            for near_row in range(max(0, row - 1), min(rows, row + 2)):
                for near_column in range(max(0, column - 1), min(columns, column + 2)):
                    near = near_row * columns + near_column
                    if near in waiting:
                        waiting.remove(near)
                        region.append(near)
                        edge.append(near)
        regions.append(np.array(sorted(region), np.int32))
    return regions
