"""The repeated pattern on hand-made features: found among others, refused where there is none or it is a defect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.quickfix.pattern import (
    Floats,
    NoPatternError,
    PatternConfig,
    find_pattern,
    largest_group,
    scaled,
    taken_for,
)

WIDTH = 12
CONFIG = PatternConfig()


def around(direction: int, count: int, *, seed: int, spread: float = 0.3, far: float = 5.0) -> Floats:
    """Features near a point on one axis."""
    middle = np.zeros(WIDTH)
    middle[direction] = far
    return (middle + np.random.default_rng(seed).normal(0, spread, (count, WIDTH))).astype(np.float32)


def anywhere(count: int, *, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(0, 2, (count, WIDTH)).astype(np.float32)


def find(rejected: Floats, defects: Floats, config: PatternConfig = CONFIG) -> list[int]:
    related = np.ones(len(defects), bool)
    return find_pattern(rejected, defects, related, config, names=["dent"]).members.tolist()


def test_the_rejections_that_look_alike_are_found_among_others() -> None:
    rejected = np.concatenate([anywhere(6, seed=1), around(3, 14, seed=2), anywhere(5, seed=3)])
    assert find(rejected, around(0, 60, seed=4, spread=1.5)) == list(range(6, 20))


def test_of_two_patterns_the_one_rejected_more_often_is_taken() -> None:
    rejected = np.concatenate([around(3, 11, seed=2), around(7, 15, seed=5)])
    assert find(rejected, around(0, 60, seed=4, spread=1.5)) == list(range(11, 26))


def test_a_pattern_is_found_where_all_rejections_are_the_pattern() -> None:
    assert find(around(3, 20, seed=2), around(0, 60, seed=4, spread=1.5)) == list(range(20))


def test_too_few_rejections_are_refused_with_both_numbers() -> None:
    with pytest.raises(NoPatternError, match="9 rejections can be used, a quick fix needs 10"):
        find(around(3, 9, seed=2), around(0, 60, seed=4))


def test_rejections_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(NoPatternError, match="24 rejections have too little in common: the largest group"):
        find(anywhere(24, seed=8), around(0, 60, seed=4, spread=1.5))


def test_a_pattern_that_looks_like_confirmed_defects_is_refused() -> None:
    defects = np.concatenate([around(3, 30, seed=9), around(0, 30, seed=4, spread=1.5)])
    with pytest.raises(NoPatternError, match=r"cannot be told from confirmed defects: [0-9]+ of 60 of class dent"):
        find(around(3, 20, seed=2), defects)


def test_a_few_confirmed_examples_of_the_pattern_itself_are_enough_to_refuse() -> None:
    defects = np.concatenate([around(3, 6, seed=9), around(0, 40, seed=4, spread=1.5)])
    with pytest.raises(NoPatternError, match="6 of 46"):
        find(around(3, 20, seed=2), defects)


def test_defects_of_classes_it_was_never_taken_for_do_not_count() -> None:
    defects = np.concatenate([around(3, 30, seed=9), around(0, 30, seed=4, spread=1.5)])
    related = np.arange(60) >= 30
    pattern = find_pattern(around(3, 20, seed=2), defects, related, CONFIG, names=["dent"])
    assert pattern.compared == 30
    assert pattern.mistaken <= 2


def test_without_any_defect_known_a_pattern_is_still_found() -> None:
    rejected = np.concatenate([around(3, 14, seed=2), anywhere(14, seed=3)])
    members = find(rejected, np.zeros((0, WIDTH), np.float32))
    assert set(range(14)) <= set(members)


@given(st.integers(0, WIDTH - 1), st.floats(0.01, 100), st.integers(0, 5))
def test_the_unit_a_feature_is_counted_in_changes_no_group(place: int, factor: float, seed: int) -> None:
    rejected = np.concatenate([around(3, 12, seed=seed), anywhere(8, seed=seed + 10)])
    defects = around(0, 60, seed=4, spread=1.5)
    unit = np.ones(WIDTH, np.float32)
    unit[place] = factor
    plain, changed = scaled(rejected, defects), scaled(rejected * unit, defects * unit)
    np.testing.assert_allclose(changed, plain, rtol=1e-3, atol=1e-3)
    assert set(range(12)) <= set(largest_group(changed)[0].tolist())


def test_a_defect_is_judged_by_a_plane_that_has_not_seen_it() -> None:
    # With 40 dimensions and 30 points, some plane sorts any labels; only a fair one finds that half look alike.
    generator = np.random.default_rng(0)
    same = generator.normal(0, 1, (60, 40)).astype(np.float32)
    wrong = taken_for(same[:30], same[30:])
    assert 6 <= wrong.sum() <= 24


@pytest.mark.parametrize(("field", "value"), [("least", 3), ("confusable", 0.0), ("confusable", 1.0)])
def test_impossible_settings_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        PatternConfig(**{field: value})  # type: ignore[arg-type]
