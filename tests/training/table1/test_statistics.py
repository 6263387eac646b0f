"""Intervals against numbers worked out by hand and published tables."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.table1.statistics import difference, estimate, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("freedom", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_the_quantiles_are_those_of_the_printed_table(freedom: int, published: float) -> None:
    assert t_quantile(freedom) == pytest.approx(published, abs=5e-4)


def test_the_distribution_in_its_closed_forms() -> None:
    # One degree of freedom is Cauchy's, two have a root; many are the normal one.
    for t in (-3.0, -0.5, 0.0, 1.0, 7.0):
        assert t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi)
        assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)))
        assert t_cdf(t, 400) == pytest.approx(0.5 * (1 + math.erf(t / math.sqrt(2))), abs=2e-3)


def test_an_interval_by_hand() -> None:
    # Mean 0.8; squares 0.01 + 0 + 0.01, variance 0.01, standard error 0.1 / sqrt(3); times 4.303.
    found = estimate([0.7, 0.8, 0.9])
    assert found is not None
    assert found.mean == pytest.approx(0.8)
    assert found.half == pytest.approx(4.3027 * 0.1 / math.sqrt(3), abs=1e-4)
    assert (found.n, found.values) == (3, (0.7, 0.8, 0.9))


def test_one_value_has_no_interval_and_none_has_no_estimate() -> None:
    single = estimate([0.5])
    assert single is not None
    assert (single.low, single.high, single.half) == (None, None, None)
    assert estimate([]) is None
    assert estimate([None, None]) is None


def test_what_was_not_measured_is_left_out_and_keeps_its_place() -> None:
    found = estimate([0.5, None, 0.7])
    assert found is not None
    assert (found.mean, found.n, found.values) == (pytest.approx(0.6), 2, (0.5, None, 0.7))


def test_pairs_take_out_what_seeds_share() -> None:
    # Both vary by 0.4 between seeds; their difference is 0.1 each time.
    ours, theirs = {0: 0.4, 1: 0.6, 2: 0.8}, {0: 0.3, 1: 0.5, 2: 0.7}
    found = difference(ours, theirs)
    assert found is not None
    assert found.half == pytest.approx(0, abs=1e-9)
    assert found.mean == pytest.approx(0.1)


def test_only_shared_seeds_are_paired() -> None:
    found = difference({0: 0.4, 2: 0.8, 3: None}, {0: 0.3, 1: 0.5, 3: 0.1})
    assert found is not None
    assert (found.n, found.mean) == (1, pytest.approx(0.1))
    assert difference({0: 1.0}, {1: 1.0}) is None


@settings(deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8), st.floats(-5, 5), st.floats(0.1, 3))
def test_an_interval_moves_and_stretches_with_its_values(values: list[float], shift: float, factor: float) -> None:
    first, second = estimate(values), estimate([value * factor + shift for value in values])
    assert first is not None
    assert second is not None
    assert second.mean == pytest.approx(first.mean * factor + shift, abs=1e-9)
    assert second.half == pytest.approx(first.half * factor if first.half else 0.0, abs=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = random.Random(7)
    covered = 0
    for _ in range(2000):
        found = estimate([generator.gauss(0.8, 0.02) for _ in range(3)])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.8 <= found.high
    # 0.95 +- 4 standard errors of 0.005.
    assert 0.93 <= covered / 2000 <= 0.97
