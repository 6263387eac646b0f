"""A recipe turns detections into PASS or REJECT; in doubt a detection counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inspection import Detection, Verdict
from edge.verdict import EVERYTHING_COUNTS, RecipeSettings, RegionSettings, counts, decide, recipe_for


def detection(
    score: float = 0.9, box: tuple[float, float, float, float] = (10, 10, 20, 14), name: str = "dent"
) -> Detection:
    return Detection(
        detection_id="f/0", class_index=0, class_name=name, score=score, box=box, areas=np.array([0], np.int32)
    )


def recipe(**fields: object) -> RecipeSettings:
    return RecipeSettings.model_validate({"name": "r", **fields})


def test_nothing_found_passes() -> None:
    assert decide([], EVERYTHING_COUNTS) == (Verdict.PASS, "")


def test_one_detection_rejects_and_says_what_it_was() -> None:
    verdict, reason = decide([detection()], EVERYTHING_COUNTS)
    assert verdict is Verdict.REJECT
    assert reason == "recipe default: 1 found (dent 0.90), 0 allowed"


@pytest.mark.parametrize(
    ("rules", "found", "expected"),
    [
        ({"thresholds": {"dent": 0.95}}, detection(0.94), False),
        ({"thresholds": {"dent": 0.95}}, detection(0.95), True),
        ({"thresholds": {"dent": 0.95}}, detection(0.5, name="scratch"), True),
        ({"minimum_side": 10}, detection(box=(0, 0, 10, 1)), True),
        ({"minimum_side": 10}, detection(box=(0, 0, 9.9, 9.9)), False),
        ({"regions": [{"x1": 20, "y1": 0, "x2": 30, "y2": 30}]}, detection(box=(10, 10, 20, 14)), False),
        ({"regions": [{"x1": 19, "y1": 0, "x2": 30, "y2": 30}]}, detection(box=(10, 10, 20, 14)), True),
        (
            {"regions": [{"x1": 90, "y1": 90, "x2": 99, "y2": 99}, {"x1": 0, "y1": 0, "x2": 11, "y2": 11}]},
            detection(box=(10, 10, 20, 14)),
            True,
        ),
    ],
)
def test_rules_say_which_detections_count(rules: dict[str, object], found: Detection, expected: bool) -> None:
    assert counts(found, recipe(**rules)) is expected


def test_a_number_of_detections_may_be_allowed() -> None:
    assert decide([detection()] * 2, recipe(maximum_count=2)).verdict is Verdict.PASS
    assert decide([detection()] * 3, recipe(maximum_count=2)).verdict is Verdict.REJECT


@given(
    score=st.sampled_from([math.nan, math.inf, 0.9]),
    box=st.tuples(*[st.sampled_from([math.nan, 5.0, math.inf])] * 4),
)
def test_a_detection_with_a_number_that_is_none_counts_under_any_rule(
    score: float, box: tuple[float, float, float, float]
) -> None:
    strict = recipe(thresholds={"dent": 1.0}, minimum_side=1000, regions=[{"x1": 0, "y1": 0, "x2": 1, "y2": 1}])
    odd = not (math.isfinite(score) and all(math.isfinite(edge) for edge in box))
    assert counts(detection(score, box), strict) is odd


def test_the_first_recipe_that_fits_camera_and_part_counts() -> None:
    recipes = [
        recipe(name="a", camera="top", part="AX-*"),
        recipe(name="b", part="AX-*"),
        recipe(name="c", camera="t*"),
    ]
    assert recipe_for(recipes, "top", "AX-7").name == "a"
    assert recipe_for(recipes, "side", "AX-7").name == "b"
    assert recipe_for(recipes, "top", "").name == "c"
    assert recipe_for(recipes, "side", "").name == "default"


def test_a_region_without_an_inside_is_refused() -> None:
    with pytest.raises(ValueError, match="x1 < x2"):
        RegionSettings(x1=5, y1=0, x2=5, y2=9)
