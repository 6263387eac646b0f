"""What the networks of `support.foreign` and their tests share: places, pictures, export, detections by the book."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lineside.boxes import iou

CLASSES = ("dent", "scratch", "hole")
WIDTH, HEIGHT = 96, 64
STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 13.0), (16.0, 30.0)), ((30.0, 61.0), (62.0, 45.0)), ((59.0, 40.0), (90.0, 60.0)))
BINS = 4
"""Steps of YOLOv8's distances from a point to a side."""
QUERIES = 12
Position = tuple[int, int, int, int]
"""Level, row, column, shape."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a network says of one place. box: x1 y1 x2 y2 in model pixels."""

    position: Position
    box: tuple[float, float, float, float]
    scores: tuple[float, ...]


def loud(layer: nn.Conv2d | nn.Linear, first: int, gain: float = 3.0, bias: float = -4.0) -> None:
    """Scores from this column on that differ much from place to place, most of them low."""
    layer.weight.data[first:] *= gain
    assert layer.bias is not None
    layer.bias.data[first:] = bias


def pictures(*shapes: tuple[int, ...], seed: int = 0) -> list[NDArray[np.uint8]]:
    """Shaded noise, (h, w, 3), in which no two places look alike."""
    generator = np.random.default_rng(seed)
    made = []
    for height, width in (shape[:2] for shape in shapes):
        shade = np.add.outer(np.linspace(0, 80, height), np.linspace(0, 60, width))[:, :, None]
        noise = generator.normal(0, 1, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:height, :width]
        made.append(np.clip(shade + 60 + 45 * noise, 0, 255).astype(np.uint8))
    return made


def points_of(maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (2, A) in strides and strides (1, A)."""
    points, strides = [], []
    for level, stride in zip(maps, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(level.shape[2]), torch.arange(level.shape[3]), indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()]).float() + 0.5)
        strides.append(torch.full((1, x.numel()), float(stride)))
    return torch.cat(points, 1), torch.cat(strides, 1)


def sigmoid(value: float) -> float:
    """1 / (1 + e^-x)."""
    return 1 / (1 + math.exp(-value))


def exported(
    network: nn.Module,
    *,
    channels: int = 3,
    opset: int = 17,
    batch: bool = False,
    sides: bool = False,
    dynamo: bool = False,
) -> bytes:
    """The network as ONNX. batch, sides: leave them open."""
    inputs, outputs = network.names
    example: tuple[torch.Tensor, ...] = (torch.rand(2 if dynamo else 1, channels, HEIGHT, WIDTH),)
    if len(inputs) == 2:
        example += (torch.tensor([[WIDTH, HEIGHT]]),)
    axes = {**({0: "batch"} if batch else {}), **({2: "height", 3: "width"} if sides else {})}
    buffer = io.BytesIO()
    with quiet():
        if dynamo:
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=opset,
                verbose=False,
            )
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
        torch.onnx.export(
            network,
            example,
            buffer,
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset,
            dynamic_axes={inputs[0]: axes} if axes else None,
        )
    return buffer.getvalue()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters talk and warn of themselves."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def prepared(
    picture: NDArray[np.uint8],
    *,
    white: float = 1.0,
    bgr: bool = False,
    mean: tuple[float, ...] = (),
    deviation: tuple[float, ...] = (),
) -> torch.Tensor:
    """(1, C, H, W): a letterboxed picture (H, W, C) as the network's own users prepare it."""
    values = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() * (white / 255)
    if bgr:
        values = values.flip(0)
    for channel in range(len(values)):
        if mean:
            values[channel] -= mean[channel]
        if deviation:
            values[channel] /= deviation[channel]
    return values[None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One detection by the book."""

    position: Position
    class_index: int
    score: float
    box: tuple[float, float, float, float]


def raised(places: list[Place], *, threshold: float, nms_iou: float) -> list[Raised]:
    """Greedy suppression over all classes, highest score first."""
    every = sorted(
        (
            Raised(position=place.position, class_index=kind, score=score, box=place.box)
            for place in places
            for kind, score in enumerate(place.scores)
            if score >= threshold
        ),
        key=lambda item: -item.score,
    )
    kept: list[Raised] = []
    for item in every:
        others = np.array([other.box for other in kept], np.float32).reshape(-1, 4)
        if not (iou(np.array([item.box], np.float32), others) > nms_iou).any():
            kept.append(item)
    return kept
