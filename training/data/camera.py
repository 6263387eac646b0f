"""Another camera, measured without a label: annotated pictures can then be shown as it would take them.

    y = shade * (black' + (blur(x) - black) * (white' - black') / (white - black)) + noise

Everything is estimated from two sets of pictures of different parts, so nothing may depend on what is on them:

black, white   5 % and 95 % quantiles of grey inside small tiles, the median over the tiles that have contrast
shade          how much more the tiles' white varies over the new frames than over the old ones
noise          what differs from pixel to pixel on the flattest blocks (Immerkaer, 1996)
blur           mean power spectra over radius f:  P'(f) - noise^2 = c exp(-(2 pi f blur)^2) P(f); c is left free,
               because other parts have other spectra

It is the textbook model of a camera (optics, light, sensor). It knows no colour casts and no compression, and where the
new camera is the sharper one, blur is 0 and only the levels are matched. Matching statistics of unlabelled pictures is
Fourier domain adaptation's idea (Yang and Soatto, 2020); their swap of low-frequency amplitudes would carry the new
parts' layout along, a fit of five numbers cannot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training.data.prepared import Prepared

TILES = 5
"""Tiles on each side of a picture: small enough that light is even in one, large enough to hold copper and board."""
LARGEST_BLUR = 3.0
"""Standard deviation in model pixels up to which blur is searched for."""
JITTER = 0.2
_LIFT = 8.0
"""Largest change of all grey levels, each way."""
_BINS = 48
_SLOWEST = 0.01
"""Cycles a pixel; what changes more slowly is light and layout."""
_FEWEST = 6
"""Bins a line is drawn through."""
_BLOCK = 8
_DIFFERENCE = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
_EXAMPLES = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """From one acquisition to another. Grey levels in 0..255 of model pictures."""

    black: float
    """What the old camera shows where a part is dark, and `white` where it is light."""
    white: float
    new_black: float
    new_white: float
    shade: float = 0.0
    """Relative spread (one standard deviation) of light over the frame."""
    blur: float = 0.0
    """Standard deviation in model pixels."""
    noise: float = 0.0
    """Standard deviation in grey levels."""

    def __post_init__(self) -> None:
        if not self.white > self.black or not self.new_white > self.new_black:
            raise ValueError(f"camera: white must be above black, got {self}")
        if not min(self.shade, self.blur, self.noise) >= 0:
            raise ValueError(f"camera: shade, blur and noise must be 0 or more, got {self}")

    def show(
        self,
        images_nchw: torch.Tensor,
        changed_n: torch.Tensor,
        generator: torch.Generator,
        *,
        jitter: float = JITTER,
        chosen: slice = slice(None),
        count: int | None = None,
    ) -> torch.Tensor:
        """Pictures as the new camera would take them, each a little differently.

        Args:
            images_nchw: float32 (N, C, H, W) in 0..255.
            changed_n: bool (N,), the pictures to be changed; the others come back as they are.
            generator: where all draws come from, the same ones whatever is changed.
            jitter: largest relative change of gain, blur and noise, each way: an estimate is not exact, and light
                changes.
            chosen, count: the pictures given are these of a batch of `count`, and are changed as they would be in it.

        Returns:
            The same shape, in 0..255.
        """
        height, width = images_nchw.shape[2:]
        count = len(images_nchw) if count is None else count

        def draw() -> torch.Tensor:
            """-1 to 1, one a picture to be changed."""
            return (2 * torch.rand((count, 1, 1, 1), generator=generator) - 1)[chosen][changed_n]

        def draw_normal(high: int, wide: int) -> torch.Tensor:
            return torch.randn((count, 1, high, wide), generator=generator)[chosen][changed_n]

        gain = (self.new_white - self.new_black) / (self.white - self.black) * (1 + jitter * draw())
        lift, angle, slope = _LIFT * draw(), torch.pi * draw(), self.shade * draw()
        sigma, noise = self.blur * (1 + jitter * draw()), self.noise * (1 + jitter * draw())
        level = self.shade * draw_normal(1, 1).clamp(-2, 2)
        grain = draw_normal(height, width)
        if not bool(changed_n.any()):
            return images_nchw
        across = torch.linspace(-1, 1, width).view(1, 1, 1, width) * angle.cos()
        down = torch.linspace(-1, 1, height).view(1, 1, height, 1) * angle.sin()
        shown = images_nchw[changed_n]
        if self.blur:
            # As far as the largest blur reaches, whichever pictures are here.
            shown = _blurred(shown, sigma.flatten(), reach=int(np.ceil(3 * self.blur * (1 + jitter))))
        shown = (shown - (self.black + self.white) / 2) * gain + (self.new_black + self.new_white) / 2 + lift
        shown = shown * (1 + level + slope * (across + down)) + noise * grain
        images_nchw = images_nchw.clone()
        images_nchw[changed_n] = shown.clamp(0, 255)
        return images_nchw


def fit_camera(old: Sequence[Prepared], new: Sequence[Prepared]) -> Camera:
    """The camera that turns pictures like `old` into pictures like `new`; labels are not looked at.

    Of many pictures some 200 evenly spaced ones are taken.

    Raises:
        ValueError: one of them is empty, or a set has no contrast at all.
    """
    if not old or not new:
        raise ValueError(f"a camera is fitted to pictures of both domains, got {len(old)} old and {len(new)} new ones")
    greys, new_greys = _greys(old), _greys(new)
    black, white, spread = _levels(greys)
    new_black, new_white, new_spread = _levels(new_greys)
    noise = float(np.sqrt(max(0.0, _noise(new_greys) ** 2 - _noise(greys) ** 2)))
    (radii, power), (_, new_power) = _spectrum(greys), _spectrum(new_greys)
    return Camera(
        black=black,
        white=white,
        new_black=new_black,
        new_white=new_white,
        shade=max(0.0, new_spread - spread),
        blur=blur_between(radii, power, new_power, noise),
        noise=noise,
    )


def blur_between(
    radii: NDArray[np.float64], power: NDArray[np.float64], new_power: NDArray[np.float64], noise: float
) -> float:
    """Blur in pixels that leads from one mean spectrum to the other.

    log((P' - noise^2) / P) = log c - (2 pi blur)^2 f^2 is a straight line over f^2; its slope is what is looked for.

    Args:
        radii: f in cycles a pixel, (bins,).
        power, new_power: P and P' there, of pictures whose window has a mean square of 1.
        noise: standard deviation in P'.
    """
    signal = new_power - noise**2
    # Where noise is most of it, the difference is no measurement.
    loud = (signal > noise**2) & (power > 0) & (signal > 0)
    if loud.sum() < _FEWEST:
        return 0.0
    x, y = radii[loud] ** 2, np.log(signal[loud] / power[loud])
    slope = float(np.polyfit(x, y, 1)[0])
    return min(LARGEST_BLUR, float(np.sqrt(max(0.0, -slope))) / (2 * np.pi))


def _noise(greys: Sequence[NDArray[np.float64]]) -> float:
    """Standard deviation of what differs from pixel to pixel on the flattest quarter of small blocks.

    The mask takes out everything linear and the parts' edges stay out with their blocks (Immerkaer, 1996).
    """
    blocks = []
    for grey in greys:
        response = cv2.filter2D(grey, cv2.CV_64F, _DIFFERENCE)[1:-1, 1:-1] ** 2
        height, width = (side // _BLOCK * _BLOCK for side in response.shape)
        means = response[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).mean(axis=(1, 3))
        blocks.append(means.ravel())
    return float(np.sqrt(np.quantile(np.concatenate(blocks), 0.25)) / np.sqrt((_DIFFERENCE**2).sum()))


def _greys(items: Sequence[Prepared]) -> list[NDArray[np.float64]]:
    places = np.unique(np.linspace(0, len(items) - 1, min(len(items), _EXAMPLES)).round().astype(int))
    return [items[place].pixels.mean(axis=2, dtype=np.float64) for place in places]


def _levels(greys: Sequence[NDArray[np.float64]]) -> tuple[float, float, float]:
    """Black, white, and the relative spread of white over the tiles."""
    tiles = [
        tile.ravel()
        for grey in greys
        for rows in np.array_split(grey, TILES, axis=0)
        for tile in np.array_split(rows, TILES, axis=1)
    ]
    low, high = np.array([np.quantile(tile, [0.05, 0.95]) for tile in tiles]).T
    contrast = high - low
    loud = contrast > 0.5 * np.quantile(contrast, 0.95)
    if not loud.any():
        raise ValueError("the pictures have no contrast: there is nothing to measure a camera by")
    return float(np.median(low[loud])), float(np.median(high[loud])), float(high[loud].std() / high[loud].mean())


def _spectrum(greys: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii and mean power there. Slow changes (light, layout) are left out."""
    height, width = greys[0].shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.zeros((height, width))
    for grey in greys:
        power += np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    power /= len(greys) * (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    edges = np.linspace(_SLOWEST, 0.5, _BINS + 1)
    which = np.digitize(radius, edges).ravel()
    counts = np.bincount(which, minlength=_BINS + 2)[1 : _BINS + 1]
    sums = np.bincount(which, power.ravel(), minlength=_BINS + 2)[1 : _BINS + 1]
    # Small pictures have no frequency in some bins.
    filled = counts > 0
    return ((edges[1:] + edges[:-1]) / 2)[filled], sums[filled] / counts[filled]


def _blurred(images_nchw: torch.Tensor, sigmas_n: torch.Tensor, *, reach: int) -> torch.Tensor:
    """Gaussian blur, each picture with its own standard deviation in pixels; borders reflected."""
    number, channels, height, width = images_nchw.shape
    distance = torch.arange(-reach, reach + 1, dtype=torch.float32)
    lines = torch.exp(-(distance**2) / (2 * sigmas_n.clamp(min=0.05)[:, None] ** 2))
    lines = (lines / lines.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(images_nchw, (reach,) * 4, mode="reflect").reshape(
        1, number * channels, height + 2 * reach, -1
    )
    flat = functional.conv2d(flat, lines[:, None, None, :], groups=number * channels)
    flat = functional.conv2d(flat, lines[:, None, :, None], groups=number * channels)
    return flat.reshape(number, channels, height, width)
