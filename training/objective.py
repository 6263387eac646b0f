"""The objective: L = L_S + lambda * L_W (Cordier et al., equation 3).

Both sides are the same sum: classification of the areas somebody spoke about (on annotated pictures: those the
assigner gives to defects), divided by their number; classification of the background, divided by the same number, so
that thousands of background areas cannot drown the former (RetinaNet's rule; Lin et al., 2017); regression of the boxes
a person drew or, where a recipe asks for it, confirmed. UNKNOWN states and other machine boxes get no gradient at all.

    L_side = sum over spoken of w l / n + background * sum over other known areas of w l / max(n, pictures)
             + boxes * L_box

l is the focal loss; where `robust` is given, single answers in new frames take the generalised cross-entropy instead.
n is the number of spoken areas, or the sum of their weights w where not all weights are 1. Where hardly anybody spoke,
the number of pictures keeps the background in bounds.
"""

from __future__ import annotations

import dataclasses

import torch

from training.data.batches import Batch
from training.losses.boxes import box_regression
from training.losses.classification import (
    UNKNOWN,
    masked_classification,
    mean_over_areas,
    only_selected,
    total_weight,
)
from training.losses.robust import masked_generalised
from training.models.detector import RawOutput
from training.processes import ALONE, Total


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
    robust: float = 0.0
    """Exponent of the generalised cross-entropy for operators' single answers, above 0 up to 1: answers that everything
    else contradicts pull less. 0: the focal loss, as everywhere."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) >= 0:
                raise ValueError(f"objective.{field.name} is {getattr(self, field.name)}, expected 0 or more")
        if self.robust > 1:
            raise ValueError(f"objective.robust is {self.robust}, expected 0 to 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """Scalars: the whole, and its parts for curves."""

    total: torch.Tensor
    original: torch.Tensor
    new: torch.Tensor


def objective(output: RawOutput, batch: Batch, config: ObjectiveConfig, total: Total = ALONE.total) -> Losses:
    """L for one joint forward pass over both domains.

    With several processes `output` and `batch` are one's share and `total` sums over all of them: every sum is divided
    by the number of areas in the whole batch, so that the shares' losses add up to L.
    """
    original = _side(output, batch, ~batch.new, config, config.background, total, robust=0.0)
    new = _side(output, batch, batch.new, config, config.background_new, total, robust=config.robust)
    return Losses(total=original + config.weak * new, original=original.detach(), new=new.detach())


def _side(
    output: RawOutput,
    batch: Batch,
    chosen_n: torch.Tensor,
    config: ObjectiveConfig,
    background: float,
    total: Total,
    *,
    robust: float,
) -> torch.Tensor:
    logits, states, spoken = output.logits[chosen_n], batch.states[chosen_n], batch.spoken[chosen_n]
    weights = None if batch.weights is None else batch.weights[chosen_n]
    answered = total(total_weight(spoken & (states != UNKNOWN).any(dim=-1), weights))
    number = torch.where(answered > 0, answered, torch.ones_like(answered))
    if robust:
        said = only_selected(states, spoken)
        losses = masked_generalised(logits, said, exponent=robust)
        loss = mean_over_areas(losses, said, number=number, weights_na=weights)
    else:
        loss = masked_classification(logits, states, spoken, gamma=config.gamma, number=number, weights_na=weights)
    counted = torch.maximum(answered, total(chosen_n.sum()).clamp(min=1).to(answered.dtype))
    loss = loss + background * masked_classification(
        logits, states, ~spoken, gamma=config.gamma, number=counted, weights_na=weights
    )
    if output.boxes is not None:
        taught = batch.taught[chosen_n]
        loss = loss + config.boxes * box_regression(
            output.boxes[chosen_n],
            batch.targets[chosen_n],
            taught,
            weights,
            number=total(total_weight(taught, weights)),
        )
    return loss
