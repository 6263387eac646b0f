"""A checkpoint as the station would run it: letterbox, network, `lineside.decode`, boxes back in frame pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from lineside.areas import CellGrid
from lineside.boxes import clip
from lineside.decode import Found, decode_anchors, decode_cells
from lineside.pixels import Pixels, letterboxed
from lineside.v1 import model_pb2
from training.data.prepared import letterbox_for
from training.models.candidates import top_candidates
from training.models.detector import Detector

Detect = Callable[[Pixels], Found]
"""A frame to its detections, boxes in frame pixels: a `Predictor`, a package in a runtime, or a daemon's client."""

TOP_K = 300
FLOOR = 0.02
"""Score from which detections count for mean average precision, which looks below every threshold."""


def decode_parameters(*, exclusive_classes: bool = True) -> model_pb2.DecodeParameters:
    """How areas are grouped unless a package says otherwise."""
    return model_pb2.DecodeParameters(
        nms_iou=0.45, area_iou=0.3, minimum_cells=1, maximum_detections=100, exclusive_classes=exclusive_classes
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One picture's detections, boxes in frame pixels: `found` from the floor on, `deployed` at the thresholds."""

    found: Found
    deployed: Found


class Predictor:
    """Runs a network on frames, one at a time, on the device where its weights are.

    Args:
        detector: the network.
        thresholds: score per class name from which a detection is raised; 0.5 for those not named.
        parameters: of the grouping; the usual ones by default.
    """

    def __init__(
        self,
        detector: Detector,
        thresholds: Mapping[str, float] | None = None,
        parameters: model_pb2.DecodeParameters | None = None,
    ) -> None:
        self.detector = detector.eval()
        config = detector.config
        self.config = config
        self.thresholds = np.array([(thresholds or {}).get(name, 0.5) for name in config.classes], np.float32)
        self.parameters = parameters or decode_parameters(exclusive_classes=config.exclusive_classes)
        self._floor = np.full(len(config.classes), FLOOR, np.float32)

    def detect(self, frame: Pixels) -> Found:
        """Detections from the floor on."""
        return self.answer(frame).found

    def deployed(self, frame: Pixels) -> Found:
        """Detections at the thresholds, as a station would raise them."""
        return self.answer(frame).deployed

    @torch.no_grad()
    def answer(self, frame: Pixels) -> Answer:
        """Both, from one pass through the network."""
        geometry = letterbox_for(self.config, frame)
        picture = letterboxed(frame, geometry, channels=self.config.channels, padding=self.config.padding)
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        image = image.to(self.detector.mean.device, memory_format=torch.channels_last)
        output = self.detector(image)
        head = self.detector.head
        if isinstance(head, CellGrid):
            heat = torch.sigmoid(output.logits)[0].cpu().numpy().reshape(head.rows, head.columns, -1)
            both = (
                cells_by_falling_threshold(heat, head, self.thresholds, self.parameters),
                decode_cells(heat, head, thresholds=self.thresholds, parameters=self.parameters),
            )
        else:
            boxes, scores, classes, areas = (value[0].cpu().numpy() for value in top_candidates(output, TOP_K))
            both = (
                decode_anchors(boxes, scores, classes, areas, thresholds=self._floor, parameters=self.parameters),
                decode_anchors(boxes, scores, classes, areas, thresholds=self.thresholds, parameters=self.parameters),
            )

        def in_frame(found: Found) -> Found:
            boxes = clip(geometry.to_frame(found.boxes), geometry.frame_width, geometry.frame_height)
            return dataclasses.replace(found, boxes=boxes)

        return Answer(found=in_frame(both[0]), deployed=in_frame(both[1]))


def cells_by_falling_threshold(
    heat: NDArray[np.float32],
    grid: CellGrid,
    thresholds: NDArray[np.float32],
    parameters: model_pb2.DecodeParameters,
    *,
    floor: float = FLOOR,
    factor: float = 0.6,
) -> Found:
    """What a cell head would find below its thresholds as well, for mean average precision.

    At one low threshold neighbouring defects run into one region. So the thresholds are lowered step by step, and each
    step adds only regions that touch none found before: those of the deployed thresholds stay as the station raises
    them.

    Args:
        heat: (rows, columns, C), 0 to 1.
        grid: the cells.
        thresholds: (C,), the deployed ones.
        parameters: of the grouping.
        floor: the lowest threshold.
        factor: from one step to the next.
    """
    found = [decode_cells(heat, grid, thresholds=thresholds, parameters=parameters)]
    taken = np.zeros((len(thresholds), grid.count), bool)
    limit = thresholds
    while (limit > floor).any():
        for kind, cells in zip(found[-1].classes, found[-1].areas, strict=True):
            taken[kind, cells] = True
        limit = np.maximum(limit * np.float32(factor), np.float32(floor))
        step = decode_cells(heat, grid, thresholds=limit, parameters=parameters)
        fresh = [
            number
            for number, (kind, cells) in enumerate(zip(step.classes, step.areas, strict=True))
            if not taken[kind, cells].any()
        ]
        found.append(only(step, np.array(fresh, np.intp)))
    whole = Found(
        boxes=np.concatenate([part.boxes for part in found]),
        scores=np.concatenate([part.scores for part in found]),
        classes=np.concatenate([part.classes for part in found]),
        areas=tuple(cells for part in found for cells in part.areas),
    )
    best = np.argsort(-whole.scores, kind="stable")[: parameters.maximum_detections]
    return only(whole, best)


def at_thresholds(found: Found, thresholds: NDArray[np.float32]) -> Found:
    """The detections at or above their class's threshold."""
    return only(found, np.flatnonzero(found.scores >= thresholds[found.classes]))


def only(found: Found, keep: NDArray[np.intp]) -> Found:
    """The detections at these places, in that order."""
    return Found(
        boxes=found.boxes[keep],
        scores=found.scores[keep],
        classes=found.classes[keep],
        areas=tuple(found.areas[number] for number in keep),
    )
