"""Letterbox geometry: how a frame of any size sits in the model's fixed input. Pure arithmetic.

A station that squashes what training letterboxed loses confidence without any error, so both sides
use this one function, and the pixels go through `lineside.pixels.letterboxed`, which obeys it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lineside.boxes import Boxes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """A frame scaled by one factor in both directions and centred on the model's input.

    All lengths in pixels. The scaled picture has whole pixels (`inner_*`), so the factor is exact per
    axis: `inner_width / frame_width` and `inner_height / frame_height`, which differ by rounding only.
    """

    frame_width: int
    frame_height: int
    model_width: int
    model_height: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} is {value}, expected at least 1 pixel")

    @property
    def _factor(self) -> float:
        return min(self.model_width / self.frame_width, self.model_height / self.frame_height)

    @property
    def inner_width(self) -> int:
        """Width of the scaled picture."""
        return max(1, min(self.model_width, round(self.frame_width * self._factor)))

    @property
    def inner_height(self) -> int:
        """Height of the scaled picture."""
        return max(1, min(self.model_height, round(self.frame_height * self._factor)))

    @property
    def left(self) -> int:
        """Border columns left of the picture; the odd one, if any, is on the right."""
        return (self.model_width - self.inner_width) // 2

    @property
    def top(self) -> int:
        """Border rows above the picture; the odd one, if any, is below."""
        return (self.model_height - self.inner_height) // 2

    def to_model(self, boxes: Boxes) -> Boxes:
        """(n, 4) boxes from frame pixels to model pixels."""
        return (boxes * self._scale() + self._offset()).astype(np.float32)

    def to_frame(self, boxes: Boxes) -> Boxes:
        """(n, 4) boxes from model pixels to frame pixels, not clipped."""
        return ((boxes - self._offset()) / self._scale()).astype(np.float32)

    def _scale(self) -> Boxes:
        x, y = self.inner_width / self.frame_width, self.inner_height / self.frame_height
        return np.array([x, y, x, y], np.float32)

    def _offset(self) -> Boxes:
        return np.array([self.left, self.top, self.left, self.top], np.float32)
