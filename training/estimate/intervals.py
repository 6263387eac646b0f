"""Intervals for weighted counts, shares and ratios. Pure, and all in closed form.

Everything here is about a line that goes on: also where every frame was kept and judged, the next thousand parts are
others, so no interval has width 0. Clusters are what is not independent inside: the detections of one frame, the frames
of one part.

Sources, beside Wilson's interval: L. Kish, Survey Sampling (1965); E. B. Wilson, M. M. Hilferty, PNAS 17 (1931);
M. P. Fay, E. J. Feuer, Statistics in Medicine 16 (1997); A. Donner, G. Y. Zou, Statistical Methods in Medical Research
21 (2012).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import NamedTuple

from lineside.replay.figures import Z95, wilson


class Row(NamedTuple):
    """A frame's part in a share: `hits` of `total`, `weight` times, in a cluster."""

    cluster: str
    weight: float
    hits: float
    total: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A weighted share (Hajek's estimator) with its 95 % interval; all NaN where nothing was counted."""

    point: float
    low: float
    high: float
    effective: float
    """Effective number of independent answers behind it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A weighted count (Horvitz-Thompson's estimator) with its 95 % interval. All at least 0."""

    point: float
    low: float
    high: float


ROUNDING = 1e-12
"""Part of a cluster's weight below which its residual is taken for an error of rounding."""
NOTHING = Share(point=math.nan, low=math.nan, high=math.nan, effective=0.0)


def share_of(rows: Iterable[Row]) -> Share:
    """The weighted share of all rows, with Wilson's interval at the effective number of answers.

        p = sum w h / sum w t      V = m / (m - 1) sum_c (sum_{i in c} w_i (h_i - p t_i))^2 / (sum w t)^2

    for m clusters c. n_eff = p (1 - p) / V, but never below Kish's number of clusters (all answers of a cluster alike)
    nor above Kish's number of single answers (all independent): between them the data decide. Where all answers are the
    same they cannot, and the lower one is taken. With equal weights and one answer a cluster this is Wilson's interval.
    """
    kept = [row for row in rows if row.total > 0]
    whole = math.fsum(row.weight * row.total for row in kept)
    if whole <= 0:
        return NOTHING
    point = min(1.0, max(0.0, math.fsum(row.weight * row.hits for row in kept) / whole))
    sizes: dict[str, float] = {}
    residuals: dict[str, float] = {}
    for row in kept:
        sizes[row.cluster] = sizes.get(row.cluster, 0.0) + row.weight * row.total
        residuals[row.cluster] = residuals.get(row.cluster, 0.0) + row.weight * (row.hits - point * row.total)
    fewest = whole**2 / math.fsum(size**2 for size in sizes.values())
    most = max(fewest, whole**2 / math.fsum(row.weight**2 * row.total for row in kept))
    effective = fewest
    if 0 < point < 1 and len(sizes) > 1:
        # Clusters that are all alike leave residuals of rounding alone, which differ with the unit of the weights.
        squares = math.fsum(
            residual**2 for name, residual in residuals.items() if abs(residual) > ROUNDING * sizes[name]
        )
        # A share of a tiny weight can leave residuals too small to be squared.
        variance = len(sizes) / (len(sizes) - 1) * squares / whole**2
        effective = min(most, max(fewest, point * (1 - point) / variance)) if variance > 0 else fewest
    low, high = wilson(point, effective)
    return Share(point=point, low=min(point, low), high=max(point, high), effective=effective)


def total_of(pieces: Iterable[tuple[str, float]], *, largest: float = 0.0) -> Total:
    """A weighted count over clusters, with the gamma interval of Fay and Feuer.

    A sum y of independent Poisson counts with weights has about the distribution of a scaled Poisson count; with
    v = sum_c y_c^2 the interval is that of x = y^2 / v events, each v / y large. For the upper limit one more event of
    the largest weight is counted in: what has not been seen may have had that weight. With equal weights this is the
    exact Poisson interval (Garwood), so 0 events among frames of weight w leave an upper limit of 3.7 w.

    Args:
        pieces: (cluster, weight times count).
        largest: the largest weight that an event could have had, whether or not one was seen.
    """
    clusters: dict[str, float] = {}
    for cluster, amount in pieces:
        clusters[cluster] = clusters.get(cluster, 0.0) + amount
    point = math.fsum(clusters.values())
    variance = math.fsum(amount**2 for amount in clusters.values())
    low = 0.0
    if point > 0 and variance > 0:
        low = variance / point * gamma_quantile(point**2 / variance, -Z95)
    upper, spread = point + largest, variance + largest**2
    high = spread / upper * gamma_quantile(upper**2 / spread, Z95) if upper > 0 and spread > 0 else 0.0
    return Total(point=point, low=min(point, low), high=max(point, high))


def gamma_quantile(shape: float, z: float) -> float:
    """Quantile of the gamma distribution with scale 1, at the normal deviate z, by Wilson and Hilferty's cube.

    At z = 1.96: for shape 1 0.6 % below the true 3.689, closer for larger ones. At z = -1.96 it is too low for shapes
    below 2 (0.013 for 0.025 at shape 1): the interval is then wider than it need be.
    """
    root = 1 - 1 / (9 * shape) + z / math.sqrt(9 * shape)
    return float(shape * max(0.0, root) ** 3)


def ratio_of(above: Total, below: Total) -> tuple[float, float]:
    """Limits of above / below from the limits of each, taken as independent (MOVER; Donner and Zou 2012, eq. 9).

    The upper limit is infinite where `below` may be 0. Where they go together, the limits are wider than need be.
    """
    product = above.point * below.point
    rest = below.high * (2 * below.point - below.high) * above.low * (2 * above.point - above.low)
    root = product + math.sqrt(max(0.0, product**2 - rest))
    low = above.low * (2 * above.point - above.low) / root if root > 0 else 0.0
    length = below.low * (2 * below.point - below.low)
    if length <= 0:
        return max(0.0, low), math.inf
    root = math.sqrt(max(0.0, product**2 - length * above.high * (2 * above.point - above.high)))
    return max(0.0, low), (product + root) / length
