"""The worst errors of a model on a set: defects nobody was told of, alarms about nothing, wrong names. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lineside.boxes import iou
from training.data.sample import Sample
from training.evaluate.matching import MEETS, match
from training.evaluate.predictor import Answer

Box = tuple[float, float, float, float]
TOUCHES = 0.1
"""Overlap below which an alarm is about nothing at all; above it, a defect is there and the box is bad."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """One error; boxes in frame pixels."""

    picture: int
    """Place among the answers."""
    box: Box
    """What it is about."""
    said: str
    """Class that was raised; empty: none."""
    true: str
    """Class that is there; empty: none."""
    score: float
    """Of what was raised; of a missed defect, the best score of its class there, below the threshold."""
    silent: bool = False
    """The whole picture passed: an escape."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The worst first."""

    missed: tuple[Error, ...]
    """Those in pictures that passed come first, then those the model saw least of."""
    false_alarms: tuple[Error, ...]
    """The most confident first."""
    wrong_class: tuple[Error, ...]
    """The most confident first."""


def worst_errors(answers: Sequence[tuple[Sample, Answer]], classes: Sequence[str], *, count: int) -> Errors:
    """Looks for them.

    Args:
        answers: pictures and what a model said of them.
        classes: names in the order of the class axis.
        count: of each kind, at most.
    """
    missed: list[Error] = []
    alarms: list[Error] = []
    wrong: list[Error] = []
    for place, (sample, answer) in enumerate(answers):
        raised = answer.deployed
        outcome = match(raised, sample.boxes, sample.classes)
        named: set[int] = set()
        for number in np.flatnonzero(~outcome.right):
            box, score = _box(raised.boxes[number]), float(raised.scores[number])
            said = classes[int(raised.classes[number])]
            overlap = iou(raised.boxes[number : number + 1], sample.boxes)[0] if len(sample.boxes) else np.zeros(0)
            other = np.where(sample.classes == raised.classes[number], 0.0, overlap)
            if len(other) and other.max() >= MEETS:
                true = int(other.argmax())
                named.add(true)
                wrong.append(Error(picture=place, box=box, said=said, true=classes[sample.classes[true]], score=score))
            elif not len(overlap) or overlap.max() < TOUCHES:
                alarms.append(Error(picture=place, box=box, said=said, true="", score=score))
        for number in np.flatnonzero(~outcome.met):
            if int(number) in named:
                continue
            kind = int(sample.classes[number])
            missed.append(
                Error(
                    picture=place,
                    box=_box(sample.boxes[number]),
                    said="",
                    true=classes[kind],
                    score=_best_score(answer, sample, int(number)),
                    silent=not len(raised),
                )
            )
    missed.sort(key=lambda item: (not item.silent, item.score))
    alarms.sort(key=lambda item: -item.score)
    wrong.sort(key=lambda item: -item.score)
    return Errors(missed=tuple(missed[:count]), false_alarms=tuple(alarms[:count]), wrong_class=tuple(wrong[:count]))


def _best_score(answer: Answer, sample: Sample, number: int) -> float:
    """Of what was found at a defect, whatever its threshold; 0: nothing."""
    found = answer.found
    here = (found.classes == sample.classes[number]) & (
        iou(found.boxes, sample.boxes[number : number + 1])[:, 0] >= MEETS if len(found) else np.zeros(0, bool)
    )
    return float(found.scores[here].max()) if here.any() else 0.0


def _box(box: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Box:
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
