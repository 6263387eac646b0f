"""The masked classification loss against hand-computed numbers, limits and laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.losses.classification import masked_classification, masked_focal

U, A, P = -1, 0, 1


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def example() -> tuple[torch.Tensor, torch.Tensor]:
    # One picture, two areas, two classes. Scores:      Label states:
    #   area 0: 0.8  0.3                                 PRESENT  ABSENT
    #   area 1: 0.6  0.9                                 UNKNOWN  ABSENT
    logits = torch.tensor([[[logit(0.8), logit(0.3)], [logit(0.6), logit(0.9)]]])
    return logits, torch.tensor([[[P, A], [U, A]]], dtype=torch.int8)


def test_cross_entropy_of_two_by_two_by_hand() -> None:
    logits, states = example()
    # area 0: -ln 0.8 - ln 0.7 = 0.22314 + 0.35667 = 0.57982
    # area 1: nothing          - ln 0.1            = 2.30259
    # two areas are supervised: (0.57982 + 2.30259) / 2 = 1.44120
    assert masked_classification(logits, states).item() == pytest.approx(1.44120, abs=1e-5)


def test_focal_of_two_by_two_by_hand() -> None:
    logits, states = example()
    # gamma 2: 0.2^2 * 0.22314 + 0.3^2 * 0.35667 + 0.9^2 * 2.30259 = 0.00893 + 0.03210 + 1.86509 = 1.90612; / 2
    assert masked_classification(logits, states, gamma=2.0).item() == pytest.approx(0.95306, abs=1e-5)


def test_only_selected_areas_count_in_sum_and_number() -> None:
    logits, states = example()
    first = torch.tensor([[True, False]])
    assert masked_classification(logits, states, first).item() == pytest.approx(0.57982, abs=1e-5)
    assert masked_classification(logits, states, ~first).item() == pytest.approx(2.30259, abs=1e-5)


def test_a_sum_can_be_divided_by_the_number_of_other_areas() -> None:
    logits, states = example()
    # (0.57982 + 2.30259) / 5 = 0.57648
    loss = masked_classification(logits, states, number=torch.tensor(5))
    assert loss.item() == pytest.approx(0.57648, abs=1e-5)


def test_with_everything_known_and_gamma_zero_it_is_binary_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((2, 5, 3), generator=generator)
    states = torch.randint(0, 2, (2, 5, 3), generator=generator, dtype=torch.int8)
    known = functional.binary_cross_entropy_with_logits(logits, states.float(), reduction="sum") / 10
    torch.testing.assert_close(masked_classification(logits, states), known)


def test_unknown_states_get_exactly_zero_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = (10 * torch.randn((3, 7, 4), generator=generator)).requires_grad_()
    states = torch.randint(-1, 2, (3, 7, 4), generator=generator, dtype=torch.int8)
    masked_classification(logits, states, gamma=1.5).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, states != U)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_unknown_state_hides_even_a_broken_logit(value: float) -> None:
    logits = torch.tensor([[[value, 0.0]]], requires_grad=True)
    loss = masked_classification(logits, torch.tensor([[[U, A]]], dtype=torch.int8), gamma=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * math.log(2))
    assert logits.grad is not None
    assert logits.grad[0, 0, 0] == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("areas", [0, 3])
def test_nothing_supervised_is_zero_with_a_gradient_and_never_nan(areas: int) -> None:
    logits = torch.zeros((1, areas, 2), requires_grad=True)
    loss = masked_classification(logits, torch.full((1, areas, 2), U, dtype=torch.int8), gamma=1.5)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0


@given(
    copies=st.integers(2, 5),
    gamma=st.sampled_from([0.0, 1.5, 2.0]),
    seed=st.integers(0, 1000),
)
def test_duplicating_the_batch_keeps_the_loss(copies: int, gamma: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((2, 4, 3), generator=generator, dtype=torch.float64)
    states = torch.randint(-1, 2, (2, 4, 3), generator=generator, dtype=torch.int8)
    once = masked_classification(logits, states, gamma=gamma)
    again = masked_classification(logits.repeat(copies, 1, 1), states.repeat(copies, 1, 1), gamma=gamma)
    torch.testing.assert_close(once, again)


@given(seed=st.integers(0, 1000), unknown=st.integers(1, 20))
def test_adding_unknown_areas_changes_nothing(seed: int, unknown: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    states = torch.randint(-1, 2, (1, 4, 3), generator=generator, dtype=torch.int8)
    more = torch.cat([logits, torch.randn((1, unknown, 3), generator=generator, dtype=torch.float64)], dim=1)
    masked = torch.cat([states, torch.full((1, unknown, 3), U, dtype=torch.int8)], dim=1)
    torch.testing.assert_close(masked_classification(logits, states), masked_classification(more, masked))


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[[200.0, -200.0]]], requires_grad=True)
    loss = masked_focal(logits, torch.tensor([[[A, P]]], dtype=torch.int8), gamma=1.5).sum()
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_weights_of_two_areas_by_hand() -> None:
    logits, states = example()
    # (3 * 0.57982 + 1 * 2.30259) / (3 + 1) = 4.04205 / 4 = 1.01051
    loss = masked_classification(logits, states, weights_na=torch.tensor([[3.0, 1.0]]))
    assert loss.item() == pytest.approx(1.01051, abs=1e-5)


def test_weights_of_one_are_no_weights_to_the_last_bit() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn((2, 50, 3), generator=generator)
    states = torch.randint(-1, 2, (2, 50, 3), generator=generator, dtype=torch.int8)
    plain = masked_classification(logits, states, gamma=1.5)
    assert torch.equal(plain, masked_classification(logits, states, gamma=1.5, weights_na=torch.ones((2, 50))))


@given(scale=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_only_the_ratio_of_weights_counts(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((2, 4, 3), generator=generator, dtype=torch.float64)
    states = torch.randint(-1, 2, (2, 4, 3), generator=generator, dtype=torch.int8)
    weights = torch.rand((2, 4), generator=generator, dtype=torch.float64)
    first = masked_classification(logits, states, weights_na=weights)
    torch.testing.assert_close(first, masked_classification(logits, states, weights_na=weights * scale))


def test_an_area_of_weight_zero_is_as_if_nobody_had_spoken() -> None:
    logits, states = example()
    weighted = masked_classification(logits, states, weights_na=torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(weighted, masked_classification(logits, states, torch.tensor([[True, False]])))
    nothing = masked_classification(logits.requires_grad_(), states, weights_na=torch.zeros((1, 2)))
    nothing.backward()
    assert nothing.item() == 0
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0
