"""Intervals against hand-computed numbers, textbook limits and laws."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lineside.replay.figures import wilson
from training.estimate.intervals import Row, Total, gamma_quantile, ratio_of, share_of, total_of


def rows(*values: tuple[float, float, float], same: bool = False) -> list[Row]:
    return [Row("one" if same else str(place), *value) for place, value in enumerate(values)]


def test_with_equal_weights_and_one_answer_a_frame_it_is_wilsons_interval() -> None:
    # 8 of 10; V = 10/9 * (8 * 0.04 + 2 * 0.64) / 100 = 0.016 / 0.9; n_eff = 0.16 / V = 9, and Kish says 10 at least.
    share = share_of(rows(*[(1.0, 1, 1)] * 8, *[(1.0, 0, 1)] * 2))
    assert share.point == pytest.approx(0.8)
    assert share.effective == pytest.approx(10)
    assert (share.low, share.high) == pytest.approx(wilson(0.8, 10))


def test_a_weighted_share_is_the_ratio_of_the_weighted_sums() -> None:
    # (2 * 1 + 10 * 0) / (2 * 2 + 10 * 1) = 2 / 14.
    share = share_of(rows((2.0, 1, 2), (10.0, 0, 1)))
    assert share.point == pytest.approx(2 / 14)


def test_answers_that_go_together_in_a_frame_count_as_one() -> None:
    # Ten frames of four equal answers each, five of them all right: n_eff is 10 frames and not 40 answers.
    alike = share_of(rows(*[(1.0, 4, 4)] * 5, *[(1.0, 0, 4)] * 5))
    # V = 10/9 * 10 * (4 * 0.5)^2 / 40^2 = 0.02778, 0.25 / V = 9: at least Kish's number of frames, 10.
    assert alike.effective == pytest.approx(10)
    # Two right and two wrong in every frame: nothing varies between frames, but no more than 40 answers count.
    mixed = share_of(rows(*[(1.0, 2, 4)] * 9, (1.0, 3, 4)))
    assert mixed.effective == pytest.approx(40)


def test_where_all_answers_are_the_same_only_frames_count() -> None:
    share = share_of(rows(*[(1.0, 3, 3)] * 7))
    assert (share.point, share.effective) == (1.0, 7)
    assert (share.low, share.high) == pytest.approx(wilson(1.0, 7))


def test_rows_of_one_cluster_are_one() -> None:
    share = share_of(rows((1.0, 1, 1), (1.0, 0, 1), same=True))
    assert share.effective == pytest.approx(1)


def test_nothing_counted_is_not_a_number_and_no_interval() -> None:
    share = share_of(rows((1.0, 0, 0)))
    assert math.isnan(share.point)
    assert math.isnan(share.low)
    assert share.effective == 0


COUNTS = st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(1, 1000))


@given(st.lists(COUNTS, min_size=1, max_size=12), st.integers(1, 4))
def test_a_share_lies_between_its_limits_and_they_in_0_to_1(values: list[tuple[int, int, float]], parts: int) -> None:
    assume(any(hits + rest for hits, rest, _ in values))
    share = share_of(
        Row(str(place % parts), weight, hits, hits + rest) for place, (hits, rest, weight) in enumerate(values)
    )
    assert 0 <= share.low <= share.point <= share.high <= 1
    assert 0 < share.effective <= sum(hits + rest for hits, rest, _ in values) * (1 + 1e-9)


@given(st.lists(COUNTS, min_size=1, max_size=12), st.floats(0.01, 100))
@example([(4, 1, 1.0), (4, 1, 40.81060428942226)], 2.5)  # all alike but for rounding
def test_weights_mean_the_same_in_any_unit(values: list[tuple[int, int, float]], factor: float) -> None:
    assume(any(hits + rest for hits, rest, _ in values))
    plain = [Row(str(place), weight, hits, hits + rest) for place, (hits, rest, weight) in enumerate(values)]
    scaled = [row._replace(weight=row.weight * factor) for row in plain]
    one, other = share_of(plain), share_of(scaled)
    assert (other.point, other.low, other.high) == pytest.approx((one.point, one.low, one.high), abs=1e-9)


def test_equal_weights_give_the_exact_poisson_limits() -> None:
    # Garwood's 95 % limits, from tables: 0 seen: 0 to 3.689; 5: 1.623 to 11.668; 10: 4.795 to 18.390.
    for seen, low, high in ((0, 0, 3.689), (5, 1.623, 11.668), (10, 4.795, 18.390)):
        total = total_of(((str(place), 1.0) for place in range(seen)), largest=1.0)
        assert total.point == seen
        assert total.low == pytest.approx(low, rel=0.01)
        assert total.high == pytest.approx(high, rel=0.01)


def test_nothing_seen_among_frames_that_stand_for_twenty_may_be_74() -> None:
    total = total_of([], largest=20.0)
    assert (total.point, total.low) == (0, 0)
    assert total.high == pytest.approx(20 * 3.689, rel=0.01)


def test_fay_and_feuers_interval_by_hand() -> None:
    # y = 2 * 20 + 3 * 1 = 43, v = 2 * 400 + 3 = 803: x = 43^2 / 803 = 2.3026 of 18.674 each.
    total = total_of([("a", 20.0), ("b", 20.0), ("c", 1.0), ("d", 1.0), ("e", 1.0)], largest=20.0)
    assert total.low == pytest.approx(803 / 43 * gamma_quantile(43**2 / 803, -1.959964))
    assert total.high == pytest.approx(1203 / 63 * gamma_quantile(63**2 / 1203, 1.959964))


def test_what_lies_in_one_cluster_adds_up_before_it_is_squared() -> None:
    apart = total_of([("a", 1.0), ("b", 1.0)])
    together = total_of([("a", 1.0), ("a", 1.0)])
    assert apart.point == together.point == 2
    assert together.high > apart.high


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.1, 1000)), max_size=12), st.floats(0, 1000))
def test_a_total_lies_between_its_limits(pieces: list[tuple[int, float]], largest: float) -> None:
    total = total_of([(str(cluster), amount) for cluster, amount in pieces], largest=largest)
    assert 0 <= total.low <= total.point <= total.high < math.inf


def test_a_known_denominator_only_scales() -> None:
    known = Total(point=50.0, low=50.0, high=50.0)
    assert ratio_of(Total(point=10.0, low=5.0, high=20.0), known) == pytest.approx((0.1, 0.4))


def test_a_ratio_by_hand() -> None:
    # a = 10 (6 to 15), b = 20 (16 to 25). Donner and Zou: low = (200 - sqrt(200^2 - 6 * 25 * 14 * 15)) / (25 * 15),
    # high = (200 + sqrt(200^2 - 15 * 16 * 5 * 24)) / (16 * 24).
    low, high = ratio_of(Total(point=10.0, low=6.0, high=15.0), Total(point=20.0, low=16.0, high=25.0))
    assert low == pytest.approx((200 - math.sqrt(40_000 - 6 * 25 * 14 * 15)) / (25 * 15))
    assert high == pytest.approx((200 + math.sqrt(40_000 - 15 * 16 * 5 * 24)) / (16 * 24))


def test_over_a_denominator_that_may_be_nothing_there_is_no_upper_limit() -> None:
    assert ratio_of(Total(point=1.0, low=0.5, high=3.0), Total(point=0.0, low=0.0, high=3.0))[1] == math.inf


TOTALS = st.builds(
    lambda point, below, above: Total(point=point, low=point * below, high=point + above),
    st.floats(0.01, 1e4),
    st.floats(0.01, 1),
    st.floats(0, 1e4),
)


@given(TOTALS, TOTALS)
def test_a_ratio_lies_between_its_limits(above: Total, below: Total) -> None:
    low, high = ratio_of(above, below)
    ratio = above.point / below.point
    assert 0 <= low <= ratio * (1 + 1e-9)
    assert ratio <= high * (1 + 1e-9)
