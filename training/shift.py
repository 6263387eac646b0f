"""The second acquisition system: a simulated change of optics, light and sensor, seeded by file name.

Blur, contrast, brightness and noise in the sense of the corruptions of Hendrycks and Dietterich (2019), and a gradient
of light. Geometry does not move, so boxes stay valid. The result depends on seed and name only, never on order.
The recipe is that of the image sets' `splits.json`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lineside.pixels import Pixels

LEVELS = ("mild", "medium", "strong")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One acquisition system. Grey values are taken as 0 to 1."""

    seed: int
    blur_sigma: float
    """Pixels."""
    contrast: float
    """Factor around middle grey."""
    brightness: float
    """Added grey."""
    gradient: float
    """Relative change of light from the middle to the edge."""
    angle_deg: float
    """Direction in which the light grows, clockwise from the x axis."""
    noise: float
    """Standard deviation of the sensor's noise."""

    def __post_init__(self) -> None:
        for name in ("blur_sigma", "contrast", "noise"):
            if not getattr(self, name) > 0:
                raise ValueError(f"Shift.{name} is {getattr(self, name)}, expected above 0")

    @classmethod
    def from_splits(cls, recipe: Mapping[str, Any], *, level: str | None = None, seed: int | None = None) -> Shift:
        """The `acquisition_shift` entry of a `splits.json`, its default level and seed unless others are named.

        Raises:
            ValueError: the entry has no such level.
        """
        wanted = level or recipe["default"]["level"]
        levels: Mapping[str, Mapping[str, float]] = recipe["levels"]
        if wanted not in levels:
            raise ValueError(f"shift level is {wanted!r}, expected one of {', '.join(levels)}")
        return cls(seed=recipe["default"]["seed"] if seed is None else seed, **levels[wanted])

    def apply(self, picture: Pixels, name: str) -> Pixels:
        """The picture as the second system would take it.

        Args:
            picture: uint8 (h, w) or (h, w, 3).
            name: file name without folder or extension.
        """
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        u1, u2, u3, u4 = generator.uniform(-1, 1, 4)
        height, width = picture.shape[:2]
        noise = generator.standard_normal((height, width))
        values: NDArray[np.float64] = picture.astype(np.float64) / 255.0
        sigma = self.blur_sigma * (1 + 0.1 * u1)
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float64)
        values = (values - 0.5) * (self.contrast * (1 + 0.1 * u2)) + 0.5 + self.brightness + 0.02 * u3
        angle = math.radians(self.angle_deg)
        across = np.linspace(-1, 1, width)[None, :] * math.cos(angle)
        down = np.linspace(-1, 1, height)[:, None] * math.sin(angle)
        light = 1 + self.gradient * (1 + 0.1 * u4) * (across + down)
        if picture.ndim == 3:
            light, noise = light[:, :, None], noise[:, :, None]
        values = values * light + self.noise * noise
        return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
