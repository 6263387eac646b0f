"""Domain-adversarial training (Ganin et al., 2016) as Cordier et al. do it (section 3.4.4)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import nn

from training.auxiliary import Context
from training.losses.domain import constant_strength, domain_loss, reversal_strength, reverse_gradient
from training.models.detector import Detector
from training.models.domain import DomainSegmenter

Schedule = Callable[[int, int], float]
"""Step (counted from 0) and steps of the run to the reversal's lambda."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DannConfig:
    """The judge and how hard its gradient is turned against the features."""

    reversal: float = 0.1
    """The largest lambda. The judge itself always learns with weight 1."""
    steepness: float = 10.0
    """Of lambda's growth from 0 (Ganin et al.: 10); 0: lambda is `reversal` from the first step on."""
    filters: int = 64
    """Of the judge's first layer."""

    def __post_init__(self) -> None:
        if not self.reversal >= 0 or not self.steepness >= 0:
            raise ValueError(f"dann.reversal is {self.reversal}, steepness {self.steepness}: expected 0 or more")
        if self.filters < 1:
            raise ValueError(f"dann.filters is {self.filters}, expected at least 1")

    def schedule(self) -> Schedule:
        """Lambda as these numbers say."""
        if self.steepness == 0:
            return functools.partial(constant_strength, highest=self.reversal)
        return functools.partial(reversal_strength, highest=self.reversal, steepness=self.steepness)


class Dann(nn.Module):
    """Judges the domain of each output pixel, and teaches the features to hide it.

    Args:
        config: of the judge.
        features: channels of the network's features.
        schedule: of the reversal's lambda; None: as the config says.
    """

    name = "dann"

    def __init__(self, config: DannConfig, *, features: int, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.judge = DomainSegmenter(features, filters=config.filters)
        self._schedule = schedule or config.schedule()

    def loss(self, context: Context) -> torch.Tensor:
        """The judge's loss; the features get its gradient times -lambda."""
        strength = self._schedule(context.step, context.steps)
        logits = self.judge(reverse_gradient(context.features, strength)).float()
        number = context.total(torch.tensor(float(logits.numel()), device=logits.device))
        return domain_loss(logits, context.batch.new, number=number)

    def after_step(self, network: Detector, step: int) -> None:
        """Nothing: the optimiser moves the judge."""
