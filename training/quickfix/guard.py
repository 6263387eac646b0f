"""Whether a quick fix may be written: is the pattern silent where it was not learned from, is every defect still found?

Both are counted at the deployed thresholds, on detections as the station raises them, for the model as it was and as it
is now. Pure but for the models asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from lineside.boxes import Boxes, as_boxes, iou
from lineside.decode import Found
from lineside.pixels import Pixels
from training.data.sample import Dataset
from training.evaluate.matching import match
from training.quickfix.clicks import Frame, Rejection

TOUCHES = 0.1
"""Overlap with a rejected box from which a detection is the same false alarm again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a fix must reach."""

    silenced: float = 0.8
    """Least share of the kept-back examples that no longer fire."""
    recall_fall: float = 0.01
    """Largest fall of the share of defects that are found."""

    def __post_init__(self) -> None:
        for name in ("silenced", "recall_fall"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One model on everything it is checked on; numbers of defects, examples and detections."""

    original: int
    """Annotated defects of original pictures held out."""
    original_found: int
    confirmed: int
    """Defects that operators confirmed or drew."""
    confirmed_found: int
    examples: int
    """Kept-back rejections of the pattern."""
    firing: int
    alarms: int
    """Detections on the held-out original pictures that meet no defect."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A fix beside its parent."""

    before: Counts
    after: Counts

    @property
    def silenced(self) -> float:
        """Share of the kept-back examples that fired and do no longer, 0 to 1."""
        return 1 - self.after.firing / self.before.firing if self.before.firing else 0.0

    @property
    def recall_fall(self) -> float:
        """Of original and confirmed defects together: share found before less share found now."""
        defects = self.before.original + self.before.confirmed
        lost = self.before.original_found - self.after.original_found
        return (lost + self.before.confirmed_found - self.after.confirmed_found) / max(1, defects)

    def failures(self, limits: Limits) -> tuple[str, ...]:
        """Why it must not be written; nothing where it may."""
        reasons = []
        if self.silenced < limits.silenced:
            reasons.append(
                f"{self.after.firing} of {self.before.firing} kept-back examples still fire: {self.silenced:.0%} fell"
                f" silent, expected {limits.silenced:.0%}"
            )
        if self.recall_fall > limits.recall_fall + 1e-9:
            before, after = self.before, self.after
            reasons.append(
                f"recall falls by {self.recall_fall:.3f}, allowed are {limits.recall_fall}: original defects found"
                f" {before.original_found} to {after.original_found} of {before.original}, confirmed"
                f" {before.confirmed_found} to {after.confirmed_found} of {before.confirmed}"
            )
        return tuple(reasons)


def count(
    deployed: Callable[[Pixels], Found],
    held_out: Dataset,
    frames: Sequence[Frame],
    kept_back: Sequence[Rejection],
    *,
    on_picture: Callable[[], None] | None = None,
) -> Counts:
    """Asks one model about everything.

    Args:
        deployed: a frame's detections at the thresholds, boxes in frame pixels.
        held_out: original pictures with all their defects that the fix does not see.
        frames: judged ones; those with defects and those of `kept_back` are asked about.
        kept_back: examples of the pattern that the fix does not see.
        on_picture: called after each picture.
    """
    original = original_found = alarms = confirmed = confirmed_found = firing = 0
    for sample in held_out:
        found = deployed(sample.picture.read())
        outcome = match(found, sample.boxes, sample.classes)
        original += len(sample.boxes)
        original_found += int(outcome.met.sum())
        alarms += int((~outcome.right).sum())
        if on_picture is not None:
            on_picture()
    by_frame: dict[int, list[Rejection]] = {}
    for rejection in kept_back:
        by_frame.setdefault(rejection.frame, []).append(rejection)
    for place, frame in enumerate(frames):
        rejections = by_frame.get(place, [])
        if not len(frame.boxes) and not rejections:
            continue
        found = deployed(frame.pixels)
        outcome = match(found, frame.boxes, frame.classes)
        confirmed += len(frame.boxes)
        confirmed_found += int(outcome.met.sum())
        wrong = found.boxes[~outcome.right]
        firing += sum(_fires(wrong, rejection) for rejection in rejections)
        if on_picture is not None:
            on_picture()
    return Counts(
        original=original,
        original_found=original_found,
        confirmed=confirmed,
        confirmed_found=confirmed_found,
        examples=len(kept_back),
        firing=firing,
        alarms=alarms,
    )


def _fires(boxes: Boxes, rejection: Rejection) -> bool:
    return bool(len(boxes)) and bool((iou(boxes, as_boxes([rejection.box])) >= TOUCHES).any())


def kept_back(
    rejections: Sequence[Rejection], frames: Sequence[Frame], *, every: int = 4
) -> tuple[list[int], list[int]]:
    """Places of the examples to learn from and of those to check by: every fourth part's, so that no part is in both.

    Raises:
        ValueError: they come from fewer parts than `every`.
    """
    parts = list(dict.fromkeys(frames[rejection.frame].part for rejection in rejections))
    if len(parts) < every:
        raise ValueError(
            f"the examples show {len(parts)} parts, expected at least {every}: some must be kept back to check the fix"
        )
    checked = set(parts[every - 1 :: every])
    sides = np.array([frames[rejection.frame].part in checked for rejection in rejections])
    return np.flatnonzero(~sides).tolist(), np.flatnonzero(sides).tolist()
