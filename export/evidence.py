"""What a model card shows of a measurement: figures, precision over recall, and the worst pictures. No HTML here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lineside.decode import Found
from lineside.pixels import Pixels
from training.data.sample import Experiment, Sample
from training.evaluate.figures import Figures, OnPicture, figures_of
from training.evaluate.matching import match
from training.evaluate.predictor import Answer, Predictor

WORST = 8
"""Pictures shown of each domain."""

Answers = Sequence[tuple[Sample, Answer]]
Point = tuple[float, float]
"""Recall and precision."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Precision over recall of one class, from the highest score down."""

    name: str
    points: tuple[Point, ...]
    deployed: Point | None
    """At the deployed threshold; None: there it raises nothing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A box drawn into a picture, in frame pixels."""

    kind: str
    """"met" or "missed": a true defect; "right" or "false": a detection; "golden": an expected detection."""
    box: tuple[float, float, float, float]
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """A picture with what is true and what was raised. pixels: uint8 (h, w) or (h, w, 3) RGB."""

    title: str
    pixels: Pixels
    marks: tuple[Mark, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """One domain, measured."""

    figures: Figures
    curves: tuple[Curve, ...]
    worst: tuple[Shot, ...]
    """Escapes first, then the pictures with most errors."""


def measure(predictor: Predictor, experiment: Experiment, on_picture: OnPicture | None = None) -> tuple[Evidence, ...]:
    """Measures a network at its thresholds on the domains there are, original first.

    Raises:
        ValueError: the data has other classes, or no picture to be judged by.
    """
    total = sum(len(dataset) for _, dataset in experiment.evaluation)
    if not total:
        raise ValueError(f"{experiment.name} has no picture to be judged by")
    found = []
    done = 0
    for domain, dataset in experiment.evaluation:
        if dataset.classes != predictor.config.classes:
            raise ValueError(f"the network knows {predictor.config.classes}, the data has {dataset.classes}")
        answers = []
        for sample in dataset:
            answers.append((sample, predictor.answer(sample.picture.read())))
            done += 1
            if on_picture is not None:
                on_picture(done, total)
        figures = figures_of(answers, predictor.thresholds, classes=dataset.classes, domain=domain)
        found.append(
            Evidence(
                figures=figures,
                curves=curves_of(answers, dataset.classes, predictor.thresholds.tolist()),
                worst=worst_of(answers, dataset.classes),
            )
        )
    return tuple(found)


def curves_of(answers: Answers, classes: Sequence[str], thresholds: Sequence[float]) -> tuple[Curve, ...]:
    """One curve for each class that has defects and was ever raised, over all pictures, healthy ones included."""
    matched = [(sample, answer.found, match(answer.found, sample.boxes, sample.classes)) for sample, answer in answers]
    curves = []
    for index, name in enumerate(classes):
        scores = [found.scores[found.classes == index] for _, found, _ in matched]
        right = [outcome.right[found.classes == index] for _, found, outcome in matched]
        defects = sum(int((sample.classes == index).sum()) for sample, _, _ in matched)
        score = np.concatenate(scores) if scores else np.zeros(0, np.float32)
        if not defects or not len(score):
            continue
        order = np.argsort(-score, kind="stable")
        met = np.cumsum(np.concatenate(right)[order])
        points = [
            (round(float(hits) / defects, 4), round(float(hits) / count, 4)) for count, hits in enumerate(met, start=1)
        ]
        raised = int((score >= np.float32(thresholds[index])).sum())
        curves.append(Curve(name=name, points=_corners(points), deployed=points[raised - 1] if raised else None))
    return tuple(curves)


def _corners(points: Sequence[Point]) -> tuple[Point, ...]:
    """The same line with fewer points: of each recall its first and its last precision."""
    kept = [
        point
        for number, point in enumerate(points)
        if number in (0, len(points) - 1) or points[number - 1][0] != point[0] or points[number + 1][0] != point[0]
    ]
    return tuple(kept)


def worst_of(answers: Answers, classes: Sequence[str], *, count: int = WORST) -> tuple[Shot, ...]:
    """Pictures with errors at the deployed thresholds: escapes first, then most errors, then as in the set."""

    def rank(entry: tuple[Sample, Answer]) -> tuple[bool, int]:
        sample, answer = entry
        outcome = match(answer.deployed, sample.boxes, sample.classes)
        escape = not sample.healthy and not len(answer.deployed)
        return escape, int((~outcome.right).sum() + (~outcome.met).sum())

    ranked = sorted(answers, key=rank, reverse=True)
    return tuple(_shot(sample, answer, classes) for sample, answer in ranked[:count] if rank((sample, answer))[1])


def _shot(sample: Sample, answer: Answer, classes: Sequence[str]) -> Shot:
    found = answer.deployed
    outcome = match(found, sample.boxes, sample.classes)
    marks = [
        _mark("met" if met else "missed", box, classes[kind])
        for box, kind, met in zip(sample.boxes, sample.classes, outcome.met, strict=True)
    ]
    marks += marks_of(found, classes, ["right" if right else "false" for right in outcome.right])
    missed, false = int((~outcome.met).sum()), int((~outcome.right).sum())
    if not sample.healthy and not len(found):
        said = "escape: nothing was raised"
    else:
        said = ", ".join(f"{number} {word}" for number, word in ((missed, "missed"), (false, "false")) if number)
    return Shot(title=f"{sample.name}: {said}", pixels=sample.picture.read(), marks=tuple(marks))


def marks_of(found: Found, classes: Sequence[str], kinds: Sequence[str]) -> list[Mark]:
    """A mark for each detection, boxes in frame pixels."""
    return [
        _mark(kind, box, f"{classes[number]} {score:.2f}")
        for box, number, score, kind in zip(found.boxes, found.classes, found.scores, kinds, strict=True)
    ]


def _mark(kind: str, box: np.ndarray[tuple[int, ...], np.dtype[np.float32]], text: str) -> Mark:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return Mark(kind=kind, box=(x1, y1, x2, y2), text=text)
