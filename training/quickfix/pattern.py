"""The pattern that keeps coming back among rejected detections, and whether it can be told from real defects. Pure.

Two detections look alike where their features lie near each other, each feature counted by its spread over rejected
detections and defects together. The pattern is the largest group around one point; it can be told from defects where a
plane through the features, fitted to a part of both (ridge regression, both sides weighing the same), sorts the other
part. The classifier of a network is such planes: what they cannot sort here, a quick fix can hardly.

Features are float32 (n, F), one row a detection (`training.quickfix.clicks.pooled`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]

NEAR = 0.7
"""Mean squared distance, in spreads, up to which two rejections may be one pattern; any two detections are 2 apart."""
INSIDE = 0.4
"""The same to the middle of the pattern, up to which one belongs to it."""
FOLDS = 5
RIDGE = 2.0
"""Against unit variance and weight 1 a detection. At 20, defects in 64 dimensions begin to look like the pattern."""


class NoPatternError(ValueError):
    """There is nothing a quick fix could learn from; says what was found and what to do instead."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatternConfig:
    """When there is a pattern, and when it is too much like a defect."""

    least: int = 10
    """Examples."""
    confusable: float = 0.1
    """Share of the defects of its class that may look like the pattern."""

    def __post_init__(self) -> None:
        if self.least < 4:
            raise ValueError(f"least is {self.least}, expected at least 4: some are kept back to check the fix")
        if not 0 < self.confusable < 1:
            raise ValueError(f"confusable is {self.confusable}, expected above 0 and below 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """members: places among the rejections, ascending. apart: mean squared distance of the members from their middle.

    mistaken: defects of the compared classes that look like it; compared: how many there are.
    """

    members: Places
    apart: float
    mistaken: int
    compared: int


def find_pattern(
    rejected: Floats, defects: Floats, related: NDArray[np.bool_], config: PatternConfig, *, names: Sequence[str]
) -> Pattern:
    """The largest group of rejections that look alike.

    Args:
        rejected: (n, F).
        defects: (m, F), detections that are right: what must not be unlearned.
        related: (m,) defects of a class the rejections were taken for.
        config: when there is a pattern.
        names: those classes, for messages.

    Raises:
        NoPatternError: too few rejections, nothing common in them, or they cannot be told from defects.
    """
    if len(rejected) < config.least:
        raise NoPatternError(
            f"{len(rejected)} rejections can be used, a quick fix needs {config.least} of one pattern; reject more of"
            " them, or train with `train --recipe recommended`"
        )
    members, apart = largest_group(scaled(rejected, defects))
    if len(members) < config.least:
        raise NoPatternError(
            f"the {len(rejected)} rejections have too little in common: the largest group that looks alike has"
            f" {len(members)}, expected {config.least}; several causes need a training: `train --recipe recommended`"
        )
    mistaken = taken_for(rejected[members], defects)
    compared = int(related.sum())
    among = int((mistaken & related).sum())
    if among > max(2.0, config.confusable * compared):
        raise NoPatternError(
            f"the pattern cannot be told from confirmed defects: {among} of {compared} of class {' or '.join(names)}"
            " look more like it than like a defect; check these rejections, or change what the camera sees"
        )
    return Pattern(members=members, apart=apart, mistaken=among, compared=compared)


def scaled(rejected: Floats, defects: Floats) -> Floats:
    """Rejections in spreads of each feature over both sides; a feature that is the same everywhere says nothing."""
    spread = np.concatenate([rejected, defects]).std(axis=0, dtype=np.float64)
    return np.asarray(rejected / np.maximum(spread, 1e-3 * max(float(spread.max(initial=0.0)), 1e-6)), np.float32)


def largest_group(points: Floats) -> tuple[Places, float]:
    """The largest group of points (n, F) around one of them: places, and mean squared distance from its middle."""
    near = np.stack([_distance(points, point) for point in points]) <= NEAR
    members = np.flatnonzero(near[int(near.sum(axis=1).argmax())])
    for _ in range(20):
        inside = np.flatnonzero(_distance(points, points[members].mean(axis=0)) <= INSIDE)
        if len(inside) == 0 or np.array_equal(inside, members):
            break
        members = inside
    return members, float(_distance(points[members], points[members].mean(axis=0)).mean())


def _distance(points: Floats, middle: Floats) -> Floats:
    """(n,) mean over the features of squared differences."""
    return np.asarray(((points - middle) ** 2).mean(axis=1), np.float32)


def taken_for(pattern: Floats, defects: Floats) -> NDArray[np.bool_]:
    """(m,) defects that a plane fitted without them puts on the pattern's side."""
    if len(defects) < FOLDS:
        return np.zeros(len(defects), bool)
    features = np.concatenate([pattern, defects]).astype(np.float64)
    side = np.concatenate([np.ones(len(pattern)), -np.ones(len(defects))])
    # Every FOLDS-th of each side: no chance, and both sides in every fold.
    fold = np.concatenate([np.arange(len(pattern)), np.arange(len(defects))]) % FOLDS
    answer = np.zeros(len(side))
    for number in range(FOLDS):
        answer[fold == number] = _plane(features, side, fold != number)(features[fold == number])
    return np.asarray(answer[len(pattern) :] > 0)


def _plane(
    features: NDArray[np.float64], side: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Fitted to the chosen rows; above 0 is the pattern's side."""
    inputs, targets = features[chosen], side[chosen]
    middle, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    weights = np.where(targets > 0, (targets < 0).sum() / max(1, (targets > 0).sum()), 1.0)
    rows = np.c_[(inputs - middle) / spread, np.ones(len(inputs))]
    normal = rows.T @ (rows * weights[:, None]) + RIDGE * np.eye(rows.shape[1])
    plane = np.linalg.solve(normal, rows.T @ (weights * targets))
    return lambda points: np.asarray(np.c_[(points - middle) / spread, np.ones(len(points))] @ plane)
