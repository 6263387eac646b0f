"""Label states under a small shift and change of scale, which do not map areas onto areas.

A state goes to the area whose place it lands on, nearest place first. Where a box is known that a person drew or
confirmed, the assigner then says anew which areas answer for it, as it does for annotated pictures: an area that no
longer fits becomes UNKNOWN, one that fits now is taught, unless somebody spoke about it. So a network meets a clicked
defect between grid places too, and not at one place a hundred times.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lineside.areas import AnchorGrid, Head
from lineside.assign import assign
from lineside.boxes import Boxes, area_of, clip
from training.data.prepared import Mentored
from training.losses.classification import PRESENT, UNKNOWN

SEEN = 0.6
"""A known box with a smaller share of it inside the window is neither a defect nor background there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A square of `cut` pixels at (x, y) of a model input, shown as `side` pixels."""

    x: int
    y: int
    cut: int
    side: int

    @property
    def factor(self) -> float:
        """Shown pixels a pixel."""
        return self.side / self.cut

    def boxes(self, boxes: Boxes) -> Boxes:
        """(n, 4) boxes of the input, in shown pixels."""
        corner = np.array([self.x, self.y, self.x, self.y], np.float32)
        return np.asarray((boxes - corner) * np.float32(self.factor), np.float32)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Per area of the window: as in `training.data.prepared.Mentored`, targets in shown pixels."""

    states: NDArray[np.int8]
    spoken: NDArray[np.bool_]
    targets: Boxes
    taught: NDArray[np.bool_]
    weights: NDArray[np.float32]


def moved(item: Mentored, window: Window, stride: int, shapes: int, head: Head) -> Labels:
    """What is known of the areas of a window.

    Args:
        item: the picture, known by its areas.
        window: a part of it.
        stride: pixels from area to area.
        shapes: areas a place.
        head: of the window's side.
    """
    height, width = item.pixels.shape[:2]
    rows, columns = height // stride, width // stride
    middles = (np.arange(window.side // stride) + 0.5) * stride / window.factor
    row = np.clip(((middles + window.y) // stride).astype(np.intp), 0, rows - 1)
    column = np.clip(((middles + window.x) // stride).astype(np.intp), 0, columns - 1)
    places = (row[:, None] * columns + column[None, :]).reshape(-1)
    source = (places[:, None] * shapes + np.arange(shapes)).reshape(-1)
    states, spoken, taught = item.states[source], item.spoken[source], item.taught[source]
    targets = np.where(taught[:, None], window.boxes(item.targets[source]), np.float32(0))
    weights = np.ones(len(source), np.float32) if item.weights is None else item.weights[source]
    labels = Labels(states=states, spoken=spoken, targets=targets, taught=taught, weights=weights)
    known = item.taught & (item.states == PRESENT).any(axis=1)
    if isinstance(head, AnchorGrid) and known.any():
        return _assigned(labels, item, np.flatnonzero(known), window, head)
    return labels


def _assigned(labels: Labels, item: Mentored, known: NDArray[np.intp], window: Window, head: AnchorGrid) -> Labels:
    """The labels with the areas of known boxes said anew."""
    _, first = np.unique(item.targets[known], axis=0, return_index=True)
    examples = known[first]
    boxes = window.boxes(item.targets[examples])
    visible = clip(boxes, window.side, window.side)
    share = area_of(visible) / np.maximum(area_of(boxes), 1e-6)
    states, spoken, taught = labels.states.copy(), labels.spoken.copy(), labels.taught.copy()
    targets, weights = labels.targets.copy(), labels.weights.copy()
    # What was PRESENT by a known box is said anew; everything else that was said stays.
    again = taught & (states == PRESENT).any(axis=1)
    states[again], spoken[again], taught[again] = UNKNOWN, False, False
    whole = share >= SEEN
    if whole.any():
        assigned = assign(head, visible[whole])
        near = assigned.ignored[~spoken[assigned.ignored]]
        states[near] = UNKNOWN
        free = ~spoken[assigned.areas]
        areas, owners = assigned.areas[free], examples[whole][assigned.boxes[free]]
        states[areas] = item.states[owners]
        spoken[areas] = taught[areas] = True
        targets[areas] = visible[whole][assigned.boxes[free]]
        if item.weights is not None:
            weights[areas] = item.weights[owners]
    return Labels(states=states, spoken=spoken, targets=targets, taught=taught, weights=weights)
