"""Thresholds: the score per class from which a detection is to be raised. Mean average precision hides them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.decode import Found
from training.data.sample import Sample
from training.evaluate.matching import match

LOWEST, HIGHEST = 0.05, 0.95


def best_thresholds(
    answers: Sequence[tuple[Sample, Found]], classes: Sequence[str], *, beta: float = 1.0, usual: float = 0.5
) -> dict[str, float]:
    """The score per class at which the F measure is best.

    F_beta = (1 + beta^2) * precision * recall / (beta^2 * precision + recall). Detections on healthy pictures count as
    false alarms. The threshold lies in the middle between the last detection kept and the first left out, 0.05 to 0.95.

    Args:
        answers: pictures with all their defects, and detections from a low score on.
        classes: names in the order of the class axis.
        beta: above 1 recall counts more.
        usual: for classes without a defect or a detection.
    """
    scores: list[list[float]] = [[] for _ in classes]
    right: list[list[bool]] = [[] for _ in classes]
    defects = np.zeros(len(classes), int)
    for sample, found in answers:
        outcome = match(found, sample.boxes, sample.classes)
        for kind, score, good in zip(found.classes, found.scores, outcome.right, strict=True):
            scores[kind].append(float(score))
            right[kind].append(bool(good))
        defects += np.bincount(sample.classes, minlength=len(classes))
    return {
        name: _best(np.array(scores[kind]), np.array(right[kind], bool), int(defects[kind]), beta, usual)
        for kind, name in enumerate(classes)
    }


def _best(scores: NDArray[np.float64], right: NDArray[np.bool_], defects: int, beta: float, usual: float) -> float:
    if defects == 0 or not right.any():
        return usual
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order]
    raised = np.arange(1, len(scores) + 1)
    met = np.cumsum(right)
    # F_beta in counts: (1 + b^2) TP / (raised + b^2 defects).
    measure = (1 + beta**2) * met / (raised + beta**2 * defects)
    # Among equal scores only the last can be cut behind.
    measure[:-1][scores[:-1] == scores[1:]] = -1.0
    last = int(measure.argmax())
    below = scores[last + 1] if last + 1 < len(scores) else 0.0
    return float(np.clip((scores[last] + below) / 2, LOWEST, HIGHEST))
