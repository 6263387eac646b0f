"""The plan of a table: it survives its file, its rows are the recipes, and it knows which rounds are equal."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.models.config import DetectorConfig
from training.recipes import RECIPES, recipe_named
from training.simulation.judging import Character, Pace
from training.table1.plan import BASELINE, Beginning, Job, TablePlan, fingerprint

NETWORK = DetectorConfig(classes=("a", "b"))

plans = st.builds(
    TablePlan,
    data=st.sampled_from(["synthetic:3", "deeppcb:/data", "magnetic_tile"]),
    level=st.sampled_from([None, "mild", "strong"]),
    head=st.sampled_from(["anchors", "cells"]),
    recipes=st.lists(st.sampled_from(list(RECIPES)), min_size=1, unique=True).map(tuple),
    seeds=st.integers(1, 9),
    scale=st.floats(0.001, 10),
    steps=st.dictionaries(st.sampled_from(list(RECIPES)), st.integers(1, 9000), max_size=3),
    crop=st.one_of(st.none(), st.integers(8, 320)),
    batch=st.one_of(st.none(), st.integers(2, 64)),
    character=st.builds(
        Character,
        error_rate=st.floats(0, 1),
        indecision=st.floats(0, 1),
        draws=st.booleans(),
        pace=st.builds(Pace, click=st.floats(0, 60)),
    ),
)


@settings(max_examples=40, deadline=None)
@given(plans)
def test_a_plan_comes_back_from_its_file_as_it_was(plan: TablePlan) -> None:
    assert TablePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@settings(max_examples=40, deadline=None)
@given(plans)
def test_the_baseline_comes_first_and_every_row_and_seed_is_run_once(plan: TablePlan) -> None:
    jobs = list(plan.jobs())
    assert len(set(jobs)) == len(jobs) == len({BASELINE, *plan.recipes}) * plan.seeds
    assert [job.recipe for job in jobs[: plan.seeds]] == [BASELINE] * plan.seeds


def test_the_rows_of_a_table_are_the_recipes() -> None:
    assert TablePlan(data="synthetic").rows == tuple(RECIPES)


def test_a_plan_of_an_older_version_can_still_be_read() -> None:
    values = TablePlan(data="synthetic").to_json()
    for name in ("new", "size", "crop", "batch"):
        del values[name]
    assert TablePlan.from_json(values) == TablePlan(data="synthetic")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "voc:x"}, "expected KIND:PLACE"),
        ({"data": "coco:a.json"}, "name the new domain's set with --new"),
        ({"new": "coco:a.json"}, "has its own new domain"),
        ({"data": "coco:a.json", "new": "synthetic"}, "expected a set of kind"),
        ({"recipes": ()}, "expected different names, at least one"),
        ({"recipes": ("full", "full")}, "expected different names"),
        ({"recipes": ("magic",)}, "expected one of baseline"),
        ({"steps": {"magic": 3}}, "expected one of baseline"),
        ({"steps": {"full": 0}}, "steps of full is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"scale": 0.0}, "scale is 0"),
        ({"batch": 1}, "batch is 1"),
        ({"crop": 4}, "crop is 4"),
    ],
)
def test_an_impossible_plan_is_refused_by_the_fields_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TablePlan(**{"data": "synthetic", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{}, {"data": "synthetic"}, {"data": "synthetic", "character": {}, "x": 1}])
def test_what_is_no_plan_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no plan of a table"):
        TablePlan.from_json(values)


def test_the_scale_changes_all_rows_alike_but_those_whose_steps_were_given() -> None:
    plan = TablePlan(data="synthetic", scale=0.5, steps={"baseline": 77}, crop=64, batch=4)
    assert plan.config_of("baseline").steps == 77
    for name in ("mentored", "transfer", "full"):
        assert plan.config_of(name).steps == recipe_named(name)(NETWORK).steps // 2
        assert (plan.config_of(name).crop.side, plan.config_of(name).batch) == (64, 4)


def test_rounds_of_different_rows_that_are_equal_are_found_by_what_the_recipes_say() -> None:
    plan = TablePlan(data="synthetic", recipes=("third_round", "transfer", "recommended", "second_round"))
    assert plan.rows == ("baseline", "third_round", "transfer", "recommended", "second_round")
    found = plan.beginnings()
    assert found["third_round"] == Beginning(row="baseline", rounds=0)
    assert found["transfer"] == Beginning(row="baseline", rounds=0)
    assert found["recommended"] == Beginning(row="third_round", rounds=1)
    assert found["second_round"] == Beginning(row="third_round", rounds=2)
    trained = plan.rounds_to_train()
    assert (trained["third_round"], trained["recommended"], trained["second_round"]) == (3, 0, 0)


def test_steps_that_were_given_to_one_row_make_its_rounds_others() -> None:
    plan = TablePlan(data="synthetic", recipes=("recommended", "second_round"), steps={"second_round": 5})
    assert plan.beginnings()["second_round"] == Beginning(row="baseline", rounds=0)


def test_a_fingerprint_forgets_the_rows_name_and_its_later_rounds_and_nothing_else() -> None:
    plan = TablePlan(data="synthetic")
    first, second = (recipe_named(name)(NETWORK) for name in ("recommended", "second_round"))

    def of(config: object, number: int = 1, digest: str = "d", parent: str = "p", where: TablePlan = plan) -> str:
        return fingerprint(where, config, number, digest, parent)  # type: ignore[arg-type]

    assert of(first) == of(second)
    others = [
        of(second, 2),
        of(dataclasses.replace(first, seed=1)),
        of(dataclasses.replace(first, steps=first.steps + 1)),
        of(first, digest="e"),
        of(first, parent="q"),
        of(first, where=TablePlan(data="synthetic", character=Character(error_rate=0.1))),
        of(first, where=TablePlan(data="deeppcb", level="strong")),
    ]
    assert len({of(first), *others}) == len(others) + 1


def test_a_jobs_name_is_its_folder() -> None:
    assert Job(recipe="full", seed=2).name == "full-seed2"
