"""What is really wrong with a part: known to a simulated operator, never to the station."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lineside.boxes import Boxes, as_boxes
from lineside.synthetic import ORIGINAL, render
from training.data.sample import Dataset


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """boxes: (n, 4) float32 frame pixels; classes: n class names. Empty: the part is healthy."""

    boxes: Boxes
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(as_boxes(self.boxes)) != len(self.classes):
            raise ValueError(f"{len(self.boxes)} boxes and {len(self.classes)} classes, expected as many")


TruthOf = Callable[[str], Truth | None]
"""The truth of the part with this id; None: nothing is known about it."""


def of_dataset(*datasets: Dataset) -> dict[str, Truth]:
    """The truth of every picture, by its name: the part id it is sent with."""
    return {
        sample.name: Truth(boxes=sample.boxes, classes=tuple(dataset.classes[index] for index in sample.classes))
        for dataset in datasets
        for sample in dataset
    }


def of_synthetic_line(part_id: str, *, seed: int) -> Truth | None:
    """The truth of a part that a synthetic camera has shown, drawn again from the number in its id."""
    start = f"S{seed}-"
    number = part_id.removeprefix(start)
    if not part_id.startswith(start) or not number.isdigit():
        return None
    defects = render(int(number), seed=seed, setup=ORIGINAL).defects
    return Truth(boxes=as_boxes([box for _, box in defects]), classes=tuple(name for name, _ in defects))


def usual_sides(truths: Sequence[Truth]) -> Mapping[str, float]:
    """The usual side of a defect of each class in pixels: the median of the square roots of the boxes' areas."""
    sides: dict[str, list[float]] = {}
    for truth in truths:
        spans = truth.boxes[:, 2:] - truth.boxes[:, :2]
        for name, side in zip(truth.classes, np.sqrt(spans.prod(axis=1)), strict=True):
            sides.setdefault(name, []).append(float(side))
    return {name: float(np.median(values)) for name, values in sides.items()}
