"""Does a runtime answer as the trained network does? Measured on golden frames, with the tolerance the package states.

Beside the comparison stand control experiments: the same frames prepared wrongly (export.faults), classes that come out
one place off, and a runtime that answers nothing. Golden frames that cannot tell these from the truth prove nothing;
`export.strength` sees to it that a package's frames can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from export.faults import (
    PREPARATIONS,
    Images,
    Prepare,
    exchanged_input,
    letterbox_input,
    possible_faults,
    squashed_input,
)
from export.graph import INPUT_NAME, DeployedGraph
from lineside import golden
from lineside.pixels import Pixels
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

Infer = Callable[[Images], Mapping[str, NDArray[np.generic]]]
"""Outputs by name, with the batch axis, for pictures (N, H, W, C)."""

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
}
"""ONNX Runtime's names for what it runs a graph on. Only the first was run while this was written."""


def in_torch(graph: DeployedGraph) -> Infer:
    """The network itself, on one thread: the same bits each time."""

    def infer(images: Images) -> Mapping[str, NDArray[np.generic]]:
        with _one_thread(), torch.no_grad():
            values = graph(torch.from_numpy(images))
        return {name: value.numpy() for name, value in zip(graph.output_names, values, strict=True)}

    return infer


def in_onnxruntime(graph: bytes, *, threads: int = 1, provider: str = "cpu", optimised: bool = True) -> Infer:
    """The exported graph in ONNX Runtime.

    Args:
        graph: model.onnx.
        threads: of the processor.
        provider: one of PROVIDERS.
        optimised: False: the operations one by one as they are written, nothing fused: another runtime, as it were.

    Raises:
        ValueError: this machine's ONNX Runtime has no such provider, or could not start it.
    """
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    wanted = PROVIDERS.get(provider)
    if wanted is None or wanted not in offered:
        here = [name for name, full in PROVIDERS.items() if full in offered]
        raise ValueError(
            f"ONNX Runtime does not run on {provider!r} here; it runs on {', '.join(here)}."
            " A GPU takes the package onnxruntime-gpu and a driver"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=[wanted])
    if wanted not in session.get_providers():
        # It falls back to the processor without a word, and that would be compared with itself.
        raise ValueError(f"ONNX Runtime could not start {provider!r} and fell back; is there a GPU and its driver?")
    names = [item.name for item in session.get_outputs()]

    def infer(images: Images) -> Mapping[str, NDArray[np.generic]]:
        return dict(zip(names, session.run(names, {INPUT_NAME: images}), strict=True))

    return infer


def golden_cases(
    infer: Infer, frames: Sequence[Pixels], manifest: model_pb2.PackageManifest
) -> tuple[golden.GoldenCase, ...]:
    """What the network answers for each frame, and what it would answer were the frame prepared wrongly.

    An answer to a wrong picture is kept where it cannot be taken for the right one: it lies beyond twice the tolerance,
    so that no runtime that keeps within the tolerance of the one can be within the tolerance of the other.
    """
    strict = twice_the_tolerance(manifest)
    cases = []
    for frame in frames:
        right = _single(infer(letterbox_input(frame, manifest.input)))
        wrong = {
            fault: _single(infer(PREPARATIONS[fault](frame, manifest.input)))
            for fault in possible_faults(manifest.input)
        }
        told = {
            fault: outputs
            for fault, outputs in wrong.items()
            if golden.compare(right, outputs, strict).fault is not None
        }
        cases.append(golden.GoldenCase(frame=frame, outputs=right, faults=told))
    return tuple(cases)


def twice_the_tolerance(manifest: model_pb2.PackageManifest) -> model_pb2.PackageManifest:
    """The manifest with a tolerance twice as wide."""
    strict = model_pb2.PackageManifest()
    strict.CopyFrom(manifest)
    strict.parity.score, strict.parity.box = 2 * manifest.parity.score, 2 * manifest.parity.box
    return strict


