"""L = L_S + lambda L_W: by hand, and the laws that keep a click from teaching anything else."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from training.data.batches import Batch
from training.models.detector import RawOutput
from training.objective import ObjectiveConfig, objective

U, A, P = -1, 0, 1
PLAIN = ObjectiveConfig(gamma=0.0, weak=1.0, background=5.0, background_new=4.0, boxes=2.0)


def batch(states: list[list[int]], spoken: list[list[bool]], new: list[bool], taught: bool = False) -> Batch:
    """Pictures with one class; `states` and `spoken` by picture and area."""
    shape = (len(states), len(states[0]))
    return Batch(
        images=torch.zeros((shape[0], 1, 8, 8)),
        states=torch.tensor(states, dtype=torch.int8)[..., None],
        spoken=torch.tensor(spoken),
        targets=torch.tensor([0.0, 0.0, 4.0, 4.0]).expand(*shape, 4),
        taught=torch.full(shape, taught),
        new=torch.tensor(new),
        unlit=torch.zeros((shape[0], 1, 8, 8)),
    )


def output(logits: list[list[float]], boxes: torch.Tensor | None = None) -> RawOutput:
    return RawOutput(torch.tensor(logits)[..., None].requires_grad_(), boxes)


LN2 = math.log(2)


def test_the_whole_by_hand() -> None:
    # All logits 0: every known state costs ln 2.
    # Original: one defect area (ln 2 / 1), two background areas against it (5 * 2 ln 2 / 1):      11 ln 2
    # New:      two spoken areas (2 ln 2 / 2), one background area against them (4 * ln 2 / 2):     3 ln 2
    item = batch([[P, A, A], [P, A, A]], [[True, False, False], [True, True, False]], [False, True])
    losses = objective(output([[0.0] * 3] * 2), item, PLAIN)
    assert losses.original.item() == pytest.approx(11 * LN2)
    assert losses.new.item() == pytest.approx(3 * LN2)
    assert losses.total.item() == pytest.approx(14 * LN2)


def test_lambda_weighs_the_new_domain() -> None:
    item = batch([[P, A, A], [P, A, A]], [[True, False, False], [True, True, False]], [False, True])
    losses = objective(output([[0.0] * 3] * 2), item, dataclasses.replace(PLAIN, weak=0.5))
    assert losses.total.item() == pytest.approx(12.5 * LN2)


def test_a_thousand_background_areas_do_not_drown_one_answer() -> None:
    few = batch([[P, A]], [[True, False]], [True])
    many = batch([[P] + [A] * 1000], [[True] + [False] * 1000], [True])
    one, other = output([[0.0, 0.0]]), output([[0.0] * 1001])
    objective(one, few, PLAIN).total.backward()
    objective(other, many, PLAIN).total.backward()
    assert one.logits.grad is not None
    assert other.logits.grad is not None
    assert one.logits.grad[0, 0, 0] == other.logits.grad[0, 0, 0]


def test_areas_nobody_spoke_about_get_exactly_zero_gradient() -> None:
    item = batch([[P, A, A], [U, A, U]], [[True, False, False], [False, True, False]], [False, True])
    answer = output([[0.3, -0.2, 0.1], [5.0, -4.0, float("nan")]])
    objective(answer, item, ObjectiveConfig()).total.backward()
    assert answer.logits.grad is not None
    assert torch.equal((answer.logits.grad != 0)[..., 0], torch.tensor([[True, True, True], [False, True, False]]))


def test_boxes_are_taught_where_a_person_drew_them_and_nowhere_else() -> None:
    boxes = torch.tensor([[[2.0, 0.0, 6.0, 4.0]]]).requires_grad_()
    drawn = batch([[P]], [[True]], [True], taught=True)
    losses = objective(output([[0.0]], boxes), drawn, PLAIN)
    # ln 2 for the class; shifted by half its width the box costs 2 * (1 - 1/3).
    assert losses.total.item() == pytest.approx(LN2 + 4 / 3)
    clicked = dataclasses.replace(drawn, taught=torch.zeros((1, 1), dtype=torch.bool))
    losses = objective(output([[0.0]], boxes), clicked, PLAIN)
    losses.total.backward()
    assert losses.total.item() == pytest.approx(LN2)
    assert boxes.grad is not None
    assert torch.count_nonzero(boxes.grad) == 0


def test_a_baseline_without_new_pictures_has_no_new_loss() -> None:
    losses = objective(output([[0.0, 0.0]]), batch([[P, A]], [[True, False]], [False]), PLAIN)
    assert losses.new.item() == 0
    # One defect area, one background area against it: ln 2 + 5 * ln 2.
    assert losses.total.item() == pytest.approx(6 * LN2)


def test_where_nobody_spoke_the_number_of_pictures_keeps_the_background_in_bounds() -> None:
    item = batch([[A, A, A], [A, A, A]], [[False] * 3] * 2, [True, True])
    # Six background areas, two pictures: 4 * 6 ln 2 / 2.
    assert objective(output([[0.0] * 3] * 2), item, PLAIN).new.item() == pytest.approx(12 * LN2)


def test_duplicating_the_batch_keeps_the_whole() -> None:
    once = batch([[P, A, A], [P, A, A]], [[True, False, False], [True, True, False]], [False, True])
    twice = batch([[P, A, A], [P, A, A]] * 2, [[True, False, False], [True, True, False]] * 2, [False, True] * 2)
    logits = [[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]]
    first, second = objective(output(logits), once, PLAIN), objective(output(logits * 2), twice, PLAIN)
    torch.testing.assert_close(first.total, second.total)


def test_a_negative_weight_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"objective\.background is -1"):
        ObjectiveConfig(background=-1)


def test_weights_by_hand() -> None:
    # New, all logits 0: spoken areas weigh 3 and 1, (3 + 1) ln 2 / 4; background weighs 2: 4 * 2 ln 2 / 4.
    plain = batch([[P, A, A]], [[True, True, False]], [True])
    item = dataclasses.replace(plain, weights=torch.tensor([[3.0, 1.0, 2.0]]))
    assert objective(output([[0.0] * 3]), item, PLAIN).new.item() == pytest.approx(3 * LN2)
    # A loss of ln(1 + e) = 1.31326 on the area of weight 3: (3 * 1.31326 + 0.69315) / 4 + 2 * 0.69315 = 2.54453.
    losses = objective(output([[-1.0, 0.0, 0.0]]), item, PLAIN)
    assert losses.new.item() == pytest.approx(2.54453, abs=1e-5)


def test_weights_of_one_change_nothing_to_the_last_bit() -> None:
    plain = batch([[P, A, A], [P, A, A]], [[True, False, False], [True, True, False]], [False, True], taught=True)
    logits, boxes = [[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]], torch.rand((2, 3, 4)).sort(dim=-1).values
    ones = dataclasses.replace(plain, weights=torch.ones((2, 3)))
    config = ObjectiveConfig()
    first, second = objective(output(logits, boxes), plain, config), objective(output(logits, boxes), ones, config)
    torch.testing.assert_close(first.total, second.total, atol=0, rtol=1e-7)


def test_a_drawn_box_counts_by_its_weight() -> None:
    # A box shifted by half its width costs 1 - 1/3, an exact one nothing: 2 * (1 * 2/3 + 3 * 0) / (1 + 3) = 1/3.
    boxes = torch.tensor([[[2.0, 0.0, 6.0, 4.0], [0.0, 0.0, 4.0, 4.0]]])
    drawn = batch([[U, U]], [[False, False]], [True], taught=True)
    item = dataclasses.replace(drawn, weights=torch.tensor([[1.0, 3.0]]))
    assert objective(output([[0.0, 0.0]], boxes), item, PLAIN).new.item() == pytest.approx(1 / 3)
