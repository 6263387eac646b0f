"""A mean and what it is worth: Student's 95 % interval over seeds. Pure.

With one seed there is no interval, and nothing here pretends that there is one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

LEVEL = 0.95


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure over seeds."""

    mean: float
    n: int
    low: float | None = None
    """Of the 95 % interval; None with one seed."""
    high: float | None = None
    values: tuple[float | None, ...] = ()
    """In the order of the seeds; None where nothing was measured."""

    @property
    def half(self) -> float | None:
        """Half of the interval's width."""
        return None if self.high is None else self.high - self.mean


def estimate(values: Sequence[float | None]) -> Estimate | None:
    """Mean and interval of what there is; None where there is nothing."""
    known = tuple(float(value) for value in values if value is not None)
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return Estimate(mean=mean, n=1, values=tuple(values))
    variance = math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1)
    half = t_quantile(len(known) - 1) * math.sqrt(variance / len(known))
    return Estimate(mean=mean, n=len(known), low=mean - half, high=mean + half, values=tuple(values))


def difference(ours: Mapping[int, float | None], theirs: Mapping[int, float | None]) -> Estimate | None:
    """Ours minus theirs, seed by seed: what chance does to both alike goes out of it.

    Args:
        ours, theirs: a figure by seed.
    """
    both = [
        (mine, other)
        for seed in sorted(ours.keys() & theirs.keys())
        if (mine := ours[seed]) is not None and (other := theirs[seed]) is not None
    ]
    return estimate([mine - other for mine, other in both])


def t_cdf(t: float, freedom: int) -> float:
    """Student's distribution function, by the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3,
    26.7.4)."""
    theta = math.atan2(t, math.sqrt(freedom))
    cosine = math.cos(theta)
    total, term = 0.0, 1.0
    if freedom % 2:
        for k in range(1, freedom // 2 + 1):
            total += term * cosine ** (2 * k - 1)
            term *= 2 * k / (2 * k + 1)
        inside = 2 / math.pi * (theta + math.sin(theta) * total)
    else:
        for k in range(freedom // 2):
            total += term * cosine ** (2 * k)
            term *= (2 * k + 1) / (2 * k + 2)
        inside = math.sin(theta) * total
    return 0.5 + inside / 2


@lru_cache
def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The t beyond which lies half of what a two-sided interval of this level leaves out.

    Raises:
        ValueError: there is no degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"freedom is {freedom}, expected at least 1")
    wanted = (1 + level) / 2
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < wanted:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < wanted else (low, middle)
    return (low + high) / 2
