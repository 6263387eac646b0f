"""The floor: what a model knows of the original domain must not be lost. Pure: figures arrive as arguments.

Every few steps the averaged weights, which are what a checkpoint would hold, are measured on original parts that
training does not see. The floor is the parent's figure on the same parts minus what may be lost. A run goes on below
it, because the rate is high in the middle of a run and what it shakes comes back as it falls; but what is saved are
the weights of the last measurement that stood at or above the floor, and after `patience` measurements in a row below
it the run ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FloorConfig:
    """How the original domain is watched."""

    fall: float = 0.01
    """How much mAP at IoU 0.33 may be lost against the parent, 0 to 1."""
    every: int = 100
    """Steps between two measurements; the last step is always measured."""
    share: float = 0.15
    """Of the original training pictures held out to be watched."""
    patience: int = 5
    """Measurements in a row below the floor after which the run ends."""

    def __post_init__(self) -> None:
        if not 0 <= self.fall <= 1:
            raise ValueError(f"floor.fall is {self.fall}, expected 0 to 1")
        if self.every < 1 or self.patience < 1:
            raise ValueError(f"floor.every is {self.every}, patience {self.patience}: expected at least 1")
        if not 0 < self.share <= 0.5:
            raise ValueError(f"floor.share is {self.share}, expected above 0 and at most 0.5")


@dataclasses.dataclass(slots=True, kw_only=True)
class FloorWatch:
    """What the measurements so far amount to.

    A run that starts from noise is below at first; that is not counted until it has once been above. Without a parent
    there is no floor: everything counts as above, and only the curve is drawn.
    """

    config: FloorConfig
    parent: float | None
    """The parent's figure on the watched parts; None: there is no parent."""
    above: int | None = None
    """Step of the last measurement at or above the floor; None: there was none."""
    figure: float | None = None
    """Of that measurement."""
    latest: int | None = None
    """Step of the last measurement."""
    below: int = 0
    """Measurements in a row below the floor since then."""

    @property
    def floor(self) -> float | None:
        """The least figure that may be saved."""
        return None if self.parent is None else self.parent - self.config.fall

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self.above is not None and self.below >= self.config.patience

    @property
    def keeps_latest(self) -> bool:
        """Whether the weights of the last measurement are those to be saved; else those of `above`.

        Where no measurement ever reached the floor there is nothing better than the last weights.
        """
        return self.above is None or self.above == self.latest

    def due(self, step: int, *, last: bool) -> bool:
        """Whether to measure after so many steps."""
        return last or step % self.config.every == 0

    def note(self, step: int, figure: float) -> bool:
        """Takes a measurement: whether its weights are to be kept, to be saved if no later one stands."""
        self.latest = step
        if self.floor is None or figure >= self.floor:
            self.above, self.figure, self.below = step, figure, 0
            return True
        self.below += 1
        return False

    def facts(self) -> dict[str, Any]:
        """Plain values, for a saved state and a checkpoint; "above" is the step whose weights stood last."""
        return {
            "parent": self.parent,
            "above": self.above,
            "figure": self.figure,
            "latest": self.latest,
            "below": self.below,
        }

    def put_back(self, facts: Mapping[str, Any]) -> None:
        """The reverse of `facts`."""
        for name, value in facts.items():
            setattr(self, name, value)
