"""How well a fresh linear probe tells the domains of frozen features apart: 0.5 is chance, 1.0 always.

The probe is a logistic regression on standardised features. It is asked about pictures it has not seen: all areas of a
picture lie in one fold (they look alike, and a probe that met some of them would know the picture and not the domain).
Every class has as many areas from either domain.

    accuracy = (right of original / original + right of new / new) / 2        over areas, out of fold

Its 95 % interval is that of a bootstrap over pictures, for areas of a picture are no independent witnesses. It holds
for these fitted probes; what another draw of training pictures would change is not in it.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluate.features import BACKGROUND, Features, balanced
from training.extras import need

FOLDS = 5
REPEATS = 3
"""Draws of areas and folds; their answers are counted together."""
RESAMPLES = 2000
PENALTY = 1.0
"""Inverse strength of the L2 penalty (scikit-learn's C)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share or a difference of shares with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded to what can be meant."""
        return {name: round(value, 4) for name, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """Answers out of fold, counted by picture: `right` and `asked` are int64 (pictures, kinds)."""

    right: NDArray[np.int64]
    asked: NDArray[np.int64]
    new: NDArray[np.bool_]
    """(pictures,)"""
    kinds: tuple[int, ...]
    """Class of each column; BACKGROUND among them."""

    @property
    def areas(self) -> int:
        """Areas a probe was asked about in one draw."""
        return round(int(self.asked.sum()) / REPEATS)

    @property
    def pictures(self) -> int:
        """Pictures they are of."""
        return int((self.asked.sum(axis=1) > 0).sum())

    def accuracy(self, seed: int = 0) -> Share:
        """Mean over the domains."""
        return _share(_weights(self.new, seed) @ np.stack([self.right.sum(axis=1), self.asked.sum(axis=1)], axis=-1))

    def accuracy_of(self, kind: int, seed: int = 0) -> Share:
        """The same for one class."""
        column = self.kinds.index(kind)
        counts = np.stack([self.right[:, column], self.asked[:, column]], axis=-1)
        return _share(_weights(self.new, seed) @ counts)


def probe_domains(features: Features, *, pictures: int, seed: int = 0, folds: int = FOLDS) -> Probe:
    """Trains probes and counts what they get right.

    Args:
        features: of both domains; give defective and background areas apart.
        pictures: of both domains together.
        seed: of the draws and folds.
        folds: fewer are taken where a domain has fewer pictures.

    Raises:
        ValueError: a domain has fewer than two pictures with areas of a class that both have.
        MissingExtraError: scikit-learn is not installed.
    """
    kinds, column = np.unique(features.classes, return_inverse=True)
    right = np.zeros((pictures, len(kinds)), np.int64)
    asked = np.zeros_like(right)
    new = np.zeros(pictures, bool)
    new[features.pictures] = features.new
    for repeat in range(REPEATS):
        generator = np.random.default_rng([seed, repeat])
        chosen = balanced(features, generator)
        mine = features.only(chosen)
        met = _out_of_fold(mine, folds=folds, seed=int(generator.integers(2**31))) == mine.new
        np.add.at(right, (mine.pictures, column[chosen]), met)
        np.add.at(asked, (mine.pictures, column[chosen]), 1)
    return Probe(right=right, asked=asked, new=new, kinds=tuple(int(kind) for kind in kinds))


def change(before: Probe, after: Probe, seed: int = 0) -> Share:
    """Accuracy after less before, on the same pictures: both are resampled together, so what they share cancels.

    Raises:
        ValueError: they are of other pictures.
    """
    if not np.array_equal(before.new, after.new):
        raise ValueError("the probes are of other pictures; compare checkpoints on the same data")
    weights = _weights(before.new, seed)
    values = []
    for probe in (before, after):
        counts = np.stack([probe.right.sum(axis=1), probe.asked.sum(axis=1)], axis=-1)
        values.append(_accuracies(weights @ counts))
    return _interval(values[1] - values[0])


def _out_of_fold(features: Features, *, folds: int, seed: int) -> NDArray[np.bool_]:
    need("sklearn", purpose="a domain probe", install="'lineside[training]'")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fewest = min(len(np.unique(features.pictures[features.new == new])) for new in (False, True))
    if fewest < 2:
        raise ValueError(
            f"a domain has {fewest} pictures with areas that can be compared, expected at least 2; give more evaluation"
            " pictures with defects of the same classes in both domains"
        )
    parts = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000))
    with warnings.catch_warnings():
        # A probe that has not quite converged has still answered; which of two nearly equal planes it is does not show.
        warnings.simplefilter("ignore", ConvergenceWarning)
        guessed = cross_val_predict(model, features.vectors, features.new, groups=features.pictures, cv=parts)
    return np.asarray(guessed, bool)


def _weights(new: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """(2, 1 + RESAMPLES, pictures): by domain, how often each picture is drawn; the first draw is the data itself."""
    generator = np.random.default_rng(seed)
    weights = np.zeros((2, 1 + RESAMPLES, len(new)))
    for domain in (0, 1):
        mine = np.flatnonzero(new == bool(domain))
        weights[domain, 0, mine] = 1
        weights[domain, 1:, mine] = generator.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), RESAMPLES).T
    return weights


def _accuracies(counts: NDArray[Any]) -> NDArray[np.float64]:
    """(1 + RESAMPLES,) out of (2, 1 + RESAMPLES, 2) right and asked; a draw without any area says nothing: NaN."""
    with np.errstate(invalid="ignore"):
        return np.asarray((counts[..., 0] / counts[..., 1]).mean(axis=0), np.float64)


def _share(counts: NDArray[Any]) -> Share:
    return _interval(_accuracies(counts))


def _interval(values: NDArray[np.float64]) -> Share:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Share(value=float(values[0]), low=float(low), high=float(high))


def by_class(probe: Probe, classes: Sequence[str]) -> dict[str, Share]:
    """Accuracy by class name; a class that one domain lacks is left out."""
    asked = probe.asked.sum(axis=0)
    return {
        classes[kind]: probe.accuracy_of(kind)
        for kind, count in zip(probe.kinds, asked, strict=True)
        if kind != BACKGROUND and count
    }
