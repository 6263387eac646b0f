"""Augmentation: what a camera and a conveyor may do to a picture, with labels and masks moved along.

Geometry first (the eight ways to turn and mirror a square, a change of scale), exactly for boxes and for areas; then
light and sensor, which leave labels alone. Every draw comes from a generator that is passed in.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lineside.boxes import Boxes

TURNS = ("all", "mirror", "none")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Strengths; 0 switches a part off."""

    turn: str = "all"
    """"all": quarter turns and mirror images, right where a part has no direction. "mirror": mirror images. "none"."""
    scale: float = 0.15
    """Largest relative change of scale, each way. Annotated pictures only."""
    contrast: float = 0.3
    """Largest relative change of contrast around middle grey, each way."""
    brightness: float = 0.1
    """Largest change of brightness, as a share of the whole range, each way."""
    gradient: float = 0.15
    """Largest relative change of light from the middle to the edge."""
    noise: float = 0.07
    """Largest standard deviation of added noise, as a share of the pictures' own (`DetectorConfig.deviation`)."""
    blur: float = 0.3
    """Share of pictures that are blurred a little (3 x 3 binomial)."""

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise ValueError(f"augment.turn is {self.turn!r}, expected one of {', '.join(TURNS)}")
        for name in ("scale", "contrast", "brightness", "gradient", "noise", "blur"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"augment.{name} is {value}, expected 0 up to below 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One of the eight symmetries of a square: transpose first, then mirror left-right, then top-bottom."""

    transpose: bool
    mirror_x: bool
    mirror_y: bool

    def pixels(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        """A square picture or map (s, s, ...), turned; a view."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.mirror_x:
            picture = picture[:, ::-1]
        return picture[::-1] if self.mirror_y else picture

    def boxes(self, boxes: Boxes, side: float) -> Boxes:
        """(n, 4) boxes in a square of `side` pixels, turned."""
        x1, y1, x2, y2 = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
        if self.transpose:
            x1, y1, x2, y2 = y1, x1, y2, x2
        if self.mirror_x:
            x1, x2 = side - x2, side - x1
        if self.mirror_y:
            y1, y2 = side - y2, side - y1
        return np.stack([x1, y1, x2, y2], axis=1)

    def shapes(self, shapes: tuple[tuple[float, float], ...]) -> NDArray[np.intp] | None:
        """Which anchor shape each one comes from; None where a turned shape does not exist among them."""
        if not self.transpose:
            return np.arange(len(shapes))
        order = {shape: number for number, shape in enumerate(shapes)}
        if any((height, width) not in order for width, height in shapes):
            return None
        return np.array([order[height, width] for width, height in shapes], np.intp)


STILL = Turn(transpose=False, mirror_x=False, mirror_y=False)


def draw_turn(generator: np.random.Generator, turn: str, *, transpose: bool = True) -> Turn:
    """Any turn of the kind with equal chance, without transpositions where `transpose` is False."""
    if turn == "none":
        return STILL
    transpose = transpose and turn == "all"
    bits = generator.integers(0, 2, 3)
    return Turn(transpose=bool(bits[0]) and transpose, mirror_x=bool(bits[1]), mirror_y=bool(bits[2]))


def change_light(
    images_nchw: torch.Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    *,
    deviation: float,
    chosen: slice = slice(None),
    count: int | None = None,
) -> torch.Tensor:
    """Blur, contrast, brightness, a gradient of light and noise, drawn per picture.

    Args:
        images_nchw: float32 (N, C, H, W) in 0..255.
        config: strengths.
        deviation: standard deviation of the pictures' grey levels.
        generator: where all draws come from.
        chosen, count: the pictures given are these of a batch of `count`, and are changed as they would be in it.

    Returns:
        The same shape, in 0..255.
    """
    height, width = images_nchw.shape[2:]
    count = len(images_nchw) if count is None else count

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.rand((count, 1, 1, 1), generator=generator)[chosen] * (high - low) + low

    if config.blur:
        soft = (torch.rand(count, generator=generator) < config.blur)[chosen]
        if bool(soft.any()):
            images_nchw = images_nchw.clone()
            images_nchw[soft] = _blurred(images_nchw[soft])
    contrast = 1 + draw(-config.contrast, config.contrast)
    brightness = 255 * draw(-config.brightness, config.brightness)
    images_nchw = (images_nchw - 127.5) * contrast + (127.5 + brightness)
    if config.gradient:
        angle = draw(0, 2 * torch.pi)
        across = torch.linspace(-1, 1, width).view(1, 1, 1, width) * angle.cos()
        down = torch.linspace(-1, 1, height).view(1, 1, height, 1) * angle.sin()
        images_nchw = images_nchw * (1 + draw(0, config.gradient) * (across + down))
    if config.noise:
        noise = torch.randn((count, 1, height, width), generator=generator)[chosen]
        images_nchw = images_nchw + noise * (deviation * draw(0, config.noise))
    return images_nchw.clamp(0, 255)


def _blurred(images_nchw: torch.Tensor) -> torch.Tensor:
    """Binomial 1 2 1 in both directions, borders reflected."""
    channels = images_nchw.shape[1]
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line[None, :]).expand(channels, 1, 3, 3)
    return functional.conv2d(functional.pad(images_nchw, (1, 1, 1, 1), mode="reflect"), kernel, groups=channels)
