"""Does a runtime answer as the trained network does? Measured on golden frames, with the tolerance the package states.

Beside the comparison stand three control experiments: the same frames squashed instead of letterboxed, with red and
blue exchanged, and a runtime that answers nothing. Golden frames that cannot tell these from the truth prove nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from export.graph import INPUT_NAME, DeployedGraph
from lineside import golden
from lineside.letterbox import Letterbox
from lineside.pixels import Pixels, letterboxed, with_channels
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

Images = NDArray[np.uint8]
Infer = Callable[[Images], Mapping[str, NDArray[np.generic]]]
"""Outputs by name, with the batch axis, for pictures (N, H, W, C)."""
Prepare = Callable[[Pixels, model_pb2.ModelInput], Images]


def letterbox_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): a frame as the station puts it into the model."""
    height, width = frame.shape[:2]
    geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    return letterboxed(frame, geometry, channels=size.channels, padding=size.padding)[None]


def squashed_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): the frame stretched to the model's input; a fault that gives no error and less confidence."""
    picture = with_channels(frame, size.channels)
    stretched = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return np.asarray(stretched, np.uint8).reshape(1, size.height, size.width, size.channels)


def exchanged_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): letterboxed, with red and blue exchanged."""
    other = np.ascontiguousarray(frame[:, :, ::-1]) if frame.ndim == 3 else frame
    return letterbox_input(other, size)


def in_torch(graph: DeployedGraph) -> Infer:
    """The network itself, on one thread: the same bits each time."""

    def infer(images: Images) -> Mapping[str, NDArray[np.generic]]:
        with _one_thread(), torch.no_grad():
            values = graph(torch.from_numpy(images))
        return {name: value.numpy() for name, value in zip(graph.output_names, values, strict=True)}

    return infer


def in_onnxruntime(graph: bytes, *, threads: int = 1) -> Infer:
    """The exported graph in ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]

    def infer(images: Images) -> Mapping[str, NDArray[np.generic]]:
        return dict(zip(names, session.run(names, {INPUT_NAME: images}), strict=True))

    return infer


def golden_cases(
    infer: Infer, frames: Sequence[Pixels], manifest: model_pb2.PackageManifest
) -> tuple[golden.GoldenCase, ...]:
    """What the network answers for each frame."""
    return tuple(
        golden.GoldenCase(frame=frame, outputs=_single(infer(letterbox_input(frame, manifest.input))))
        for frame in frames
    )


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
    """Faults these cases would not notice: out of "squash", "exchanged colours", "silence"."""
    blind = []
    if compare_all(cases, infer, manifest, squashed_input).fault is None:
        blind.append("squash")
    if manifest.input.channels == 3 and compare_all(cases, infer, manifest, exchanged_input).fault is None:
        blind.append("exchanged colours")

    def silent(images: Images) -> Mapping[str, NDArray[np.generic]]:
        return {name: np.zeros_like(values) for name, values in infer(images).items()}

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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
