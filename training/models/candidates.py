"""The anchor head's answer cut to a fixed number of candidates, as the deployed graph gives it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from training.models.detector import RawOutput


class Candidates(NamedTuple):
    """boxes: float32 (N, K, 4) model pixels. scores: float32 (N, K), falling. classes, areas: int32 (N, K)."""

    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor
    areas: torch.Tensor


def top_candidates(output: RawOutput, top_k: int) -> Candidates:
    """The K best (area, class) pairs of each picture.

    Args:
        output: of an anchor head.
        top_k: K, at most A * C.

    Raises:
        ValueError: the output has no boxes.
    """
    if output.boxes is None:
        raise ValueError("a cell head has no candidates; decode its heat map")
    pictures, areas, classes = output.logits.shape
    scores, places = torch.sigmoid(output.logits).reshape(pictures, areas * classes).topk(min(top_k, areas * classes))
    # Whole numbers all the way: torch.div(rounding_mode="floor") is exported as a division of floats, which a GPU may
    # round below the next whole number.
    chosen = places // classes
    boxes = output.boxes.gather(1, chosen[..., None].expand(-1, -1, 4))
    return Candidates(boxes, scores, (places % classes).int(), chosen.int())
