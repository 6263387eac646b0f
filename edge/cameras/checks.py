"""Is this picture fit to be judged? Black, burnt out, frozen, half, of another size, late. Pure: no clock, no driver.

A picture that fails here is NO_VERDICT and never reaches a model: a model asked about a black picture says PASS.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pydantic
from numpy.typing import NDArray

from edge.settings import Settings
from lineside.reasons import Reason

_LOOKED_AT = 128
"""Rows and columns looked at for brightness; a larger picture is sampled evenly."""
_LATE_IN_A_ROW = 3
"""So many late numbers one after another: the camera has begun to count anew."""
_BLOCK_IDS = 65535
"""GigE Vision 1.x counts 1 to 65535 and begins again with 1."""
_NEAR_THE_END = 1024


class CheckSettings(Settings):
    """Section [cameras.checks]: which pictures are never judged. A share or number of 0 switches a check off."""

    black_level: int = pydantic.Field(default=3, ge=0, le=255)
    """A pixel whose brightest channel is at most this is black."""
    black_share: float = pydantic.Field(default=0.999, ge=0, le=1)
    """So much of the picture black: IMAGE_BLACK. Lower it for a lens cap that leaks, 0 for dark-field light."""
    saturated_level: int = pydantic.Field(default=252, ge=0, le=255)
    """A pixel whose darkest channel is at least this is burnt out."""
    saturated_share: float = pydantic.Field(default=0.95, ge=0, le=1)
    """So much of the picture burnt out: IMAGE_SATURATED."""
    frozen_pictures: int | None = pydantic.Field(default=None, ge=0)
    """From this many pictures in a row that are equal to the last bit: IMAGE_FROZEN; the noise of a sensor makes no two
    alike. Absent: 3 for sensors, 50 for network streams (coders repeat a still scene), 0 for files and drawings."""
    half_share: float | None = pydantic.Field(default=None, ge=0, le=1)
    """So much of the height, from below, of one and the same value that is neither 0 nor 255: IMAGE_HALF, a picture
    whose end never came and was filled up. (A dark or backlit background clips to 0 or 255 and says nothing; drivers
    that know a buffer is not full say so, and that is IMAGE_HALF whatever stands here.) Absent: 0.1 for sensors and
    streams, 0 for files and drawings."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckDefaults:
    """What a kind of camera fills in where CheckSettings says nothing."""

    frozen_pictures: int = 0
    half_share: float = 0.0


FILES = CheckDefaults()
SENSOR = CheckDefaults(frozen_pictures=3, half_share=0.1)
NETWORK_STREAM = CheckDefaults(frozen_pictures=50, half_share=0.1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a picture is not judged."""

    reason: Reason
    message: str


class PictureChecker:
    """Looks at one camera's pictures in the order they come; remembers the last one and its number."""

    def __init__(self, settings: CheckSettings, defaults: CheckDefaults = FILES) -> None:
        self._settings = settings
        self._frozen_from = defaults.frozen_pictures if settings.frozen_pictures is None else settings.frozen_pictures
        self._half_share = defaults.half_share if settings.half_share is None else settings.half_share
        self._last: NDArray[np.uint8] | None = None
        self._equal = 1
        self._order = FrameOrder()

    def order(self, number: int | None) -> tuple[int, Fault | None]:
        """Takes in the camera's own number of a picture (None: it has none).

        Returns:
            How many pictures are missing before it, and IMAGE_ORDER where it comes late or twice.
        """
        if number is None:
            self._order.see_unnumbered()
            return 0, None
        before = self._order.highest
        missing = self._order.see(number)
        if missing is None:
            return 0, Fault(
                reason=Reason.IMAGE_ORDER, message=f"the camera's picture {number} came after its picture {before}"
            )
        return missing, None

    def look(self, pixels: NDArray[np.uint8]) -> Fault | None:
        """The first thing that is wrong with the pixels, (h, w) or (h, w, 3) uint8; None: nothing is."""
        frozen = self._is_frozen(pixels)
        rows, columns = (max(1, side // _LOOKED_AT) for side in pixels.shape[:2])
        sample = pixels[::rows, ::columns]
        settings = self._settings
        if settings.black_share:
            share = float(np.mean(_channel(sample, brightest=True) <= settings.black_level))
            if share >= settings.black_share:
                return Fault(
                    reason=Reason.IMAGE_BLACK,
                    message=f"{share:.1%} of the picture is black (level {settings.black_level} or less); light, lens?",
                )
        if settings.saturated_share:
            share = float(np.mean(_channel(sample, brightest=False) >= settings.saturated_level))
            if share >= settings.saturated_share:
                return Fault(
                    reason=Reason.IMAGE_SATURATED,
                    message=f"{share:.1%} of the picture is burnt out (level {settings.saturated_level} or more); "
                    "exposure, gain?",
                )
        if frozen:
            return Fault(
                reason=Reason.IMAGE_FROZEN, message=f"{self._equal} pictures in a row are equal to the last bit"
            )
        return self._half(pixels)

    def _is_frozen(self, pixels: NDArray[np.uint8]) -> bool:
        if not self._frozen_from:
            return False
        last, self._last = self._last, pixels
        rows, columns = (max(1, side // _LOOKED_AT) for side in pixels.shape[:2])
        equal = (
            last is not None
            and last.shape == pixels.shape
            # A few pixels first: almost always they differ, and the whole picture need not be read.
            and np.array_equal(last[::rows, ::columns], pixels[::rows, ::columns])
            and np.array_equal(last, pixels)
        )
        self._equal = self._equal + 1 if equal else 1
        return self._equal >= self._frozen_from

    def _half(self, pixels: NDArray[np.uint8]) -> Fault | None:
        height = pixels.shape[0]
        lowest = round(self._half_share * height)
        value = pixels[-1, -1]
        if not lowest or np.all(value == 0) or np.all(value == 255):
            return None
        # The last row first: almost always that is enough.
        if np.any(pixels[-1] != value) or np.any(pixels[height - lowest :] != value):
            return None
        return Fault(
            reason=Reason.IMAGE_HALF,
            message=f"the lowest {lowest} of {height} rows are one and the same value; the picture's end never came",
        )


class FrameOrder:
    """The numbers a camera gives its pictures, as they come."""

    def __init__(self) -> None:
        self.highest: int | None = None
        self._late = 0

    def see(self, number: int) -> int | None:
        """How many pictures are missing before this one; None: it comes late, or twice.

        A counter of 16 bits that begins again goes on without a gap. Three late numbers in a row are a camera that
        counts anew: the third is still late, what follows is in order.
        """
        highest = self.highest
        if highest is None:
            self.highest = number
            return 0
        step = number - highest
        if number <= _NEAR_THE_END and _BLOCK_IDS - _NEAR_THE_END <= highest <= _BLOCK_IDS:
            step += _BLOCK_IDS
        if step > 0:
            self.highest, self._late = number, 0
            return step - 1
        self._late += 1
        if self._late >= _LATE_IN_A_ROW:
            self.highest, self._late = number, 0
        return None

    def see_unnumbered(self) -> None:
        """One came whose number is not told: from a camera that numbers, it was the next."""
        if self.highest is not None:
            self.highest += 1


def _channel(sample: NDArray[np.uint8], *, brightest: bool) -> NDArray[np.uint8]:
    if sample.ndim == 2:
        return sample
    pick = np.maximum if brightest else np.minimum  # numpy's own reduction over so short an axis is ten times slower
    return np.asarray(pick(pick(sample[..., 0], sample[..., 1]), sample[..., 2]), np.uint8)
