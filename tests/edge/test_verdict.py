"""A recipe turns detections into PASS or REJECT; in doubt a detection counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inspection import Detection, Verdict
from edge.verdict import EVERYTHING_COUNTS, RecipeSettings, RegionSettings, counts, decide, one_a_place, recipe_for


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


# Two boxes of 10 x 4 at one place, 2 pixels apart: shared 8 x 4 = 32 of 48 pixels, IoU 0.67.
HERE, BESIDE_IT, ELSEWHERE = (10.0, 10.0, 20.0, 14.0), (12.0, 10.0, 22.0, 14.0), (60.0, 10.0, 70.0, 14.0)


@pytest.mark.parametrize(
    ("found", "named"),
    [
        # The better one counts, whichever it is.
        ([detection(0.9, HERE), detection(0.8, BESIDE_IT, "scratch")], "1 found (dent 0.90)"),
        ([detection(0.9, HERE, "scratch"), detection(0.8, BESIDE_IT)], "1 found (scratch 0.90)"),
        ([detection(0.9, HERE), detection(0.8, ELSEWHERE, "scratch")], "2 found (dent 0.90, scratch 0.80)"),
        # Two of one class do not exclude each other, nor does a class that is not named.
        ([detection(0.9, HERE), detection(0.8, BESIDE_IT)], "2 found (dent 0.90, dent 0.80)"),
        ([detection(0.9, HERE), detection(0.8, BESIDE_IT, "hole")], "2 found (dent 0.90, hole 0.80)"),
        # One that does not count itself stands in nobody's way.
        ([detection(0.9, HERE, "stain"), detection(0.8, BESIDE_IT)], "1 found (dent 0.80)"),
    ],
)
def test_of_exclusive_classes_at_one_place_the_best_counts(found: list[Detection], named: str) -> None:
    rules = recipe(exclusive_classes=["dent", "scratch", "stain"], thresholds={"stain": 0.95})
    assert named in decide(found, rules).reason


@given(
    found=st.lists(
        st.builds(
            detection,
            st.floats(0.1, 1),
            st.sampled_from([HERE, BESIDE_IT, ELSEWHERE, (math.nan, 0.0, 1.0, 1.0)]),
            st.sampled_from(["dent", "scratch", "hole"]),
        ),
        max_size=6,
    ).map(lambda items: sorted(items, key=lambda item: -item.score))
)
def test_exclusive_classes_change_how_many_count_and_never_whether_any_does(found: list[Detection]) -> None:
    plain, exclusive = recipe(), recipe(exclusive_classes=["dent", "scratch"])
    assert decide(found, plain).verdict is decide(found, exclusive).verdict
    kept = one_a_place(found, exclusive)
    assert [item for item in found if item.class_name == "hole"] == [item for item in kept if item.class_name == "hole"]


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


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_smallest_side_that_is_no_length_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="minimum_side"):
        recipe(minimum_side=value)
