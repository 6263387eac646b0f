"""One picture for people: the same frames before and after, with what each model raises on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lineside.decode import Found
from lineside.pixels import Pixels, encode_png
from training.data.sample import Dataset, Sample
from training.evaluate.matching import match

SIDE = 300
"""Pixels of one frame in the sheet."""
# Okabe and Ito's colours, told apart by colour-blind eyes; RGB.
RIGHT = (0, 158, 115)
FALSE = (213, 94, 0)
MISSED = (240, 228, 66)
_INK, _PAPER = (30, 30, 30), 255


def first_of_both_kinds(dataset: Dataset, count: int) -> list[Sample]:
    """The first defective and the first healthy samples in turn: nobody chose them."""
    pairs = zip(dataset.defective, dataset.healthy, strict=False)
    found = [sample for pair in pairs for sample in pair]
    return (found or list(dataset))[:count]


def before_and_after(path: Path, samples: Sequence[Sample], answers: Mapping[str, Sequence[Found]]) -> Path:
    """Writes a sheet: a column a frame, a row a model.

    Args:
        path: PNG file.
        samples: the frames, with what is wrong in them.
        answers: by the model's name, what it raises on each frame; boxes in frame pixels.
    """
    rows = []
    for name, found in answers.items():
        tiles = [_tile(sample, answer) for sample, answer in zip(samples, found, strict=True)]
        rows += [_caption(name, SIDE * len(tiles)), np.hstack(tiles)]
    legend = _legend(SIDE * len(samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.vstack([*rows, legend])))
    return path


def _tile(sample: Sample, found: Found) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) RGB."""
    frame = sample.picture.read()
    factor = SIDE / max(frame.shape[:2])
    picture = _colour(frame)
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else 1)
    tile = np.full((SIDE, SIDE, 3), _PAPER, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small[:SIDE, :SIDE]
    outcome = match(found, sample.boxes, sample.classes)
    for box, met in zip(sample.boxes, outcome.met, strict=True):
        if not met:
            _draw(tile, box * factor, MISSED, 2)
    for box, right in zip(found.boxes, outcome.right, strict=True):
        _draw(tile, box * factor, RIGHT if right else FALSE, 2)
    tile[-2:] = _PAPER
    tile[:, -2:] = _PAPER
    return tile


def _colour(frame: Pixels) -> NDArray[np.uint8]:
    return np.repeat(frame[:, :, None], 3, axis=2) if frame.ndim == 2 else frame


def _draw(tile: NDArray[np.uint8], box: NDArray[np.float32], colour: tuple[int, int, int], width: int) -> None:
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    cv2.rectangle(tile, (x1 - 2, y1 - 2), (x2 + 1, y2 + 1), colour, width)


def _caption(text: str, width: int) -> NDArray[np.uint8]:
    strip = np.full((26, width, 3), _PAPER, np.uint8)
    cv2.putText(strip, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return strip


def _legend(width: int) -> NDArray[np.uint8]:
    strip = np.full((28, width, 3), _PAPER, np.uint8)
    x = 6
    for text, colour in (("right", RIGHT), ("false alarm", FALSE), ("missed defect", MISSED)):
        cv2.rectangle(strip, (x, 7), (x + 14, 21), colour, -1)
        cv2.putText(strip, text, (x + 20, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
        x += 150
    return strip
