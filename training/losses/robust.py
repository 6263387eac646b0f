"""Noise-aware classification: the generalised cross-entropy, for answers of which some are wrong.

Source: Zhang and Sabuncu (2018), equation 6. For an area i and a class c with state y = 1 (PRESENT) or 0 (ABSENT),
p = sigmoid(logit) and q = p where y = 1, q = 1 - p where y = 0:

    l(i, c) = (1 - q^r) / r,     0 where the state is UNKNOWN

r towards 0 is cross-entropy; r = 1 is 1 - q, the mean absolute error, which is robust against wrong labels and learns
slowly. Its gradient is that of cross-entropy times q^r: an answer that everything else contradicts hardly pulls. (The
focal factor does the opposite: what is contradicted pulls most.)

Shape suffixes: N batch, A areas, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from training.losses.classification import PRESENT, UNKNOWN


def masked_generalised(logits_nac: torch.Tensor, states_nac: torch.Tensor, *, exponent: float) -> torch.Tensor:
    """l(i, c), without reduction.

    Args:
        logits_nac: float (N, A, C).
        states_nac: integer (N, A, C) of UNKNOWN, ABSENT, PRESENT.
        exponent: r, above 0 up to 1.
    """
    known = states_nac != UNKNOWN
    logits = torch.where(known, logits_nac, torch.zeros_like(logits_nac))
    signed = torch.where(states_nac == PRESENT, logits, -logits)
    # q^r = exp(r log q): exact for very small q. expm1 keeps the limit r -> 0 exact.
    loss = -torch.expm1(exponent * functional.logsigmoid(signed)) / exponent
    return torch.where(known, loss, torch.zeros_like(loss))
