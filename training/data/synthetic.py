"""Importer of the synthetic line (`lineside.synthetic`): parts drawn from a seed and a number, kept in memory."""

from __future__ import annotations

import dataclasses

import numpy as np

from lineside.boxes import as_boxes
from lineside.synthetic import CHANGED, CLASSES, ORIGINAL, Setup, render
from lineside.synthetic import SIZE as SIZE
from training.data.sample import ArrayPicture, Dataset, Experiment, Sample


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """Parts in each set of an experiment; every second one is healthy."""

    train: int = 400
    evaluation: int = 200
    mentoring: int = 200

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 2:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, expected at least 2 parts")


def load(first: int, count: int, *, seed: int, setup: Setup, size: int = SIZE, name: str = "synthetic") -> Dataset:
    """Parts `first` to `first + count - 1`; even numbers have defects, odd ones are healthy."""
    samples = []
    for number in range(first, first + count):
        part = render(number, seed=seed, setup=setup, healthy=bool(number % 2), size=size)
        samples.append(
            Sample(
                name=f"{setup.name}-{number:06d}",
                picture=ArrayPicture(pixels=part.pixels),
                boxes=as_boxes([box for _, box in part.defects]),
                classes=np.array([CLASSES.index(kind) for kind, _ in part.defects], np.int32),
                part_id=part.part_id,
            )
        )
    return Dataset(name=name, classes=CLASSES, samples=tuple(samples))


def load_experiment(
    *, seed: int = 0, counts: LineCounts | None = None, changed: Setup = CHANGED, size: int = SIZE
) -> Experiment:
    """The line before and after its light and optics change; no part is in two sets.

    Args:
        seed: of the line.
        counts: parts in each set.
        changed: the new setup.
        size: side of a picture in pixels.
    """
    counts = counts or LineCounts()
    ends = np.cumsum([0, counts.train, counts.evaluation, counts.mentoring]).tolist()
    # Even starts, so that the first part of every set has a defect.
    starts = [end + end % 2 for end in ends]
    return Experiment(
        name="synthetic",
        train=load(starts[0], counts.train, seed=seed, setup=ORIGINAL, size=size, name="synthetic train"),
        eval_original=load(starts[1], counts.evaluation, seed=seed, setup=ORIGINAL, size=size, name="original eval"),
        mentoring=load(starts[2], counts.mentoring, seed=seed, setup=changed, size=size, name="synthetic mentoring"),
        eval_new=load(starts[3] + 2, counts.evaluation, seed=seed, setup=changed, size=size, name="synthetic new eval"),
    )
