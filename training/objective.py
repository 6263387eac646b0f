"""The objective: L = L_S + lambda * L_W (Cordier et al., equation 3).

Both sides are the same sum: classification of the areas somebody spoke about (on annotated pictures: those the
assigner gives to defects), divided by their number; classification of the background, divided by the same number, so
that thousands of background areas cannot drown the former (RetinaNet's rule; Lin et al., 2017); regression of the boxes
a person drew. UNKNOWN states and machine boxes get no gradient at all.

    L_side = sum over spoken of w l / n + background * sum over other known areas of w l / max(n, pictures)
             + boxes * L_box

n is the number of spoken areas, or the sum of their weights w where not all weights are 1. Where hardly anybody spoke,
the number of pictures keeps the background in bounds.
"""

from __future__ import annotations

import dataclasses

import torch

from training.data.batches import Batch
from training.losses.boxes import box_regression
from training.losses.classification import UNKNOWN, masked_classification, total_weight
from training.models.detector import RawOutput


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the parts."""

    gamma: float = 1.5
    """Focal exponent; 0 is the paper's cross-entropy."""
    weak: float = 1.0
    """Lambda, the weight of the new domain; the paper's is 1."""
    background: float = 0.8
    """Weight of a background area of the original pictures against a defect's area."""
    background_new: float = 2.0
    """The same in new frames (healthy, complete, OMNIA) against an area an operator spoke about. Larger, because half
    of what operators speak about is background already, and the hardest of it."""
    boxes: float = 1.0
    """Weight of box regression."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) >= 0:
                raise ValueError(f"objective.{field.name} is {getattr(self, field.name)}, expected 0 or more")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """Scalars: the whole, and its parts for curves."""

    total: torch.Tensor
    original: torch.Tensor
    new: torch.Tensor


def objective(output: RawOutput, batch: Batch, config: ObjectiveConfig) -> Losses:
    """L for one joint forward pass over both domains."""
    original = _side(output, batch, ~batch.new, config, config.background)
    new = _side(output, batch, batch.new, config, config.background_new)
    return Losses(total=original + config.weak * new, original=original.detach(), new=new.detach())


def _side(
    output: RawOutput, batch: Batch, chosen_n: torch.Tensor, config: ObjectiveConfig, background: float
) -> torch.Tensor:
    logits, states, spoken = output.logits[chosen_n], batch.states[chosen_n], batch.spoken[chosen_n]
    weights = None if batch.weights is None else batch.weights[chosen_n]
    loss = masked_classification(logits, states, spoken, gamma=config.gamma, weights_na=weights)
    counted = total_weight(spoken & (states != UNKNOWN).any(dim=-1), weights).clamp(min=max(1, logits.shape[0]))
    loss = loss + background * masked_classification(
        logits, states, ~spoken, gamma=config.gamma, number=counted, weights_na=weights
    )
    if output.boxes is not None:
        loss = loss + config.boxes * box_regression(
            output.boxes[chosen_n], batch.targets[chosen_n], batch.taught[chosen_n], weights
        )
    return loss
