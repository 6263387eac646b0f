"""For how much of the line a judged frame or part stands. Pure.

The station kept it with the probability pi that its record states, so it stands for 1/pi. And of what was kept, not all
is judged: within a stratum (what is alike in kind and weight) the judged ones stand for the others as well, w / r with
the judged share r. That takes the unjudged ones of a stratum to be like the judged ones, the weakest assumption that
still lets anything be said; a stratum without any judged one is spread over those of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Unit(NamedTuple):
    """A frame or a part: what kind it is, 1/pi, and whether it is judged."""

    kind: str
    weight: float
    judged: bool


def response_weights(units: Sequence[Unit]) -> list[float]:
    """A weight for each unit, 0 for those not judged. Of a kind with any judged unit the sum is that of all its units.

    Raises:
        ValueError: a weight is below 1 or not finite.
    """
    for unit in units:
        if not 1 <= unit.weight < math.inf:
            raise ValueError(f"weight is {unit.weight}, expected a finite number from 1 on: 1 / probability")
    kept: dict[tuple[str, str], float] = {}
    answered: dict[tuple[str, str], float] = {}
    strata = [(unit.kind, f"{unit.weight:.4g}") for unit in units]
    for stratum, unit in zip(strata, units, strict=True):
        kept[stratum] = kept.get(stratum, 0.0) + unit.weight
        answered[stratum] = answered.get(stratum, 0.0) + unit.weight * unit.judged
    total: dict[str, float] = {}
    reached: dict[str, float] = {}
    for (kind, _), weight in kept.items():
        total[kind] = total.get(kind, 0.0) + weight
    for stratum, weight in answered.items():
        if weight > 0:
            reached[stratum[0]] = reached.get(stratum[0], 0.0) + kept[stratum]
    return [
        unit.weight * kept[stratum] / answered[stratum] * total[unit.kind] / reached[unit.kind] if unit.judged else 0.0
        for stratum, unit in zip(strata, units, strict=True)
    ]
