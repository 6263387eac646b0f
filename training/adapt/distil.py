"""Distillation of the parent's answers where no operator has spoken (Cordier et al., section 5)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from training.auxiliary import Context
from training.losses.distillation import soft_classification
from training.models.detector import Detector


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DistilConfig:
    """How strongly the parent's answers hold."""

    weight: float = 1.0
    """Against the areas operators spoke about."""
    gamma: float = 2.0
    """Exponent of |parent's score - own score|; 0: plain cross-entropy."""

    def __post_init__(self) -> None:
        if not self.weight >= 0 or not self.gamma >= 0:
            raise ValueError(f"distil.weight is {self.weight}, gamma {self.gamma}: expected 0 or more")


class Distil:
    """Pulls answers on UNKNOWN areas of new frames towards the parent's. Keeps no state: the parent never changes.

    Args:
        config: how strongly.
        parent: taken as it is, in evaluation mode. It sees the pictures before their light is changed.
    """

    name = "distil"

    def __init__(self, config: DistilConfig, parent: Detector) -> None:
        self._config = config
        self._parent = copy.deepcopy(parent).eval()

    def parameters(self) -> Iterable[nn.Parameter]:
        """None."""
        return ()

    def loss(self, context: Context) -> torch.Tensor:
        """Divided like the background of new frames: by the number of spoken areas, or of pictures where more."""
        batch, new = context.batch, context.batch.new
        number = context.total(batch.spoken[new].sum().float())
        number = torch.maximum(number, context.total(new.sum().float())).clamp(min=1)
        with torch.no_grad():
            scores = torch.sigmoid(self._parent(batch.unlit[new]).logits)
        return self._config.weight * soft_classification(
            context.output.logits[new],
            scores,
            batch.states[new],
            gamma=self._config.gamma,
            number=number,
        )

    def after_step(self, network: Detector, step: int) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> object:  # noqa: ARG002
        """Nothing."""
        return None
