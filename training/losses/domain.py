"""Domain classification behind a gradient reversal (Ganin et al., 2016; Cordier et al., section 3.4.4).

    L_D = - 1 / n * sum over output pixels of (d log p + (1 - d) log(1 - p)),    d = 1 on the new domain, else 0

    reversal: R(x) = x forwards, dR/dx = -lambda backwards
    lambda(t) = highest * (2 / (1 + exp(-steepness * t)) - 1),    t = step / steps    (Ganin et al., section 5.2.2)

The judge below L_D learns to tell the domains apart; what lies above the reversal learns to make that impossible.
Lambda is an argument, never counted in here.

Shape suffixes: N batch, H rows, W columns.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, strength: float) -> torch.Tensor:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -context.strength * gradients[0], None


def reverse_gradient(values: torch.Tensor, strength: float) -> torch.Tensor:
    """The same values; their gradient comes back times -strength.

    Args:
        values: any shape.
        strength: lambda, 0 or more; 0 lets nothing through.
    """
    reversed_: torch.Tensor = _Reversal.apply(values, strength)  # type: ignore[no-untyped-call]
    return reversed_


def reversal_strength(step: int, steps: int, *, highest: float, steepness: float) -> float:
    """Lambda at a step: from 0, so that the judge learns first, up to almost `highest`.

    Args:
        step: counted from 0.
        steps: of the whole run.
        highest: what lambda tends to.
        steepness: Ganin's is 10: half of `highest` is reached after a ninth of the run.
    """
    return highest * (2 / (1 + math.exp(-steepness * step / steps)) - 1)


def constant_strength(step: int, steps: int, *, highest: float) -> float:  # noqa: ARG001
    """Lambda that does not change; the other simple schedule."""
    return highest


def domain_loss(logits_n1hw: torch.Tensor, new_n: torch.Tensor, *, number: torch.Tensor | None = None) -> torch.Tensor:
    """L_D, a scalar.

    Args:
        logits_n1hw: float (N, 1, H, W); the sigmoid is the probability of the new domain.
        new_n: bool (N,), True for pictures of the new domain. Every pixel of a picture has its domain.
        number: scalar that takes the place of n, the number of output pixels. None: n.
    """
    domains = new_n.to(logits_n1hw.dtype).view(-1, 1, 1, 1).expand_as(logits_n1hw)
    loss = functional.binary_cross_entropy_with_logits(logits_n1hw, domains, reduction="sum")
    return loss / (max(1, logits_n1hw.numel()) if number is None else number)
