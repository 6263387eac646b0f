"""What a foreign detector's file says of itself, and which head fits: for a reader, before anything is written."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from export.adopt.adopt import Declared, model_input
from export.adopt.choose import Attempt, Pictures, attempts, choose
from export.adopt.foreign import Foreign
from export.adopt.reading import said_shape
from export.adopt.reference import decode, original
from export.parity import letterbox_input
from lineside.pixels import Pixels

_MOST_CLASSES = 2000
_LEVELS: tuple[Mapping[str, Any], ...] = (
    {"white": 1.0, "order": "rgb"},
    {"white": 1.0, "order": "bgr"},
    {"white": 255.0, "order": "rgb"},
    {"white": 255.0, "order": "bgr"},
    {"white": 1.0, "order": "rgb", "mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)},
)
"""The preparations in common use; the last is ImageNet's."""


def describe(foreign: Foreign, declared: Declared, frames: list[Pixels]) -> list[str]:
    """Lines of text: the file, its outputs, each head's fit, and what to call next.

    Args:
        foreign: the network.
        declared: what is said of it already.
        frames: pictures as the camera takes them. None: the network is asked with noise, which tells the form of its
            outputs and nothing of the levels it wants.
    """
    opset = max(item.version for item in foreign.model.opset_import if item.domain in ("", "ai.onnx"))
    order = "N, H, W, C" if foreign.channels_last else "N, C, H, W"
    kind, sides = TensorProto.DataType.Name(foreign.dtype).lower(), f"{foreign.width}x{foreign.height}"
    batch = foreign.batch or "any"
    lines = [
        f"written by {foreign.producer or 'nobody who says so'}; opset {opset}",
        f"picture    {foreign.picture} ({order}) {kind}, {sides}, {foreign.channels} channels, batch {batch}",
        *(f"output     {name} {said_shape(foreign.shapes.get(name))}" for name in foreign.outputs),
        f"classes    {_some(foreign.class_names) or 'not named in the file'}",
    ]
    pictures = [letterbox_input(frame, model_input(foreign, declared))[0] for frame in frames] or [_noise(foreign)]
    fitting: list[tuple[int, Attempt]] = []
    by_classes = _tried(foreign, declared, pictures)
    for number in range(len(by_classes[0][1])):
        tried = [(classes, found[number]) for classes, found in by_classes]
        good = [(classes, attempt) for classes, attempt in tried if attempt.fault is None]
        fitting.extend(good)
        for classes, attempt in good:
            assert attempt.evidence is not None
            lines.append(f"{attempt.family:10} fits with {classes} classes: {attempt.evidence.words}")
        if not good:
            nearest = max((attempt for _, attempt in tried), key=lambda attempt: attempt.near)
            lines.append(f"{nearest.family:10} no: {nearest.fault}")
    if fitting and frames and foreign.channels == 3:
        lines += _levels(foreign, fitting[0][1], pictures)
    return [*lines, _advice(foreign, declared, fitting)]


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _tried(foreign: Foreign, declared: Declared, pictures: Pictures) -> list[tuple[int, tuple[Attempt, ...]]]:
    """All heads, or the declared one, with the classes that are known, or with each number that the outputs allow."""
    known = len(declared.classes or foreign.class_names)
    return [
        (classes, attempts(foreign, declared.wanted(classes), pictures, declared.head, declared.preprocessing))
        for classes in ([known] if known else _possible_classes(foreign))
    ]


def _possible_classes(foreign: Foreign) -> list[int]:
    sides = itertools.chain.from_iterable(
        shape[1:] for name in foreign.outputs if len(shape := foreign.shapes.get(name, ())) == 3
    )
    possible = {side - extra for side in sides for extra in (0, 4, 5)}
    return sorted(count for count in possible if 1 <= count <= _MOST_CLASSES) or [1]


def _noise(foreign: Foreign) -> np.ndarray[Any, np.dtype[np.uint8]]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (foreign.height, foreign.width, foreign.channels), np.uint8)


def _levels(foreign: Foreign, attempt: Attempt, pictures: Pictures) -> list[str]:
    """How sure the network is under each common preparation: the right one is usually where it is surest."""
    reading = attempt.reading
    assert reading is not None
    lines = []
    for changes in _LEVELS:
        preprocessing = dataclasses.replace(attempt.preprocessing, **{"mean": (), "deviation": (), **changes})
        network = original(foreign, reading.tensors, preprocessing)
        tops = [float(decode(network(picture), reading, foreign).scores.max()) for picture in pictures]
        lines.append(f"surest     {np.mean(tops):.3f} with {preprocessing.in_words(foreign.channels)}")
    return lines


def _advice(foreign: Foreign, declared: Declared, fitting: list[tuple[int, Attempt]]) -> str:
    if not fitting:
        return "no head fits: see above what each lacks"
    classes, attempt = fitting[0]
    if any(count != classes for count, _ in fitting):
        return f"more than one head fits; say which with --head, and name the classes: {_named(fitting)}"
    try:
        attempt = choose([item for _, item in fitting])
    except ValueError as error:
        return str(error)
    named = bool(declared.classes or foreign.class_names)
    need = "" if named else f" --classes NAME,NAME,... ({classes} of them)"
    return f"next: lineside export adopt MODEL.onnx OUT --head {attempt.family}{need} --frames FOLDER"


def _named(fitting: list[tuple[int, Attempt]]) -> str:
    return ", ".join(f"{attempt.family} with {classes}" for classes, attempt in fitting)
