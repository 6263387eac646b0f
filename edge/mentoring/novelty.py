"""How a detection looks, in 64 numbers, and whether anything like it was asked about lately. Pure.

A look is the surroundings of a box (half its side more each way), shrunk to 8 x 8 grey levels, without their mean and
of length 1: light and contrast do not count, form does. Crude on purpose: it costs microseconds, needs no second
network, and has only to notice that the fortieth tool mark looks like the thirty-nine before.
"""

from __future__ import annotations

import collections

import cv2
import numpy as np
from numpy.typing import NDArray

from lineside.pixels import Pixels
from lineside.records import BoxTuple

SIDE = 8
SURROUNDINGS = 0.5
_FLAT = 2.0
"""Standard deviation in grey levels below which there is no form, only noise."""

Look = NDArray[np.float32]
"""(SIDE * SIDE,), mean 0, length 1; all zeros where there is no form."""


def look_of(pixels: Pixels, box: BoxTuple) -> Look:
    """How the place of a box looks.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).
        box: frame pixels.
    """
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = SURROUNDINGS * (x2 - x1), SURROUNDINGS * (y2 - y1)
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(width, max(left + 1, int(x2 + dx + 1))), min(height, max(top + 1, int(y2 + dy + 1)))
    crop = pixels[min(top, height - 1) : bottom, min(left, width - 1) : right]
    grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    form = small - small.mean()
    length = float(np.sqrt((form * form).sum()))
    if length < _FLAT * SIDE:
        return np.zeros(SIDE * SIDE, np.float32)
    return np.asarray(form / np.float32(length), np.float32)


class Looks:
    """The latest looks of each class.

    Args:
        remember: per class.
    """

    def __init__(self, remember: int) -> None:
        self._remember = remember
        self._known: dict[str, collections.deque[Look]] = {}

    def add(self, class_name: str, look: Look) -> None:
        """Takes one down."""
        self._known.setdefault(class_name, collections.deque(maxlen=self._remember)).append(look)

    def nearest(self, class_name: str, look: Look, among: int) -> float:
        """1 minus the largest correlation with the latest `among` looks of a class; 2 where there are none."""
        known = self._known.get(class_name)
        if not known:
            return 2.0
        latest = list(known)[-among:]
        return float(1 - (np.stack(latest) @ look).max())
