"""What a picture looks like in five numbers and a small copy: enough to notice light, lens and mounting. Pure.

Costs about a millisecond for a frame of a megapixel; looked at once a second, not at every frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""Longest side of what is measured, pixels; sharpness means this scale."""
SMALL = 96
"""Longest side of the copy by which a shift is seen."""
MARGIN = 0.15
"""Share of a side by which a shift can be seen."""
FLAT = 0.01
"""Standard deviation of grey levels below which a picture has nothing to hold on to."""

Plane = NDArray[np.float32]
FEATURES = ("brightness", "contrast", "sharpness", "tilt")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One picture."""

    brightness: float
    """Mean grey level, 0 to 1."""
    contrast: float
    """Standard deviation of the grey levels, 0 to 1."""
    sharpness: float
    """Mean absolute Laplacian by contrast: does not follow the light, falls when the lens loses focus."""
    tilt: float
    """Right half less left half by the mean: the light comes from one side."""
    small: Plane
    """(h, w) float32, longest side SMALL."""


def look_at(pixels: NDArray[np.uint8]) -> Look:
    """Measures a picture, (h, w) or (h, w, 3) uint8."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    plane = _shrunk(grey, SIDE).astype(np.float32) / 255
    brightness, contrast = float(plane.mean()), float(plane.std())
    middle = plane.shape[1] // 2
    left, right = float(plane[:, :middle].mean()), float(plane[:, middle:].mean())
    return Look(
        brightness=brightness,
        contrast=contrast,
        sharpness=float(np.abs(cv2.Laplacian(plane, cv2.CV_32F)).mean()) / max(contrast, 1e-3),
        tilt=(right - left) / max(brightness, 1e-3),
        small=_shrunk(plane, SMALL).astype(np.float32),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """Several pictures: mean and spread of each number, and the mean picture."""

    count: int
    mean: dict[str, float]
    spread: dict[str, float]
    """Standard deviation from picture to picture."""
    small: Plane


def together(looks: Sequence[Look]) -> Looks:
    """At least one look; those of another shape than the last are left out: the camera's setting was changed."""
    alike = [look for look in looks if look.small.shape == looks[-1].small.shape]
    values = {name: np.array([getattr(look, name) for look in alike]) for name in FEATURES}
    return Looks(
        count=len(alike),
        mean={name: float(value.mean()) for name, value in values.items()},
        spread={name: float(value.std()) for name, value in values.items()},
        small=np.mean([look.small for look in alike], axis=0, dtype=np.float32),
    )


def shift(one: Plane, other: Plane) -> tuple[float, float, float]:
    """How far `other` lies from `one`, and how sure that is.

    The middle of one mean picture is looked for in the other (normalised correlation), up to MARGIN of a side. Parts
    differ, fixture and edges stay. Phase correlation was tried: it loses a shift above 5 % on smooth pictures.

    Returns:
        x and y as shares of the width and height, in steps of a pixel of the small copy; the correlation there, -1 to
        1. (0, 0, 0) for other shapes, or pictures without anything to hold on to.
    """
    if one.shape != other.shape:
        return 0.0, 0.0, 0.0
    height, width = one.shape
    top, left = int(height * MARGIN), int(width * MARGIN)
    middle = one[top : height - top, left : width - left]
    if float(middle.std()) < FLAT:
        return 0.0, 0.0, 0.0
    found = cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED)
    _, peak, _, (x, y) = cv2.minMaxLoc(found)
    return (x - left) / width, (y - top) / height, float(peak)


def _shrunk(plane: NDArray[Any], side: int) -> NDArray[Any]:
    height, width = plane.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return plane
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    shrunk: NDArray[Any] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return shrunk
