"""What a package answers, by the station's own engine and grouping: for figures, and to check a station's replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import TracebackType

import numpy as np

from edge.backends import open_backend
from edge.models.slot import ServingModel
from lineside.areas import CellGrid
from lineside.boxes import as_boxes, clip
from lineside.decode import Found, decode_anchors
from lineside.package import Package
from lineside.pixels import Pixels
from lineside.v1 import inspection_pb2
from training.data.sample import Dataset
from training.evaluate.figures import Figures, figures_of
from training.evaluate.predictor import FLOOR, Answer, cells_by_falling_threshold

SAME_SCORE = 1e-3
"""Two answers of one model to one frame differ by less."""
SAME_BOX = 0.1
"""Pixels, likewise."""


class PackageAnswers:
    """A package loaded as a station loads it. A context manager.

    Args:
        package: to load.
        threads: of the engine.
    """

    def __init__(self, package: Package, *, threads: int = 1) -> None:
        self.package = package
        self._model = ServingModel(package, lambda graph: open_backend("onnxruntime-cpu", graph, threads=threads))
        self._floor = np.full(len(package.class_names), FLOOR, np.float32)

    def answer(self, frame: Pixels) -> Answer:
        """Detections of uint8 (h, w) or (h, w, 3), boxes in frame pixels: from the floor on, and as deployed."""
        images, geometry = self._model.preprocess(frame)
        outputs = self._model.run(images)
        parameters, head = self.package.manifest.decode, self.package.head
        if isinstance(head, CellGrid):
            heat = np.asarray(outputs["heat"][0], np.float32)
            deployed = np.array([item.threshold for item in self.package.manifest.classes], np.float32)
            low = cells_by_falling_threshold(heat, head, deployed, parameters)
        else:
            low = decode_anchors(
                np.asarray(outputs["boxes"][0], np.float32),
                np.asarray(outputs["scores"][0], np.float32),
                np.asarray(outputs["classes"][0], np.int32),
                np.asarray(outputs["areas"][0], np.int32),
                thresholds=self._floor,
                parameters=parameters,
            )

        def in_frame(found: Found) -> Found:
            boxes = clip(geometry.to_frame(found.boxes), geometry.frame_width, geometry.frame_height)
            return dataclasses.replace(found, boxes=boxes)

        return Answer(found=in_frame(low), deployed=in_frame(self._model.decode(outputs)))

    def evaluate(
        self, dataset: Dataset, *, domain: str, on_picture: Callable[[int, int], None] | None = None
    ) -> Figures:
        """Its figures on a set with healthy pictures, at the thresholds it is deployed with."""
        answers = []
        for number, sample in enumerate(dataset, 1):
            answers.append((sample, self.answer(sample.picture.read())))
            if on_picture is not None:
                on_picture(number, len(dataset))
        thresholds = np.array([item.threshold for item in self.package.manifest.classes], np.float32)
        return figures_of(answers, thresholds, classes=dataset.classes, domain=domain)

    def close(self) -> None:
        """Gives the engine back; idempotent."""
        self._model.close()

    def __enter__(self) -> PackageAnswers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def same_answer(reply: inspection_pb2.InspectionResult, found: Found) -> bool:
    """Whether a station's reply holds these detections: classes, scores and boxes, in order of score."""
    if len(reply.detections) != len(found):
        return False
    if not len(found):
        return True
    boxes = as_boxes([[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in reply.detections])
    scores = np.array([item.score for item in reply.detections], np.float32)
    classes = np.array([item.class_index for item in reply.detections], np.int32)
    return bool(
        np.array_equal(classes, found.classes)
        and np.abs(scores - found.scores).max() <= SAME_SCORE
        and np.abs(boxes - found.boxes).max() <= SAME_BOX
    )
