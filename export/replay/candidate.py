"""The candidate as a station would run it: the contract's letterbox and decode, ONNX Runtime on the CPU.

The station's own classes are out of reach here (export never imports edge); the numbers come from the same two files
of the contract, `lineside.pixels` and `lineside.decode`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid
from lineside.boxes import clip
from lineside.decode import Found, decode_anchors, decode_cells
from lineside.golden import output_names
from lineside.letterbox import Letterbox
from lineside.package import GRAPH_NAME, Package
from lineside.pixels import Pixels, letterboxed
from lineside.reasons import ContractError, Reason
from lineside.replay.matching import CandidateDetection
from lineside.replay.run import NoAnswer


class Candidate:
    """A package that answers frames. One thread at a time.

    Args:
        package: read and checked.
        thresholds: scores by class name instead of the package's own; the package is not changed.
        threads: of ONNX Runtime.

    Raises:
        ContractError: PKG_MALFORMED, ONNX Runtime cannot load the graph or it is not what the manifest says.
    """

    def __init__(self, package: Package, *, thresholds: Mapping[str, float] | None = None, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        graph = package.read(GRAPH_NAME)
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common base for its own
            raise ContractError(
                Reason.PKG_MALFORMED, f"ONNX Runtime cannot load the graph: {_first_line(error)}"
            ) from error
        self._manifest = package.manifest
        self._head = package.head
        self._names = output_names(package.manifest)
        offered = sorted(item.name for item in self._session.get_outputs())
        if not set(self._names) <= set(offered):
            raise ContractError(
                Reason.PKG_MALFORMED,
                f"the graph gives {', '.join(offered)}; the manifest's head needs {', '.join(self._names)}",
            )
        self._input = self._session.get_inputs()[0].name
        self.thresholds = {item.name: float(item.threshold) for item in package.manifest.classes}
        self.thresholds |= thresholds or {}
        self._limits = np.array([self.thresholds[name] for name in package.class_names], np.float32)
        self._classes = package.class_names

    def answer(self, pixels: Pixels) -> tuple[CandidateDetection, ...]:
        """Detections at or above the thresholds, highest score first, boxes in frame pixels inside the frame.

        Args:
            pixels: uint8 (h, w) or (h, w, 3) RGB.

        Raises:
            NoAnswer: the runtime fails, or answers with something that is no answer.
        """
        height, width = pixels.shape[:2]
        size = self._manifest.input
        geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
        image = letterboxed(pixels, geometry, channels=size.channels, padding=size.padding)
        try:
            outputs = self._session.run(list(self._names), {self._input: image[None]})
        except Exception as error:
            raise NoAnswer(f"ONNX Runtime: {_first_line(error)}") from error
        values = {name: np.asarray(value) for name, value in zip(self._names, outputs, strict=True)}
        found = self._decode(values)
        boxes = clip(geometry.to_frame(found.boxes), width, height)
        return tuple(
            CandidateDetection(
                class_name=self._classes[int(class_index)],
                score=float(score),
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            )
            for box, score, class_index in zip(boxes, found.scores, found.classes, strict=True)
        )

    def _decode(self, outputs: Mapping[str, NDArray[np.generic]]) -> Found:
        for name, value in outputs.items():
            if value.ndim < 2 or len(value) != 1:
                raise NoAnswer(f"output {name} has shape {value.shape}, expected one picture's")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise NoAnswer(f"output {name} holds NaN or infinity")
        parameters = self._manifest.decode
        if isinstance(self._head, CellGrid):
            heat = np.asarray(outputs["heat"][0], np.float32)
            expected = (self._head.rows, self._head.columns, len(self._classes))
            if heat.shape != expected:
                raise NoAnswer(f"output heat has shape {heat.shape}, expected {expected}")
            return decode_cells(heat, self._head, thresholds=self._limits, parameters=parameters)
        classes = np.asarray(outputs["classes"][0], np.int32)
        if ((classes < 0) | (classes >= len(self._classes))).any():
            raise NoAnswer(f"output classes names a class outside 0 to {len(self._classes) - 1}")
        return decode_anchors(
            np.asarray(outputs["boxes"][0], np.float32),
            np.asarray(outputs["scores"][0], np.float32),
            classes,
            np.asarray(outputs["areas"][0], np.int32),
            thresholds=self._limits,
            parameters=parameters,
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
