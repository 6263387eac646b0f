"""Box regression against hand-computed numbers."""

from __future__ import annotations

import pytest
import torch

from training.losses.boxes import box_regression, giou


def test_giou_by_hand() -> None:
    first = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]])
    second = torch.tensor([[2.0, 0.0, 6.0, 4.0], [4.0, 0.0, 6.0, 2.0], [1.0, 1.0, 3.0, 3.0]])
    # Shifted by half: inside 2*4 = 8, union 16 + 16 - 8 = 24, hull 6*4 = 24: 8/24 - 0 = 0.33333
    # Apart:           inside 0, union 8, hull 6*2 = 12: 0 - 4/12 = -0.33333
    # Equal:           1
    torch.testing.assert_close(giou(first, second), torch.tensor([1 / 3, -1 / 3, 1.0]))


def test_only_taught_areas_count_in_sum_and_number() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 9.0, 9.0]]], requires_grad=True)
    targets = torch.tensor([[[2.0, 0.0, 6.0, 4.0], [4.0, 0.0, 6.0, 2.0], [0.0, 0.0, 0.0, 0.0]]])
    loss = box_regression(boxes, targets, torch.tensor([[True, True, False]]))
    # ((1 - 1/3) + (1 + 1/3)) / 2 = 1
    assert loss.item() == pytest.approx(1.0)
    loss.backward()
    assert boxes.grad is not None
    assert torch.count_nonzero(boxes.grad[0, 2]) == 0
    assert torch.count_nonzero(boxes.grad[0, 0]) > 0


def test_nothing_taught_is_zero_with_a_gradient_and_never_nan() -> None:
    boxes = torch.zeros((2, 3, 4), requires_grad=True)
    loss = box_regression(boxes, torch.zeros((2, 3, 4)), torch.zeros((2, 3), dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert boxes.grad is not None
    assert torch.count_nonzero(boxes.grad) == 0


def test_boxes_without_area_stay_finite() -> None:
    boxes = torch.full((1, 1, 4), 3.0, requires_grad=True)
    loss = box_regression(boxes, torch.full((1, 1, 4), 3.0), torch.ones((1, 1), dtype=torch.bool))
    loss.backward()
    assert boxes.grad is not None
    assert torch.isfinite(boxes.grad).all()
    assert torch.isfinite(loss)
