"""Recipes: each is a whole configuration, and differs from the one before by what the paper says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lessons import tiny

from training.config import TrainConfig
from training.data.omnia import confident_background
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.models.config import DetectorConfig
from training.recipes import RECIPES, recipe_named
from training.schedules import average_decay, learning_rate


def changed(first: str, second: str) -> set[str]:
    one, two = RECIPES[first](tiny()), RECIPES[second](tiny())
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    return {name for name in names if getattr(one, name) != getattr(two, name)} - {"recipe"}


def test_a_recipe_carries_its_name() -> None:
    assert all(recipe(tiny()).recipe == name for name, recipe in RECIPES.items())


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ("baseline", "mentored", {"new_labels", "steps", "feedback"}),
        ("mentored", "transfer", {"from_parent", "steps"}),
        ("mentored", "omnia", {"omnia"}),
        ("mentored", "healthy", {"whole_frames", "feedback"}),
        ("mentored", "dann", {"dann"}),
        ("mentored", "unbalanced", {"balanced"}),
        ("transfer", "transfer_dann", {"dann"}),
        ("transfer", "transfer_omnia", {"omnia"}),
        ("transfer", "distil", {"distil"}),
        ("transfer", "teacher", {"teacher"}),
        ("transfer", "robust", {"objective"}),
        ("transfer", "reliable", {"reliability"}),
        ("transfer", "uncertain", {"feedback"}),
        ("transfer", "wrong_class", {"feedback"}),
        ("complete", "missed", {"whole_frames"}),
        (
            "wrong_class",
            "recommended",
            {
                "whole_frames",
                "feedback",
                "agreed_boxes",
                "best_boxes",
                "surroundings",
                "teacher",
                "crop",
                "healthy_new",
            },
        ),
        ("recommended", "complete", {"feedback"}),
        ("recommended", "second_round", {"feedback"}),
        ("recommended", "third_round", {"feedback"}),
        ("transfer", "full", {"new_labels", "objective"}),
        ("transfer", "longer", {"new_labels"}),
        ("longer", "camera", {"camera"}),
        ("transfer", "unspoken_is_healthy", {"omnia"}),
    ],
)
def test_a_recipe_changes_what_it_says_and_nothing_else(first: str, second: str, difference: set[str]) -> None:
    assert changed(first, second) - {"optimiser"} == difference


def test_from_scratch_sees_as_many_original_pictures_as_the_baseline() -> None:
    baseline, mentored = RECIPES["baseline"](tiny()), RECIPES["mentored"](tiny())
    assert mentored.steps * mentored.batch // 2 == baseline.steps * baseline.batch


def test_lambda_and_epsilon_are_the_papers() -> None:
    assert RECIPES["mentored"](tiny()).objective.weak == 1.0
    assert RECIPES["omnia"](tiny()).omnia == 0.01


def test_an_unknown_recipe_is_answered_with_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="expected one of baseline, mentored, transfer"):
        recipe_named("magic")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch": 5}, "batch is 5"),
        ({"new_labels": "some"}, "new_labels is 'some'"),
        ({"omnia": 2.0}, "omnia is 2.0"),
        ({"camera": -0.5}, "camera is -0.5"),
        ({"healthy_new": 1.5}, "healthy_new is 1.5"),
        ({"precision": "half"}, "precision is 'half'"),
    ],
)
def test_impossible_values_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPES["baseline"](tiny()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "boxes"}, "head is 'boxes'"),
        ({"classes": ("a", "a")}, "expected unique names"),
        ({"width": 100}, "width is 100, expected a multiple of 8"),
        ({"channels": 2}, "channels is 2"),
        ({"shapes": ((0.0, 3.0),)}, "expected positive"),
        ({"deviation": 0.0}, "deviation is 0.0"),
    ],
)
def test_impossible_networks_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


def test_a_networks_config_survives_json() -> None:
    assert DetectorConfig.from_json(tiny().to_json()) == tiny()
    with pytest.raises(ValueError, match="unknown keys colour"):
        DetectorConfig.from_json({**tiny().to_json(), "colour": 1})


def test_omnia_moves_exactly_the_unknown_areas_below_epsilon() -> None:
    states = np.array([[UNKNOWN, UNKNOWN], [PRESENT, UNKNOWN], [ABSENT, UNKNOWN]], np.int8)
    scores = np.array([[0.009, 0.01], [0.001, 0.5], [0.001, 0.0]], np.float32)
    filled = confident_background(states, scores, below=0.01)
    assert filled.tolist() == [[ABSENT, UNKNOWN], [PRESENT, UNKNOWN], [ABSENT, ABSENT]]


@given(steps=st.integers(1, 500), warm_up=st.floats(0, 0.9))
def test_the_learning_rate_stays_within_bounds(steps: int, warm_up: float) -> None:
    rates = [learning_rate(step, steps, highest=2.0, warm_up=warm_up) for step in range(steps)]
    assert all(0 < rate <= 2.0 for rate in rates)
    peak = int(np.argmax(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_average_forgets_its_beginning_and_then_holds() -> None:
    decays = [average_decay(step, decay=0.99) for step in range(2000)]
    assert decays[0] == pytest.approx(0.1)
    assert decays[-1] == 0.99
    assert decays == sorted(decays)
