"""Distillation: a network's answers pulled towards another's soft answers, where nobody has spoken.

Source: Cordier et al., section 5 ("distillation with the baseline model on the new non-mentored areas"); cross-entropy
with soft targets (Hinton et al., 2015) and the factor of Li et al. (2020, quality focal loss, equation 3).

For an area i and a class c with state UNKNOWN, the teacher's score s and p = sigmoid(logit):

    l(i, c) = |s - p|^gamma * -(s log p + (1 - s) log(1 - p)),     0 where the state is known

gamma = 0 is plain cross-entropy, whose gradient p - s is 0 where both agree. Above 0, areas on which both agree cost
nothing, so that thousands of background areas do not drown the few that matter.

Shape suffixes: N batch, A areas, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from training.losses.classification import UNKNOWN


def soft_classification(
    logits_nac: torch.Tensor,
    scores_nac: torch.Tensor,
    states_nac: torch.Tensor,
    *,
    gamma: float = 2.0,
    number: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of l(i, c) over UNKNOWN states, divided by `number`: a scalar. Known states get exactly no gradient.

    Args:
        logits_nac: float (N, A, C), the pupil's.
        scores_nac: float (N, A, C) in 0..1, the teacher's, without gradient.
        states_nac: integer (N, A, C) of UNKNOWN, ABSENT, PRESENT.
        gamma: see above.
        number: scalar above 0. None: the areas with an UNKNOWN state.
    """
    unknown = states_nac == UNKNOWN
    # Replaced before any arithmetic: 0 * NaN would be NaN.
    logits = torch.where(unknown, logits_nac, torch.zeros_like(logits_nac))
    scores = torch.where(unknown, scores_nac, torch.full_like(scores_nac, 0.5))
    loss = functional.softplus(logits) - scores * logits
    if gamma:
        loss = loss * (torch.sigmoid(logits) - scores).abs() ** gamma
    loss = torch.where(unknown, loss, torch.zeros_like(loss)).sum()
    if number is None:
        number = unknown.any(dim=-1).sum().clamp(min=1)
    return loss / number
