"""A graph's figures on annotated pictures, as a station sees them: ONNX Runtime, the contract's letterbox and decode.

The bridge between a package's graph and `training.evaluate`, which knows checkpoints only: what it asks for is
anything that turns a frame into detections.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from export.parity import Infer, in_onnxruntime, letterbox_input
from lineside.areas import CellGrid, head_of
from lineside.boxes import clip
from lineside.decode import Found, decode_anchors, decode_cells
from lineside.letterbox import Letterbox
from lineside.pixels import Pixels
from lineside.v1 import model_pb2
from training.data.sample import Dataset, Sample
from training.evaluate.figures import Figures, figures_of
from training.evaluate.predictor import FLOOR, Answer, cells_by_falling_threshold

OnPicture = Callable[[int, int], None]


class Served:
    """A deployed graph that answers frames.

    Args:
        infer: the graph in a runtime.
        manifest: of its package.
    """

    def __init__(self, infer: Infer, manifest: model_pb2.PackageManifest) -> None:
        self._infer = infer
        self._manifest = manifest
        self._head = head_of(manifest)
        self.thresholds = np.array([item.threshold for item in manifest.classes], np.float32)
        self._floor = np.full(len(self.thresholds), FLOOR, np.float32)

    def answer(self, frame: Pixels) -> Answer:
        """Detections from a low score on, and those at the package's thresholds; boxes in frame pixels."""
        size, parameters = self._manifest.input, self._manifest.decode
        height, width = frame.shape[:2]
        geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
        outputs = {name: values[0] for name, values in self._infer(letterbox_input(frame, size)).items()}
        if isinstance(self._head, CellGrid):
            heat = np.asarray(outputs["heat"], np.float32)
            both = (
                cells_by_falling_threshold(heat, self._head, self.thresholds, parameters),
                decode_cells(heat, self._head, thresholds=self.thresholds, parameters=parameters),
            )
        else:
            boxes, scores = (np.asarray(outputs[name], np.float32) for name in ("boxes", "scores"))
            classes, areas = (np.asarray(outputs[name], np.int32) for name in ("classes", "areas"))
            both = (
                decode_anchors(boxes, scores, classes, areas, thresholds=self._floor, parameters=parameters),
                decode_anchors(boxes, scores, classes, areas, thresholds=self.thresholds, parameters=parameters),
            )

        def in_frame(found: Found) -> Found:
            return dataclasses.replace(found, boxes=clip(geometry.to_frame(found.boxes), width, height))

        return Answer(found=in_frame(both[0]), deployed=in_frame(both[1]))


def figures_on(
    graphs: Mapping[str, bytes],
    manifest: model_pb2.PackageManifest,
    domains: Sequence[tuple[str, Dataset]],
    *,
    threads: int = 1,
    on_picture: OnPicture = lambda *_: None,
) -> dict[str, tuple[Figures, ...]]:
    """Figures of several graphs of one package on each domain, at its own thresholds; each picture is read once.

    Args:
        graphs: model.onnx by a name for it.
        manifest: of the package; says input, head, classes, thresholds, grouping.
        domains: name and annotated pictures of each; empty sets are left out.
        threads: of ONNX Runtime.
        on_picture: pictures done, pictures in all.

    Raises:
        ValueError: a set has other classes than the package.
    """
    served = {name: Served(in_onnxruntime(graph, threads=threads), manifest) for name, graph in graphs.items()}
    classes = tuple(item.name for item in manifest.classes)
    thresholds = np.array([item.threshold for item in manifest.classes], np.float32)
    named = [(domain, dataset) for domain, dataset in domains if len(dataset)]
    for _, dataset in named:
        if dataset.classes != classes:
            raise ValueError(
                f"the set {dataset.name} has the classes {', '.join(dataset.classes)}; the package's are"
                f" {', '.join(classes)}"
            )
    total = sum(len(dataset) for _, dataset in named)
    done = 0
    measured: dict[str, list[Figures]] = {name: [] for name in graphs}
    for domain, dataset in named:
        answers: dict[str, list[tuple[Sample, Answer]]] = {name: [] for name in graphs}
        for sample in dataset:
            frame = sample.picture.read()
            for name, graph in served.items():
                answers[name].append((sample, graph.answer(frame)))
            done += 1
            on_picture(done, total)
        for name, given in answers.items():
            measured[name].append(figures_of(given, thresholds, classes=classes, domain=domain))
    return {name: tuple(figures) for name, figures in measured.items()}
