"""Pictures ready for cropping: letterboxed once, kept in memory as uint8, labels in model pixels or per area.

Two kinds, because their labels move differently. An *annotated* picture knows all its defects as boxes, so a crop may
be scaled and shifted freely and the assigner runs on the crop. A *mentored* picture knows label states of areas, taken
exactly from the log; its crops stay on the grid, so that each area keeps exactly what was said of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.areas import Indices
from lineside.boxes import Boxes
from lineside.letterbox import Letterbox
from lineside.pixels import Pixels, letterboxed
from training.data.sample import FilePicture, Sample
from training.losses.classification import ABSENT, UNKNOWN
from training.models.config import DetectorConfig


def letterbox_for(config: DetectorConfig, pixels: Pixels) -> Letterbox:
    """Frame to model input."""
    height, width = pixels.shape[:2]
    return Letterbox(frame_width=width, frame_height=height, model_width=config.width, model_height=config.height)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotated:
    """pixels: uint8 (height, width, channels), the model's input. boxes: (n, 4) model pixels. classes: (n,).

    inside: x1, y1, x2, y2 of the picture within the letterbox, model pixels.
    mask: uint8 (height, width), 255 on a defect, for a cell head; None: boxes only.
    weights: (n,) float32, how much the areas of each box count in the loss, 0 or more; None: all 1.
    """

    pixels: Pixels
    boxes: Boxes
    classes: Indices
    inside: tuple[int, int, int, int]
    mask: NDArray[np.uint8] | None = None
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights, len(self.boxes), "boxes")

    @property
    def healthy(self) -> bool:
        """Whether it has no defect."""
        return not len(self.boxes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mentored:
    """pixels as above. Per area of the whole input:

    states: (A, C) int8 UNKNOWN, ABSENT, PRESENT. spoken: (A,) bool. targets: (A, 4) float32 model pixels and
    taught: (A,) bool, boxes that a person drew.
    weights: (A,) float32, how much an area counts in the loss, 0 or more; None: all 1.
    agreed: (A,) bool, areas whose target is a detection's box that a person confirmed; None: none.
    doubled: (A,) bool, areas only second or poor boxes speak about (`training.data.doubled`); None: none.
    """

    pixels: Pixels
    states: NDArray[np.int8]
    spoken: NDArray[np.bool_]
    targets: Boxes
    taught: NDArray[np.bool_]
    weights: NDArray[np.float32] | None = None
    agreed: NDArray[np.bool_] | None = None
    doubled: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights, len(self.spoken), "areas")

    @property
    def silent(self) -> bool:
        """Whether it teaches nothing."""
        return not bool((self.states != UNKNOWN).any())

    @property
    def healthy(self) -> bool:
        """Whether all of it is known to be free of defects."""
        return bool((self.states == ABSENT).all())


Prepared = Annotated | Mentored


def _check_weights(weights: NDArray[np.float32] | None, count: int, what: str) -> None:
    if weights is None:
        return
    if weights.shape != (count,) or weights.dtype != np.float32:
        raise ValueError(f"weights are {weights.dtype} {weights.shape}, expected float32 ({count},), one of the {what}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights hold a negative number, NaN or infinity; expected 0 or more")


def annotate(sample: Sample, config: DetectorConfig) -> Annotated:
    """An annotated sample for a network's input."""
    picture = sample.picture.read()
    geometry = letterbox_for(config, picture)
    left, top = geometry.left, geometry.top
    mask: NDArray[np.uint8] | None = None
    if sample.mask is not None and config.head == "cells":
        drawn = FilePicture(path=sample.mask).read()
        if drawn.shape[:2] != picture.shape[:2]:
            raise ValueError(f"{sample.mask}: the mask is {drawn.shape[:2]}, its picture {picture.shape[:2]} pixels")
        mask = letterboxed(drawn, geometry, channels=1, padding=0)[:, :, 0]
    return Annotated(
        mask=mask,
        pixels=letterboxed(picture, geometry, channels=config.channels, padding=config.padding),
        boxes=geometry.to_model(sample.boxes),
        classes=np.asarray(sample.classes, np.int32),
        inside=(left, top, left + geometry.inner_width, top + geometry.inner_height),
    )


def annotate_all(
    samples: Sequence[Sample], config: DetectorConfig, on_each: Callable[[], None] | None = None
) -> tuple[Annotated, ...]:
    """All of them; `on_each` is called after each, for a progress display."""
    prepared = []
    for sample in samples:
        prepared.append(annotate(sample, config))
        if on_each is not None:
            on_each()
    return tuple(prepared)
