"""Box regression: generalised intersection over union (Rezatofighi et al., 2019), averaged over taught boxes.

    GIoU = IoU - (|hull| - |union|) / |hull|,     L = sum over taught areas of w (1 - GIoU) / sum of their w

w is 1 unless weights are given.

Only areas with a box that a person drew are taught: machine boxes teach no regression (Cordier et al., section 3.3).
None taught: the loss is 0 and has a gradient (of zeros), never NaN.
"""

from __future__ import annotations

import torch


def giou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(...) generalised overlap of paired boxes (..., 4) x1 y1 x2 y2, -1 to 1."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    inside = (high - low).clamp(min=0).prod(dim=-1)
    union = _size(first) + _size(second) - inside
    hull_low, hull_high = torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:])
    hull = (hull_high - hull_low).clamp(min=0).prod(dim=-1)
    tiny = torch.finfo(first.dtype).eps
    return inside / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


def box_regression(
    boxes_na4: torch.Tensor,
    targets_na4: torch.Tensor,
    taught_na: torch.Tensor,
    weights_na: torch.Tensor | None = None,
    *,
    number: torch.Tensor | None = None,
) -> torch.Tensor:
    """L, a scalar.

    Args:
        boxes_na4: float (N, A, 4), the network's boxes.
        targets_na4: float (N, A, 4), what they should be; anything where not taught.
        taught_na: bool (N, A).
        weights_na: float (N, A), 0 or more. None: all 1.
        number: scalar that takes the place of the sum of weights, where these boxes are a part of a batch. None: of
            these boxes.
    """
    boxes, targets = boxes_na4[taught_na], targets_na4[taught_na]
    loss = 1 - giou(boxes, targets)
    if weights_na is not None:
        loss = loss * weights_na[taught_na]
    if number is None:
        number = taught_na.sum() if weights_na is None else weights_na[taught_na].sum()
    return loss.sum() / torch.where(number > 0, number, torch.ones_like(number))


def _size(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)
