"""Operators' reliability from their disagreement on hidden repeats: a model with one number an operator. Pure.

    z_i ~ Bernoulli(p),  p ~ Beta(1, 1)        whether detection i is right as named; nobody is told
    r_k ~ Beta(a, b)                           the share of operator k's answers that are right
    P(answer of k about i = z_i) = r_k         independently, however often he is asked

This is the model of Dawid and Skene (1979) with one number for an operator instead of a table of confusions ("one
coin"), with the Beta prior of Raykar et al. (2010) that shrinks who was asked little towards the usual operator. Two
numbers an operator (of what is right, of what is not) gave wider intervals on tens of repeats, and found a bad operator
later. The posterior is drawn by Gibbs sampling; given the truths z the rest is conjugate, and given r

    log odds of z_i = log(p / (1 - p)) + sum over answers of +-log(r_k / (1 - r_k))

a = 4.5, b = 0.5: an operator nobody knows is right nine times in ten, and that counts as much as five answers. The
prior also says that operators are right more often than wrong, which answers alone cannot tell.

What it cannot see: errors that operators make together (a defect that looks healthy to all of them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.reliability.questions import Question

PRIOR = (4.5, 0.5)
CHAINS, BURN, KEPT = 24, 60, 150
"""Chains side by side, sweeps thrown away, sweeps kept of each."""
_EDGE = 1e-6

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Of one operator: the posterior of the share of his answers that are right."""

    mean: float
    low: float
    high: float
    """2.5 and 97.5 per cent."""
    repeats: int
    """His answers to questions that were answered more than once."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.mean <= self.high <= 1:
            raise ValueError(f"reliability is {self.mean} in {self.low} to {self.high}, expected 0 to 1, in this order")


UNKNOWN_OPERATOR_MEAN = PRIOR[0] / (PRIOR[0] + PRIOR[1])


def estimate(questions: Sequence[Question], *, seed: int = 0) -> Mapping[str, Reliability]:
    """Each operator's reliability, by name; of somebody without a repeat the prior's.

    Args:
        questions: all that were answered; only repeats inform, so that operators who are shown different parts are
            not compared by how often they confirm.
        seed: of the draws.
    """
    names = sorted({name for question in questions for name, _ in question.votes})
    if not names:
        return {}
    repeated = [question for question in questions if question.repeated]
    place = {name: number for number, name in enumerate(names)}
    yes, no = np.zeros((2, len(repeated), len(names)))
    for row, question in enumerate(repeated):
        for name, said in question.votes:
            (yes if said else no)[row, place[name]] += 1
    draws = posterior(yes, no, seed=seed)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    asked = (yes + no).sum(axis=0)
    # Exact where it is known, so that without repeats all answers count alike to the last bit.
    mean = np.where(asked > 0, draws.mean(axis=0), UNKNOWN_OPERATOR_MEAN)
    return {
        name: Reliability(
            mean=float(mean[number]),
            low=float(min(low[number], mean[number])),
            high=float(max(high[number], mean[number])),
            repeats=int(asked[number]),
        )
        for number, name in enumerate(names)
    }


def posterior(yes: Floats, no: Floats, *, seed: int = 0, prior: tuple[float, float] = PRIOR) -> Floats:
    """Draws of r, (CHAINS * KEPT, operators).

    Args:
        yes, no: (questions, operators), how often each said that it is right, or not.
        seed: of the draws.
        prior: a and b.
    """
    generator = np.random.default_rng(seed)
    questions, operators = yes.shape
    a, b = prior
    asked = (yes + no).sum(axis=0)
    right = generator.beta(a, b, (CHAINS, operators))
    share = np.full((CHAINS, 1), 0.5)
    kept = np.empty((KEPT, CHAINS, operators))
    for sweep in range(BURN + KEPT):
        odds = _logit(share) + _logit(right) @ (yes - no).T
        truth = (generator.random((CHAINS, questions)) < 1 / (1 + np.exp(-odds))).astype(float)
        hits = truth @ yes + (1 - truth) @ no
        right = generator.beta(a + hits, b + asked - hits)
        defects = truth.sum(axis=1, keepdims=True)
        share = generator.beta(1 + defects, 1 + questions - defects)
        if sweep >= BURN:
            kept[sweep - BURN] = right
    return kept.reshape(-1, operators)


def chance_of_yes(votes: Sequence[tuple[str, bool]], reliability: Mapping[str, Reliability]) -> float:
    """Probability that a detection is right as named, given who said what about it, both answers equally likely before.

    Not the share p of the repeats: how likely a detection is right the network says itself, and would be told twice.
    """
    odds = sum((1 if said else -1) * float(_logit(np.float64(_mean(name, reliability)))) for name, said in votes)
    return float(1 / (1 + np.exp(-odds)))


def chance_of_right(operators: Sequence[str], reliability: Mapping[str, Reliability]) -> float:
    """Probability that what these operators agree about is right."""
    return chance_of_yes([(name, True) for name in operators], reliability)


def _mean(name: str, reliability: Mapping[str, Reliability]) -> float:
    return reliability[name].mean if name in reliability else UNKNOWN_OPERATOR_MEAN


def _logit(share: Floats | np.float64) -> Floats:
    inside = np.clip(share, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))
