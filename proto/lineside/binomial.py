"""Exact tails of the binomial distribution, for counts that are compared on a line. Pure."""

from __future__ import annotations

import math


def at_least(hits: int, trials: int, chance: float) -> float:
    """Probability of `hits` or more in `trials` independent ones, each with `chance`."""
    if hits <= 0 or chance >= 1:
        return 1.0
    if hits > trials or chance <= 0:
        return 0.0
    if hits <= trials * chance:
        return 1.0 - sum(_terms(trials - hits + 1, trials, 1 - chance))
    return min(1.0, sum(_terms(hits, trials, chance)))


def _terms(first: int, trials: int, chance: float) -> list[float]:
    """Binomial probabilities of `first`, `first` + 1, ..., which lie beyond the mean and so only fall."""
    odds = chance / (1 - chance)
    log = (
        math.lgamma(trials + 1)
        - math.lgamma(first + 1)
        - math.lgamma(trials - first + 1)
        + first * math.log(chance)
        + (trials - first) * math.log1p(-chance)
    )
    term, terms = math.exp(log), []
    for hits in range(first, trials + 1):
        terms.append(term)
        term *= (trials - hits) / (hits + 1) * odds
        if term < 1e-18 * terms[0]:
            break
    return terms
