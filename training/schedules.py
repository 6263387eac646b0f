"""Schedules: pure functions of how far a run is."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, *, highest: float, warm_up: float) -> float:
    """Linear growth over the share `warm_up` of the steps, then half a cosine down to a hundredth of `highest`.

    Args:
        step: counted from 0.
        steps: of the whole run.
        highest: rate at the end of the warm-up.
        warm_up: share, 0 up to below 1.
    """
    first = warm_up * steps
    if step < first:
        return highest * (step + 1) / (first + 1)
    done = (step - first) / max(1.0, steps - first)
    return highest * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def average_decay(step: int, *, decay: float) -> float:
    """Decay of the running average at a step: short at first, so that it forgets the noise it began with."""
    return min(decay, (1 + step) / (10 + step))
