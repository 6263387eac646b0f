"""The graph an engine is built from: the package's own, or it converted to fp16 or int8 (export.quantise does that).

Builders follow the graph's types, so another precision is another graph. A conversion made here is compared with the
package's golden cases in ONNX Runtime and the difference is told; what it costs in mAP, class by class, only
`lineside export quantise` measures, which makes a package of it. Build from that one where it matters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.engines.graph import Graph, read_graph
from lineside import golden
from lineside.engines.tensorrt_api import EngineBuildError
from lineside.letterbox import Letterbox
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package
from lineside.pixels import Pixels, letterboxed
from lineside.v1 import model_pb2

PRECISIONS = ("fp32", "fp16", "int8")
FEWEST_FRAMES = 4
"""Calibration with fewer says nothing about a line; some dozens are good."""

Images = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """A graph to build."""

    graph: Graph
    conversion: str
    """How it was made of the package's; empty: it is the package's."""
    agreement: golden.Agreement | None
    """How near it came to the golden cases in ONNX Runtime; None where nothing was converted."""


def variant_of(package: Package, precision: str | None, frames: Sequence[Pixels] = ()) -> Variant:
    """The package's graph in a precision.

    Args:
        precision: one of PRECISIONS; None: as the package has it.
        frames: uint8 (h, w) or (h, w, 3) as the line's camera takes them, for int8.

    Raises:
        EngineBuildError: the graph cannot be had in that precision, with what to do.
        ContractError: PKG_HASH, the package changed since it was read.
        ValueError: no such precision.
    """
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    source = read_graph(package.read(GRAPH_NAME))
    if precision in (None, source.precision):
        return Variant(graph=source, conversion="", agreement=None)
    if source.precision != "fp32":
        raise EngineBuildError(
            f"the package's graph is {source.precision} already and cannot become {precision}; build from the fp32"
            f" package it was made of, or without --precision"
        )
    try:
        data, conversion = _converted(source, package, str(precision), frames)
    except ImportError as error:
        raise EngineBuildError(
            f"converting to {precision} needs {error.name}; install lineside[export,training], or build from a package"
            " that `lineside export quantise` made"
        ) from error
    except ValueError as error:
        raise EngineBuildError(f"the graph cannot become {precision}: {error}") from error
    agreement = agreement_with_golden(data, package)
    if not math.isfinite(agreement.score):
        raise EngineBuildError(
            f"as {precision} the graph does not answer the golden cases: {agreement.fault}; keep fp32, or quantise with"
            " some layers left in float (lineside export quantise)"
        )
    return Variant(graph=read_graph(data), conversion=conversion, agreement=agreement)


def _converted(source: Graph, package: Package, precision: str, frames: Sequence[Pixels]) -> tuple[bytes, str]:
    if precision == "fp16":
        from export.quantise.fp16 import to_fp16

        return to_fp16(source.data), "fp16 by conversion of the trunk"
    if len(frames) < FEWEST_FRAMES:
        raise EngineBuildError(
            f"int8 is calibrated on frames of the line: {len(frames)} given, at least {FEWEST_FRAMES} needed, some"
            " dozens are good; name their folder with --frames"
        )
    from export.quantise.int8 import to_int8

    inputs = [model_input(frame, package.manifest.input) for frame in frames]
    return to_int8(source.data, inputs), f"int8 by QDQ, calibrated on {len(frames)} frames"


def model_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): a frame as the station puts it into the model."""
    height, width = frame.shape[:2]
    geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    return letterboxed(frame, geometry, channels=size.channels, padding=size.padding)[None]


def agreement_with_golden(graph: bytes, package: Package) -> golden.Agreement:
    """The largest differences from the golden cases in ONNX Runtime on the processor, and the first fault."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    entry, names = session.get_inputs()[0].name, [item.name for item in session.get_outputs()]
    score = box = 0.0
    fault: str | None = None
    for case in golden.unpack(package.read(GOLDEN_NAME), package.manifest):
        answers = session.run(names, {entry: model_input(case.frame, package.manifest.input)})
        seen = golden.compare(
            case.outputs, {name: values[0] for name, values in zip(names, answers, strict=True)}, package.manifest
        )
        if not math.isfinite(seen.score):
            return seen
        score, box, fault = max(score, seen.score), max(box, seen.box), fault or seen.fault
    return golden.Agreement(score=score, box=box, fault=fault)
