"""What a package has to prove before it may serve. Decides; whoever calls brings the files and the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.backends.contract import Backend
from lineside import golden
from lineside.areas import CellGrid, head_of
from lineside.letterbox import Letterbox
from lineside.pixels import Pixels, letterboxed
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

Infer = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.generic]]]


def preprocess(pixels: Pixels, size: model_pb2.ModelInput) -> tuple[NDArray[np.uint8], Letterbox]:
    """The model's input (1, H, W, C) for a frame of uint8 (h, w) or (h, w, 3), and its geometry."""
    height, width = pixels.shape[:2]
    letterbox = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    return letterboxed(pixels, letterbox, channels=size.channels, padding=size.padding)[None], letterbox


def check_classes(manifest: model_pb2.PackageManifest, required: Collection[str]) -> None:
    """The model knows every class that the station's recipes speak about.

    Raises:
        ContractError: PKG_CLASSES.
    """
    names = [item.name for item in manifest.classes]
    missing = sorted(set(required) - set(names))
    if missing:
        raise ContractError(
            Reason.PKG_CLASSES,
            f"the model's classes are {', '.join(names)}; this station's recipes also need {', '.join(missing)}",
        )


def check_engine(manifest: model_pb2.PackageManifest, backend: Backend) -> None:
    """The graph takes and gives what the manifest says.

    Raises:
        ContractError: PKG_INPUT, PKG_CLASSES, PKG_MALFORMED.
    """
    size = manifest.input
    expected_input = (size.height, size.width, size.channels)
    if backend.input_shape != expected_input:
        raise ContractError(
            Reason.PKG_INPUT, f"the graph takes {backend.input_shape}, the manifest says {expected_input} (H, W, C)"
        )
    for name, (shape, dtype) in _expected_outputs(manifest).items():
        spec = backend.outputs.get(name)
        if spec is None:
            raise ContractError(
                Reason.PKG_MALFORMED, f"the graph has no output {name}; it has {', '.join(sorted(backend.outputs))}"
            )
        if spec.shape[:-1] == shape[:-1] and name == "heat" and spec.shape != shape:
            raise ContractError(
                Reason.PKG_CLASSES, f"the graph gives {spec.shape[-1]} classes, the manifest names {shape[-1]}"
            )
        if spec.shape != shape or spec.dtype != dtype:
            raise ContractError(
                Reason.PKG_MALFORMED, f"output {name} is {spec.dtype} {spec.shape}, expected {dtype} {shape}"
            )


def check_golden(
    manifest: model_pb2.PackageManifest, cases: Sequence[golden.GoldenCase], infer: Infer
) -> golden.Agreement:
    """Every golden case comes out right, through the station's own letterbox and runtime.

    Args:
        infer: runs the graph on (1, H, W, C) uint8.

    Returns:
        The largest differences seen.

    Raises:
        ContractError: PKG_PARITY, PKG_NAN, PKG_CLASSES.
    """
    worst_score = worst_box = 0.0
    for number, case in enumerate(cases):
        images, _ = preprocess(case.frame, manifest.input)
        outputs = {name: values[0] for name, values in infer(images).items()}
        if any(values.dtype.kind == "f" and not np.isfinite(values).all() for values in outputs.values()):
            raise ContractError(Reason.PKG_NAN, f"golden case {number}: the model answers with NaN or infinity")
        agreement = golden.compare(case.outputs, outputs, manifest)
        if agreement.fault is not None:
            cause = golden.diagnose(case, outputs, manifest) or "the graph does not do here what it was exported to do"
            raise ContractError(Reason.PKG_PARITY, f"golden case {number}: {agreement.fault}; {cause}")
        _check_indices(manifest, outputs)
        worst_score, worst_box = max(worst_score, agreement.score), max(worst_box, agreement.box)
    return golden.Agreement(score=worst_score, box=worst_box, fault=None)


def _expected_outputs(manifest: model_pb2.PackageManifest) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
    head = head_of(manifest)
    floats, integers = np.dtype(np.float32), np.dtype(np.int32)
    if isinstance(head, CellGrid):
        return {"heat": ((head.rows, head.columns, len(manifest.classes)), floats)}
    length = manifest.anchors.top_k
    return {
        "boxes": ((length, 4), floats),
        "scores": ((length,), floats),
        "classes": ((length,), integers),
        "areas": ((length,), integers),
    }


def _check_indices(manifest: model_pb2.PackageManifest, outputs: Mapping[str, NDArray[np.generic]]) -> None:
    if "areas" not in outputs:
        return
    for name, limit in (("classes", len(manifest.classes)), ("areas", head_of(manifest).count)):
        values = np.asarray(outputs[name], np.int64)
        if values.size and (values.min() < 0 or values.max() >= limit):
            raise ContractError(
                Reason.PKG_CLASSES, f"output {name} holds {values.min()} to {values.max()}, expected 0 to {limit - 1}"
            )
