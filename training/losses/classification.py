"""Masked classification: the loss of areas somebody has spoken about, and of no others.

Source: Cordier et al., equation 4, with the focal factor of Lin et al. (2017), equation 4, as an option.

For an area i and a class c with state y = 1 (PRESENT) or 0 (ABSENT) and p = sigmoid(logit):

    l(i, c) = -(1 - q)^gamma * log(q),   q = p where y = 1, q = 1 - p where y = 0
    l(i, c) = 0                          where the state is UNKNOWN

    L = sum over i in M, over c of w(i) l(i, c)  /  sum over i in M of w(i)

M is the selected areas with at least one known state; w is 1 unless weights are given, and then L is a weighted mean.
gamma = 0 is the paper's binary cross-entropy. Dividing by the number of *supervised areas* makes that duplicating a
batch changes nothing. No supervised area, or none with a weight: the loss is 0 with a gradient (of zeros), never NaN.
The gradient with respect to the logit of an UNKNOWN state is exactly 0, also where that logit is infinite or NaN.

Shape suffixes: N batch, A areas, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

UNKNOWN, ABSENT, PRESENT = -1, 0, 1
"""As in `lineside.gestures`."""


def masked_focal(logits_nac: torch.Tensor, states_nac: torch.Tensor, *, gamma: float = 0.0) -> torch.Tensor:
    """l(i, c), without reduction.

    Args:
        logits_nac: float (N, A, C).
        states_nac: integer (N, A, C) of UNKNOWN, ABSENT, PRESENT.
        gamma: 0 is cross-entropy; larger forgets what is already right.
    """
    known = states_nac != UNKNOWN
    # Replaced before any arithmetic: 0 * NaN would be NaN.
    logits = torch.where(known, logits_nac, torch.zeros_like(logits_nac))
    signed = torch.where(states_nac == PRESENT, logits, -logits)
    loss = functional.softplus(-signed)
    if gamma:
        loss = loss * torch.sigmoid(-signed) ** gamma
    return torch.where(known, loss, torch.zeros_like(loss))


def masked_classification(
    logits_nac: torch.Tensor,
    states_nac: torch.Tensor,
    selected_na: torch.Tensor | None = None,
    *,
    gamma: float = 0.0,
    number: torch.Tensor | None = None,
    weights_na: torch.Tensor | None = None,
) -> torch.Tensor:
    """L, a scalar.

    Args:
        logits_nac: float (N, A, C).
        states_nac: integer (N, A, C) of UNKNOWN, ABSENT, PRESENT.
        selected_na: bool (N, A), the areas to be summed over. None: all.
        gamma: as `masked_focal`.
        number: scalar above 0 that takes the place of the sum of weights, for areas that are counted against others.
        weights_na: float (N, A), 0 or more. None: all 1, so that the sum of weights is |M|.
    """
    states = only_selected(states_nac, selected_na)
    return mean_over_areas(masked_focal(logits_nac, states, gamma=gamma), states, number=number, weights_na=weights_na)


def only_selected(states_nac: torch.Tensor, selected_na: torch.Tensor | None) -> torch.Tensor:
    """The states with all areas but the selected ones, bool (N, A), UNKNOWN. None selects all."""
    if selected_na is None:
        return states_nac
    return torch.where(selected_na[..., None], states_nac, torch.full_like(states_nac, UNKNOWN))


def mean_over_areas(
    loss_nac: torch.Tensor,
    states_nac: torch.Tensor,
    *,
    number: torch.Tensor | None = None,
    weights_na: torch.Tensor | None = None,
) -> torch.Tensor:
    """Weighted sum of losses that are 0 on UNKNOWN states, divided by the weights of areas with a known state.

    Args:
        loss_nac: float (N, A, C).
        states_nac, number, weights_na: as `masked_classification`.
    """
    if number is None:
        number = total_weight((states_nac != UNKNOWN).any(dim=-1), weights_na)
        number = torch.where(number > 0, number, torch.ones_like(number))
    if weights_na is not None:
        loss_nac = loss_nac * weights_na[..., None]
    return loss_nac.sum() / number


def total_weight(chosen_na: torch.Tensor, weights_na: torch.Tensor | None = None) -> torch.Tensor:
    """Sum of the weights of the chosen areas, bool (N, A); their number where there are no weights. A scalar."""
    if weights_na is None:
        return chosen_na.sum()
    return torch.where(chosen_na, weights_na, torch.zeros_like(weights_na)).sum()