def compare_all(
    cases: Sequence[golden.GoldenCase],
    infer: Infer,
    manifest: model_pb2.PackageManifest,
    prepare: Prepare = letterbox_input,
) -> golden.Agreement:
    """The largest differences over all cases, and the first fault."""
    score = box = 0.0
    for number, case in enumerate(cases):
        seen = golden.compare(case.outputs, _single(infer(prepare(case.frame, manifest.input))), manifest)
        if seen.fault is not None:
            return golden.Agreement(score=seen.score, box=seen.box, fault=f"golden case {number}: {seen.fault}")
        score, box = max(score, seen.score), max(box, seen.box)
    return golden.Agreement(score=score, box=box, fault=None)


def explained(cases: Sequence[golden.GoldenCase], infer: Infer, manifest: model_pb2.PackageManifest) -> str | None:
    """The first fault, and which known mistake it is; None: all cases are met."""
    for number, case in enumerate(cases):
        outputs = _single(infer(letterbox_input(case.frame, manifest.input)))
        seen = golden.compare(case.outputs, outputs, manifest)
        if seen.fault is not None:
            cause = golden.diagnose(case, outputs, manifest)
            return f"golden case {number}: {seen.fault}" + (f"; {cause}" if cause else "")
    return None


def require_parity(cases: Sequence[golden.GoldenCase], infer: Infer, manifest: model_pb2.PackageManifest) -> None:
    """Refuses a graph that does not answer as the network does.

    Raises:
        ContractError: PKG_PARITY.
    """
    agreement = compare_all(cases, infer, manifest)
    if agreement.fault is not None:
        raise ContractError(Reason.PKG_PARITY, f"the exported graph does not repeat the network: {agreement.fault}")


def blind_spots(
    cases: Sequence[golden.GoldenCase], infer: Infer, manifest: model_pb2.PackageManifest
) -> tuple[str, ...]:
    """Faults these cases would not notice in this runtime: keys of `golden.FAULTS`, "class order", "silence"."""
    blind = [
        fault
        for fault in possible_faults(manifest.input)
        if compare_all(cases, infer, manifest, PREPARATIONS[fault]).fault is None
    ]

    def silent(images: Images) -> Mapping[str, NDArray[np.generic]]:
        return {name: np.zeros_like(values) for name, values in infer(images).items()}

    def moved(images: Images) -> Mapping[str, NDArray[np.generic]]:
        outputs = golden.with_moved_classes(_single(infer(images)), 1, len(manifest.classes))
        return {name: values[None] for name, values in outputs.items()}

    if len(manifest.classes) > 1 and compare_all(cases, moved, manifest).fault is None:
        blind.append("class order")
    if compare_all(cases, silent, manifest).fault is None:
        blind.append("silence")
    return tuple(blind)


def with_witnesses(frames: Sequence[Pixels], size: model_pb2.ModelInput) -> list[Pixels]:
    """The frames, and, where none of them could tell, one of another shape (squash) and one in colour (exchange)."""
    witnesses = list(frames)
    first = frames[0]
    width = first.shape[1]
    if all(frame.shape[0] * size.width == frame.shape[1] * size.height for frame in frames):
        witnesses.append(np.ascontiguousarray(first[:, : max(1, round(width * 0.6))]))
    if size.channels == 3 and not any(_is_coloured(frame) for frame in frames):
        grey = first if first.ndim == 2 else first[:, :, 1]
        witnesses.append(np.stack([grey, grey // 2, 255 - grey], axis=2))
    return witnesses


def _is_coloured(frame: Pixels) -> bool:
    return frame.ndim == 3 and bool((frame[:, :, 0] != frame[:, :, 2]).any())


def _single(outputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    return {name: values[0] for name, values in outputs.items()}


__all__ = [
    "PROVIDERS",
    "Images",
    "Infer",
    "Prepare",
    "blind_spots",
    "compare_all",
    "exchanged_input",
    "explained",
    "golden_cases",
    "in_onnxruntime",
    "in_torch",
    "letterbox_input",
    "require_parity",
    "squashed_input",
    "twice_the_tolerance",
    "with_witnesses",
]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
