"""OMNIA-like background (Cordier et al., section 3.4.2, after Rame et al., 2018).

An (area, class) of a new frame that nobody has spoken about, and that the parent scores below epsilon, is taken as
ABSENT. It is background that was not spoken of: the objective weighs it apart from operators' answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.prepared import Mentored
from training.losses.classification import ABSENT, UNKNOWN
from training.models.detector import Detector

_TOGETHER = 8
"""Pictures in one forward pass."""


def confident_background(states: NDArray[np.int8], scores: NDArray[np.float32], *, below: float) -> NDArray[np.int8]:
    """Label states with the confident background filled in; what was known stays.

    Args:
        states: (A, C). scores: (A, C), the parent's, 0 to 1. below: epsilon; the paper's is 0.01.
    """
    filled: NDArray[np.int8] = states.copy()
    filled[(states == UNKNOWN) & (scores < below)] = ABSENT
    return filled


@torch.no_grad()
def with_confident_background(frames: Sequence[Mentored], parent: Detector, *, below: float) -> tuple[Mentored, ...]:
    """The frames with the parent's confident background."""
    parent.eval()
    filled: list[Mentored] = []
    for start in range(0, len(frames), _TOGETHER):
        some = frames[start : start + _TOGETHER]
        images = torch.from_numpy(np.stack([item.pixels for item in some])).permute(0, 3, 1, 2).float()
        scores = torch.sigmoid(parent(images.to(parent.mean.device)).logits).cpu().numpy()
        filled += [
            dataclasses.replace(item, states=confident_background(item.states, score, below=below))
            for item, score in zip(some, scores, strict=True)
        ]
    return tuple(filled)
