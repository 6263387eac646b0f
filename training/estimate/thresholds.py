"""Threshold advice from the scores of confirmed and rejected detections. Pure.

At a higher threshold, what share of the detections would be right, and what share of the confirmed ones would be kept?
Both are weighted shares over the detections that were shown, so they hold from the lowest shown score upwards. Below
it nothing was raised, nobody was asked, and nothing is said: a lower threshold is extrapolation.

A threshold is advised for a precision when its interval lies wholly above it: choosing the luckiest of many thresholds
by its point alone would promise too much.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from training.estimate.intervals import Row, Share, share_of
from training.estimate.judged import SETTLED, Answer, JudgedFrame

TARGETS = (0.8, 0.9, 0.95, 0.99)
"""Precisions for which a threshold is sought."""
MOST_STEPS = 50
"""Thresholds looked at per class."""
FEWEST = 10
"""Settled detections of a class below which no threshold is advised."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a threshold would give."""

    threshold: float
    precision: Share
    kept: Share
    """Of the confirmed detections, those at or above it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Of one class. `steps` rise from the lowest shown score."""

    class_name: str
    deployed: float | None
    """Threshold in the model's manifest; None: not known."""
    shown_from: float
    """The lowest score that was shown; what lies below is extrapolation. NaN: nothing was shown."""
    confirmed: tuple[float, ...]
    """Scores."""
    rejected: tuple[float, ...]
    steps: tuple[Step, ...]
    for_precision: dict[float, Step | None]
    """The lowest threshold whose precision is surely (95 %) at least this; None: of those shown none is."""


def advice_for(
    class_name: str, frames: Sequence[JudgedFrame], weights: Sequence[float], *, deployed: float | None = None
) -> Advice:
    """Threshold advice for a class.

    Args:
        class_name: of the detections.
        frames: what was kept.
        weights: of each, from `answered_weights`.
        deployed: the model's threshold.
    """
    shown = [
        (item.score, item.answer is Answer.RIGHT, weight, frame.part)
        for frame, weight in zip(frames, weights, strict=True)
        for item in frame.detections
        if weight and item.class_name == class_name and item.answer in SETTLED
    ]
    scores = sorted({score for score, _, _, _ in shown})
    every = max(1, math.ceil(len(scores) / MOST_STEPS))
    steps = tuple(
        Step(
            threshold=threshold,
            precision=share_of(
                Row(part, weight, right, 1) for score, right, weight, part in shown if score >= threshold
            ),
            kept=share_of(Row(part, weight, score >= threshold, 1) for score, right, weight, part in shown if right),
        )
        for threshold in scores[::every]
    )
    enough = steps if len(shown) >= FEWEST else ()
    return Advice(
        class_name=class_name,
        deployed=deployed,
        shown_from=scores[0] if scores else math.nan,
        confirmed=tuple(sorted(score for score, right, _, _ in shown if right)),
        rejected=tuple(sorted(score for score, right, _, _ in shown if not right)),
        steps=steps,
        for_precision={
            target: next((step for step in enough if step.precision.low >= target), None) for target in TARGETS
        },
    )
