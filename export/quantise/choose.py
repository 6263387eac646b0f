"""Which way of quantising: judged without labels, by how far the answers move on the calibration pictures.

Labelled pictures then judge the one that was chosen, once. Whoever tries twenty ways on the test set and keeps the best
has measured his patience.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.parity import Infer, in_onnxruntime
from export.quantise.int8 import quantisable, with_ranges
from export.quantise.ranges import Images, Ranges, calibrate

OnStep = Callable[[str], None]
METHODS = ("minmax", "entropy", "percentile")
"""Tried in this order where none is named."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """An int8 graph and how it came about."""

    graph: bytes
    method: str
    float_nodes: tuple[str, ...]
    movement: float
    """As `movement` says, on the calibration pictures."""
    by_method: Mapping[str, float]
    by_layer: Mapping[str, float]
    """Movement with this layer alone in eight bits, most sensitive first. Empty: not looked for."""


def choose(
    graph: bytes,
    pictures: Sequence[Images],
    *,
    method: str | None = None,
    float_layers: int = 0,
    form: str = "portable",
    on_step: OnStep = lambda _: None,
) -> Choice:
    """Calibrates, and leaves the most sensitive layers in float where that is asked for.

    Args:
        graph: model.onnx in float.
        pictures: model inputs through the station's letterbox.
        method: of calibration; None: the one that moves the answers least.
        float_layers: how many layers stay in float, besides the heads: those that alone move the answers most.
        form: as `to_int8`.
        on_step: told what happens next.

    Raises:
        ValueError: as `to_int8`; more layers than there are.
    """
    layers = quantisable(graph)
    if not 0 <= float_layers < max(1, len(layers)):
        raise ValueError(f"float_layers is {float_layers}, expected 0 to {len(layers) - 1}: there are {len(layers)}")
    expected = _answers(in_onnxruntime(graph), pictures)
    ranges: dict[str, Ranges] = {}
    by_method: dict[str, float] = {}
    for name in METHODS if method is None else (method,):
        on_step(f"calibrating: {name}")
        ranges[name] = calibrate(graph, pictures, name)
        by_method[name] = movement(
            expected, _answers(in_onnxruntime(with_ranges(graph, ranges[name], form=form)), pictures)
        )
    best = min(by_method, key=lambda name: by_method[name])
    by_layer: dict[str, float] = {}
    if float_layers:
        for layer in layers:
            on_step(f"how sensitive is {layer}")
            alone = with_ranges(graph, ranges[best], float_nodes=[name for name in layers if name != layer], form=form)
            by_layer[layer] = movement(expected, _answers(in_onnxruntime(alone), pictures))
    ordered = sorted(by_layer, key=lambda name: -by_layer[name])
    chosen = tuple(ordered[:float_layers])
    made = with_ranges(graph, ranges[best], float_nodes=chosen, form=form)
    return Choice(
        graph=made,
        method=best,
        float_nodes=chosen,
        movement=movement(expected, _answers(in_onnxruntime(made), pictures)) if chosen else by_method[best],
        by_method=by_method,
        by_layer={name: by_layer[name] for name in ordered},
    )


Answers = Sequence[Mapping[tuple[int, int], float]]
"""Per picture the scores by (area, class)."""


def movement(expected: Answers, actual: Answers) -> float:
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
