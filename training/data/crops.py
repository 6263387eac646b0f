"""A training crop: a square cut out of a prepared picture, with the label states of its areas.

Annotated pictures: any place, any turn, a little scaling; the assigner runs on what is left of the boxes.
Mentored pictures: places on the grid, any turn under which the areas map onto each other; states are moved, never made.
Loose ones are cut anywhere as well, and known boxes are assigned anew (`training.data.moved`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head
from lineside.assign import assign, overlapping
from lineside.boxes import Boxes, area_of, clip
from lineside.pixels import Pixels
from training.data.augment import AugmentConfig, Turn, draw_turn
from training.data.masks import assign_mask, cell_cover
from training.data.moved import Window, moved
from training.data.prepared import Annotated, Mentored, Prepared
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.models.config import DetectorConfig

SEEN = 0.6
"""A box with a smaller share of it inside the crop is neither a defect nor background there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CropConfig:
    """Size and place of crops."""

    side: int = 160
    """Model pixels, a multiple of the stride; cut to the input where that is smaller."""
    focus: float = 0.7
    """Share of crops placed around something known: a defect, an answer. The rest are placed anywhere."""

    loose: bool = False
    """Whether mentored pictures too are cut at any place and a little scaled, as annotated ones are
    (`training.data.moved`); False: on the grid, where every area keeps exactly what was said of it."""

    def __post_init__(self) -> None:
        if self.side < 8:
            raise ValueError(f"crop.side is {self.side}, expected at least 8 model pixels")
        if not 0 <= self.focus <= 1:
            raise ValueError(f"crop.focus is {self.focus}, expected 0 to 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """pixels: uint8 (s, s, channels). Per area of an input of that size: states (A, C) int8, spoken (A,) bool,
    targets (A, 4) float32 crop pixels, taught (A,) bool, weights (A,) float32."""

    pixels: Pixels
    states: NDArray[np.int8]
    spoken: NDArray[np.bool_]
    targets: Boxes
    taught: NDArray[np.bool_]
    weights: NDArray[np.float32]


class Cropper:
    """Cuts crops for one network.

    Raises:
        ValueError: the crop does not fit the network's grid.
    """

    def __init__(self, config: DetectorConfig, crop: CropConfig, augment: AugmentConfig) -> None:
        self.config = config
        self.crop = crop
        self.augment = augment
        self.stride = config.backbone.stride
        self.side = min(crop.side, config.width, config.height)
        self.head: Head = config.head_for(self.side, self.side)

    def plan(self, item: Prepared, generator: np.random.Generator) -> Callable[[], Crop]:
        """Draws everything about a crop; calling what comes back cuts it. So the draws of a batch stay the same when
        several processes cut a part of its crops each."""
        if isinstance(item, Annotated):
            return self._plan_annotated(item, generator)
        return self._plan_mentored(item, generator)

    def annotated(self, item: Annotated, generator: np.random.Generator) -> Crop:
        """A crop of a fully labelled picture."""
        return self._plan_annotated(item, generator)()

    def mentored(self, item: Mentored, generator: np.random.Generator) -> Crop:
        """A crop of a picture known by its areas."""
        return self._plan_mentored(item, generator)()

    def _plan_annotated(self, item: Annotated, generator: np.random.Generator) -> Callable[[], Crop]:
        turn = draw_turn(generator, self.augment.turn)
        change = self.augment.scale
        factor = float(np.exp(generator.uniform(-change, change))) if change and generator.random() < 0.5 else 1.0
        height, width = item.pixels.shape[:2]
        cut = min(round(self.side / factor), width, height)
        focus: Boxes | None = None
        if len(item.boxes) and generator.random() < self.crop.focus:
            focus = item.boxes[int(generator.integers(len(item.boxes)))]
        left = _place(generator, cut, width, None if focus is None else (focus[0], focus[2]), item.inside[0::2])
        top = _place(generator, cut, height, None if focus is None else (focus[1], focus[3]), item.inside[1::2])
        return lambda: self._cut_annotated(item, turn, cut, left, top)

    def _cut_annotated(self, item: Annotated, turn: Turn, cut: int, left: int, top: int) -> Crop:
        pixels = turn.pixels(item.pixels[top : top + cut, left : left + cut])
        mask = None if item.mask is None else turn.pixels(item.mask[top : top + cut, left : left + cut])
        boxes = turn.boxes(item.boxes - np.array([left, top, left, top], np.float32), cut)
        if cut != self.side:
            pixels = self._resized(pixels).reshape(self.side, self.side, -1)
            mask = None if mask is None else self._resized(mask)
            boxes = boxes * np.float32(self.side / cut)
        return self._labelled(np.asarray(pixels, np.uint8), boxes, item.classes, mask, item.weights)

    def _resized(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        shrinks = picture.shape[0] > self.side
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(np.ascontiguousarray(picture), (self.side, self.side), interpolation=interpolation)

    def _labelled(
        self,
        pixels: Pixels,
        boxes: Boxes,
        classes: NDArray[np.int32],
        mask: NDArray[np.generic] | None,
        weights: NDArray[np.float32] | None,
    ) -> Crop:
        """Runs the assigner on the boxes inside; cells with a mask go by its pixels."""
        visible = clip(boxes, self.side, self.side)
        share = area_of(visible) / np.maximum(area_of(boxes), 1e-6)
        whole, partly = share >= SEEN, (share > 0) & (share < SEEN)
        states = np.full((self.head.count, len(self.config.classes)), ABSENT, np.int8)
        targets = np.zeros((self.head.count, 4), np.float32)
        for box in visible[partly]:
            states[overlapping(self.head, box, 0.3)] = UNKNOWN
        if mask is not None and isinstance(self.head, CellGrid) and whole.any():
            assigned = assign_mask(self.head, cell_cover(np.asarray(mask, np.uint8), self.head), visible[whole])
        else:
            assigned = assign(self.head, visible[whole])
        states[assigned.ignored] = UNKNOWN
        states[assigned.areas] = ABSENT
        states[assigned.areas, classes[whole][assigned.boxes]] = PRESENT
        targets[assigned.areas] = visible[whole][assigned.boxes]
        spoken = np.zeros(self.head.count, bool)
        spoken[assigned.areas] = True
        counts = np.ones(self.head.count, np.float32)
        if weights is not None:
            counts[assigned.areas] = weights[whole][assigned.boxes]
        return Crop(pixels=pixels, states=states, spoken=spoken, targets=targets, taught=spoken, weights=counts)

    def _plan_mentored(self, item: Mentored, generator: np.random.Generator) -> Callable[[], Crop]:
        shapes = self.config.shapes if self.config.head == "anchors" else ((1.0, 1.0),)
        closed = Turn(transpose=True, mirror_x=False, mirror_y=False).shapes(shapes) is not None
        turn = draw_turn(generator, self.augment.turn, transpose=closed)
        rows, columns = item.pixels.shape[0] // self.stride, item.pixels.shape[1] // self.stride
        side = self.side // self.stride
        centre: tuple[int, int] | None = None
        if generator.random() < self.crop.focus:
            candidates = np.flatnonzero(item.spoken)
            if len(candidates):
                cell = int(candidates[int(generator.integers(len(candidates)))]) // len(shapes)
                centre = divmod(cell, columns)
        top = _place(generator, side, rows, None if centre is None else (centre[0], centre[0] + 1), (0, rows))
        left = _place(generator, side, columns, None if centre is None else (centre[1], centre[1] + 1), (0, columns))
        if self.crop.loose:
            return self._plan_loose(item, generator, turn, shapes, left, top)
        return lambda: self._cut_mentored(item, turn, shapes, left, top)

    def _plan_loose(
        self,
        item: Mentored,
        generator: np.random.Generator,
        turn: Turn,
        shapes: tuple[tuple[float, float], ...],
        left: int,
        top: int,
    ) -> Callable[[], Crop]:
        """The same place, a part of a cell beside it and a little larger or smaller."""
        change = self.augment.scale
        factor = float(np.exp(generator.uniform(-change, change))) if change and generator.random() < 0.5 else 1.0
        height, width = item.pixels.shape[:2]
        cut = min(round(self.side / factor), width, height)
        middle = generator.integers(-self.stride // 2, self.stride // 2 + 1, 2) + (self.side - cut) // 2
        x = int(np.clip(left * self.stride + middle[0], 0, width - cut))
        y = int(np.clip(top * self.stride + middle[1], 0, height - cut))
        return lambda: self._cut_loose(item, turn, shapes, Window(x=x, y=y, cut=cut, side=self.side))

    def _cut_loose(self, item: Mentored, turn: Turn, shapes: tuple[tuple[float, float], ...], window: Window) -> Crop:
        labels = moved(item, window, self.stride, len(shapes), self.head)
        pixels = item.pixels[window.y : window.y + window.cut, window.x : window.x + window.cut]
        if window.cut != self.side:
            pixels = np.asarray(self._resized(pixels), np.uint8).reshape(self.side, self.side, -1)
        side = self.side // self.stride
        order = turn.shapes(shapes)
        assert order is not None

        def turned(values: NDArray[np.generic]) -> NDArray[np.generic]:
            maps = values.reshape(side, side, len(shapes), -1)
            return turn.pixels(maps)[:, :, order].reshape(side * side * len(shapes), -1)

        return Crop(
            pixels=np.asarray(turn.pixels(pixels), np.uint8),
            states=np.asarray(turned(labels.states), np.int8),
            spoken=np.asarray(turned(labels.spoken), bool)[:, 0],
            targets=turn.boxes(np.asarray(turned(labels.targets), np.float32), self.side),
            taught=np.asarray(turned(labels.taught), bool)[:, 0],
            weights=np.asarray(turned(labels.weights), np.float32)[:, 0],
        )

    def _cut_mentored(
        self, item: Mentored, turn: Turn, shapes: tuple[tuple[float, float], ...], left: int, top: int
    ) -> Crop:
        rows, columns = item.pixels.shape[0] // self.stride, item.pixels.shape[1] // self.stride
        side = self.side // self.stride

        def cut(values: NDArray[np.generic]) -> NDArray[np.generic]:
            maps = values.reshape(rows, columns, len(shapes), -1)[top : top + side, left : left + side]
            order = turn.shapes(shapes)
            assert order is not None
            return turn.pixels(maps)[:, :, order].reshape(side * side * len(shapes), -1)

        weights = np.ones(side * side * len(shapes), np.float32)
        if item.weights is not None:
            weights = np.asarray(cut(item.weights), np.float32)[:, 0]
        x, y = left * self.stride, top * self.stride
        targets = np.asarray(cut(item.targets), np.float32) - np.array([x, y, x, y], np.float32)
        return Crop(
            pixels=np.asarray(turn.pixels(item.pixels[y : y + self.side, x : x + self.side]), np.uint8),
            states=np.asarray(cut(item.states), np.int8),
            spoken=np.asarray(cut(item.spoken), bool)[:, 0],
            targets=turn.boxes(targets, self.side),
            taught=np.asarray(cut(item.taught), bool)[:, 0],
            weights=weights,
        )


def _place(
    generator: np.random.Generator,
    cut: int,
    length: int,
    focus: tuple[float, float] | None,
    inside: tuple[int, ...],
) -> int:
    """Where a cut of `cut` begins on an axis of `length`: anywhere inside, or so that `focus` lies in it."""
    low, high = max(0, min(inside[0], length - cut)), max(0, min(inside[1], length) - cut)
    low, high = min(low, high), max(low, high)
    if focus is not None:
        # The focus keeps a tenth of the cut as margin where it can.
        margin = min(cut * 0.1, max(0.0, (cut - (focus[1] - focus[0])) / 2))
        first, last = int(np.ceil(focus[1] + margin - cut)), int(np.floor(focus[0] - margin))
        first, last = min(first, last), max(first, last)
        low, high = max(0, min(first, length - cut)), max(0, min(last, length - cut))
    return int(generator.integers(low, high + 1))
