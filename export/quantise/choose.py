"""Which way of quantising: judged without labels, by what it changes on the calibration frames.

Labelled pictures then judge the one that was chosen, once. Whoever tries twenty ways on the test set and keeps the best
has measured his patience.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.parity import Infer, in_onnxruntime, letterbox_input
from export.quantise.int8 import quantisable, with_ranges
from export.quantise.measured import Served
from export.quantise.ranges import Images, Ranges, calibrate
from lineside.pixels import Pixels
from lineside.v1 import model_pb2
from training.data.sample import ArrayPicture, Sample
from training.evaluate.figures import average_precisions
from training.evaluate.predictor import Answer

OnStep = Callable[[str], None]
METHODS = ("minmax", "entropy", "percentile")
"""Tried in this order where none is named."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """An int8 graph and how it came about."""

    graph: bytes
    method: str
    float_nodes: tuple[str, ...]
    by_method: Mapping[str, float]
    """As `disagreement` says, all layers but the heads in eight bits."""
    by_layer: Mapping[str, float]
    """As `movement` says, with this layer alone in eight bits, most sensitive first. Empty: not looked for."""


def choose(
    graph: bytes,
    manifest: model_pb2.PackageManifest,
    frames: Sequence[Pixels],
    *,
    method: str | None = None,
    float_layers: int = 0,
    form: str = "portable",
    on_step: OnStep = lambda _: None,
) -> Choice:
    """Calibrates, and leaves the most sensitive layers in float where that is asked for.

    Args:
        graph: model.onnx in float.
        manifest: of its package.
        frames: as the camera takes them; they go through the station's letterbox.
        method: of calibration; None: the one that disagrees least with the float graph.
        float_layers: how many layers stay in float, besides the heads: those that alone move the answers most.
        form: as `to_int8`.
        on_step: told what happens next.

    Raises:
        ValueError: as `to_int8`; more layers than there are.
    """
    layers = quantisable(graph)
    if not 0 <= float_layers < max(1, len(layers)):
        raise ValueError(f"float_layers is {float_layers}, expected 0 to {len(layers) - 1}: there are {len(layers)}")
    pictures = [letterbox_input(frame, manifest.input) for frame in frames]
    ranges: dict[str, Ranges] = {}
    by_method: dict[str, float] = {}
    names = METHODS if method is None else (method,)
    for name in names:
        on_step(f"calibrating: {name}")
        ranges[name] = calibrate(graph, pictures, name)
    if len(names) > 1:
        expected = _detections(graph, manifest, frames)
        for name in names:
            on_step(f"what {name} changes")
            made = with_ranges(graph, ranges[name], form=form)
            by_method[name] = disagreement(expected, _detections(made, manifest, frames), manifest)
    best = min(names, key=lambda name: by_method.get(name, 0.0))
    by_layer: dict[str, float] = {}
    if float_layers:
        scores = _answers(in_onnxruntime(graph), pictures)
        for layer in layers:
            on_step(f"how sensitive is {layer}")
            alone = with_ranges(graph, ranges[best], float_nodes=[name for name in layers if name != layer], form=form)
            by_layer[layer] = movement(scores, _answers(in_onnxruntime(alone), pictures))
    ordered = sorted(by_layer, key=lambda name: -by_layer[name])
    chosen = tuple(ordered[:float_layers])
    return Choice(
        graph=with_ranges(graph, ranges[best], float_nodes=chosen, form=form),
        method=best,
        float_nodes=chosen,
        by_method=by_method,
        by_layer={name: by_layer[name] for name in ordered},
    )


def disagreement(expected: Sequence[Answer], actual: Sequence[Answer], manifest: model_pb2.PackageManifest) -> float:
    """1 - mAP at IoU 0.5, with what the float graph raises at its thresholds taken for the truth. 0: the same.

    Distances between scores are no measure for this: thousands of areas near zero outweigh the few that are defects.
    """
    nothing = ArrayPicture(pixels=np.zeros((1, 1), np.uint8))
    samples = [
        Sample(name=str(number), picture=nothing, boxes=answer.deployed.boxes, classes=answer.deployed.classes)
        for number, answer in enumerate(expected)
    ]
    pairs = [
        (sample, answer)
        for sample, answer in zip(samples, actual, strict=True)
        if len(sample.boxes) or len(answer.found)
    ]
    precisions = average_precisions([(sample, answer.found) for sample, answer in pairs], len(manifest.classes))[1]
    return float(1 - np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0


def _detections(graph: bytes, manifest: model_pb2.PackageManifest, frames: Sequence[Pixels]) -> list[Answer]:
    served = Served(in_onnxruntime(graph), manifest)
    return [served.answer(frame) for frame in frames]


Scores = Sequence[Mapping[tuple[int, int], float]]
"""Per picture the scores by (area, class)."""


def movement(expected: Scores, actual: Scores) -> float:
    """How far scores move, as the mean over pictures of the root of the summed squares, over all areas and classes.

    A score that is on one side only counts with its whole height, so a candidate that falls out of a list weighs what
    it was worth, and the thousands near zero weigh nothing.
    """
    distances = []
    for right, seen in zip(expected, actual, strict=True):
        keys = right.keys() | seen.keys()
        distances.append(np.sqrt(sum((right.get(key, 0.0) - seen.get(key, 0.0)) ** 2 for key in keys)))
    return float(np.mean(distances))


def _answers(infer: Infer, pictures: Sequence[Images]) -> list[dict[tuple[int, int], float]]:
    return [_scores({name: values[0] for name, values in infer(picture).items()}) for picture in pictures]


def _scores(outputs: Mapping[str, NDArray[np.generic]]) -> dict[tuple[int, int], float]:
    if "heat" in outputs:
        heat = np.asarray(outputs["heat"], np.float64).reshape(-1, outputs["heat"].shape[-1])
        return {(area, kind): float(heat[area, kind]) for area, kind in np.argwhere(heat > 0).tolist()}
    columns = (np.asarray(outputs[name], np.int64) for name in ("areas", "classes"))
    scores = np.asarray(outputs["scores"], np.float64)
    return {
        (int(area), int(kind)): float(score) for area, kind, score in zip(*columns, scores, strict=True) if score > 0
    }
