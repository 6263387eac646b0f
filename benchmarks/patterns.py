"""Benign patterns that can suddenly be on every part: drawn into a finished picture, with jitter of pose and light.

A pattern sits at one place of the part, give or take what the part moves and is turned; its strength changes a little
from part to part. It is drawn with the picture's own light: each kind is a factor on the grey levels, so it darkens
with the lamp's gradient. Lengths are in pixels of a 256 pixel picture.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from lineside.records import BoxTuple

Plane = NDArray[np.float32]
Draw = Callable[[Plane, Plane, float], Plane]
"""x and y of pixels from the pattern's middle, in its own frame, and its size, to the relative change of grey."""

SHOWS = 0.03
"""Relative change of grey from which a pixel belongs to the pattern's box."""
REACH = 34


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way a kind of pattern may look."""

    kind: str
    strength: float
    size: float
    """1: as drawn."""


def _ring(x: Plane, y: Plane, size: float) -> Plane:
    """A printed ring."""
    return np.asarray(-0.5 * np.exp(-0.5 * ((np.hypot(x, y) - 8.5 * size) / 1.5) ** 2), np.float32)


def _letter(x: Plane, y: Plane, size: float) -> Plane:
    """A stamped K: grooves whose one flank is dark and whose other is bright."""
    strokes = (((-5, -8), (-5, 8)), ((-5, 1), (5, -8)), ((-2, -1), (6, 8)))

    def groove(shift: float) -> Plane:
        near = np.full(np.broadcast(x, y).shape, np.inf, np.float32)
        for (x1, y1), (x2, y2) in strokes:
            near = np.minimum(near, _to_segment(x - shift, y - shift, x1 * size, y1 * size, x2 * size, y2 * size))
        return np.asarray(np.exp(-0.5 * (near / 1.2) ** 2), np.float32)

    return np.asarray(0.4 * groove(0.8) - 0.6 * groove(-0.4), np.float32)


def _reflection(x: Plane, y: Plane, size: float) -> Plane:
    """A lamp mirrored in the metal: a bright oblong with a soft edge and a hot middle."""
    wide = np.exp(-0.5 * ((x / (9 * size)) ** 2 + (y / (4 * size)) ** 2) ** 2)
    hot = np.exp(-0.5 * ((x / (4 * size)) ** 2 + (y / (1.6 * size)) ** 2))
    return np.asarray(0.35 * wide + 0.3 * hot, np.float32)


def _tick(x: Plane, y: Plane, size: float) -> Plane:
    """An inspector's tick, by a thin pen."""
    near = np.minimum(
        _to_segment(x, y, -8 * size, 0, -2 * size, 7 * size),
        _to_segment(x, y, -2 * size, 7 * size, 9 * size, -9 * size),
    )
    return np.asarray(-0.5 * np.exp(-0.5 * (near / 1.1) ** 2), np.float32)


def _to_segment(x: Plane, y: Plane, x1: float, y1: float, x2: float, y2: float) -> Plane:
    """Distance of pixels from a line segment."""
    along = np.clip(((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2), 0, 1)
    return np.asarray(np.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1)), np.float32)


def _dimple(x: Plane, y: Plane, size: float) -> Plane:
    """A round hollow that belongs there, drawn as the line's dents are: nothing tells it from one."""
    radius = 7 * size
    inside = np.clip(1 - (x**2 + y**2) / radius**2, 0, 1)
    slope = 0.65 * radius * 4 * x * inside / radius**2
    return np.asarray(0.2 / 0.52 * np.tanh(slope), np.float32)


KINDS: Mapping[str, Draw] = {
    "ring": _ring,
    "letter": _letter,
    "reflection": _reflection,
    "tick": _tick,
    "dimple": _dimple,
}
TWINS = ("dimple",)
"""Kinds that no camera could tell from a defect."""
STRENGTHS = (0.5, 0.8, 1.2, 1.6)
SIZES = (1.0, 0.75, 1.3)


def stamped(
    pixels: NDArray[np.uint8], variant: Variant, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], BoxTuple]:
    """A picture with the pattern in it, and the pattern's box in frame pixels.

    Args:
        pixels: uint8 (h, w).
        variant: what to draw.
        generator: of pose (8 pixels, 12 degrees) and strength (a quarter), each way.
    """
    height, width = pixels.shape
    unit = width / 256
    middle = np.array([150.0, 120.0]) + generator.uniform(-8, 8, 2)
    angle = math.radians(generator.uniform(-12, 12))
    strength = variant.strength * generator.uniform(0.75, 1.25)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / np.float32(unit) - np.float32(middle[0]), y / np.float32(unit) - np.float32(middle[1])
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    change = KINDS[variant.kind](x * cosine + y * sine, y * cosine - x * sine, variant.size) * np.float32(strength)
    change[np.hypot(x, y) > REACH] = 0
    changed = np.clip(np.rint(pixels.astype(np.float32) * (1 + change)), 0, 255).astype(np.uint8)
    rows, columns = (np.flatnonzero((np.abs(change) > SHOWS).any(axis=axis)) for axis in (1, 0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return changed, box
