"""Pictures of errors: a crop around each, with boxes that the page draws over it."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence

from lineside.pixels import Pixels, encode_jpeg
from training.data.sample import Sample
from training.evaluate.matching import match
from training.evaluate.predictor import Answer
from training.table1.errors import Box, Error

LEAST_SIDE = 72
"""Pixels of a crop; a defect alone says nothing about where it is."""
AROUND = 3.0
"""Side of a crop, in sides of what it is about."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A box in a crop, in its pixels."""

    kind: str
    """"met", "missed", "right" or "alarm"."""
    x: float
    y: float
    width: float
    height: float
    words: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A crop with its boxes."""

    picture: str
    """`data:` address."""
    side: int
    name: str
    """Of the picture it was cut from."""
    caption: str
    boxes: tuple[Drawn, ...]


def crop_of(error: Error, sample: Sample, answer: Answer, classes: Sequence[str]) -> Crop:
    """Cuts the place of an error out of its picture, with all that is and was said there."""
    pixels = sample.picture.read()
    left, top, side = window(error.box, pixels.shape[1], pixels.shape[0])
    cut = pixels[top : top + side, left : left + side]
    outcome = match(answer.deployed, sample.boxes, sample.classes)
    boxes = [
        _drawn(box, left, top, "met" if met else "missed", classes[int(kind)])
        for box, kind, met in zip(sample.boxes, sample.classes, outcome.met, strict=True)
    ]
    raised = answer.deployed
    boxes += [
        _drawn(box, left, top, "right" if right else "alarm", f"{classes[int(kind)]} {score:.2f}")
        for box, kind, score, right in zip(raised.boxes, raised.classes, raised.scores, outcome.right, strict=True)
    ]
    height, width = cut.shape[:2]
    inside = [box for box in boxes if box.x < width and box.y < height and box.x + box.width > 0 < box.y + box.height]
    return Crop(picture=_uri(cut), side=side, name=sample.name, caption=caption_of(error), boxes=tuple(inside))


def window(box: Box, width: int, height: int) -> tuple[int, int, int]:
    """Left, top and side of a square around a box, inside the picture where it fits."""
    x1, y1, x2, y2 = box
    side = min(round(max(LEAST_SIDE, AROUND * max(x2 - x1, y2 - y1))), width, height)
    left = min(max(0, round((x1 + x2 - side) / 2)), width - side)
    top = min(max(0, round((y1 + y2 - side) / 2)), height - side)
    return left, top, side


def caption_of(error: Error) -> str:
    """What went wrong, in words."""
    if error.said and error.true:
        return f"{error.true}, called {error.said} at {error.score:.2f}"
    if error.said:
        return f"{error.said} at {error.score:.2f}, where nothing is"
    seen = f"best score there {error.score:.2f}" if error.score else "no trace of it"
    return f"{error.true}: {seen}{', the part passed' if error.silent else ''}"


def _drawn(box: Sequence[float], left: int, top: int, kind: str, words: str) -> Drawn:
    x1, y1, x2, y2 = (float(value) for value in box)
    return Drawn(kind=kind, x=x1 - left, y=y1 - top, width=x2 - x1, height=y2 - y1, words=words)


def _uri(pixels: Pixels) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, 92)).decode()
