"""A table goes on as it was begun, on the pictures it was begun with, or says why not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from support.lessons import squares

from lineside.pixels import encode_png
from training.data.sample import Dataset, Experiment
from training.table1 import data, settle
from training.table1.plan import TablePlan
from training.table1.pool import TableInUseError, claimed, write_plan
from training.table1.settle import Budgeted, OtherPlanError

PLAN = TablePlan(data="synthetic", recipes=("transfer",), seeds=2)
FITTED = Budgeted(budget=100.0, asked_scale=1.0, scale=0.25, parallel=2, timing={})


def test_a_folder_gives_its_plan_back(tmp_path: Path) -> None:
    assert settle.begun(tmp_path) is None
    write_plan(PLAN, tmp_path)
    assert settle.begun(tmp_path) == PLAN


def test_rows_and_seeds_may_be_others(tmp_path: Path) -> None:
    settle.compare(dataclasses.replace(PLAN, recipes=("full",), seeds=5), PLAN, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"data": "synthetic:4"}, {"head": "cells"}, {"steps": {"full": 3}}, {"crop": 64}, {"batch": 4}, {"level": "mild"}],
)
def test_what_would_treat_rows_unlike_each_other_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    (name,) = changes
    with pytest.raises(OtherPlanError, match=f"was begun with {name} .*give another folder"):
        settle.compare(dataclasses.replace(PLAN, **changes), PLAN, tmp_path)  # type: ignore[arg-type]


def test_a_table_with_a_budget_keeps_the_scale_it_was_given(tmp_path: Path) -> None:
    begun = dataclasses.replace(PLAN, scale=0.25)
    assert settle.scale_of(PLAN, begun, FITTED, 100.0, tmp_path) == 0.25


@pytest.mark.parametrize(
    ("fitted", "scale", "budget"), [(FITTED, 1.0, 200.0), (FITTED, 1.0, None), (FITTED, 0.5, 100.0), (None, 1.0, 50.0)]
)
def test_another_time_or_scale_is_refused(
    tmp_path: Path, fitted: Budgeted | None, scale: float, budget: float | None
) -> None:
    begun = dataclasses.replace(PLAN, scale=0.25 if fitted else 1.0)
    with pytest.raises(OtherPlanError, match="rows must have equal steps"):
        settle.scale_of(dataclasses.replace(PLAN, scale=scale), begun, fitted, budget, tmp_path)


def test_a_damaged_budget_file_is_named(tmp_path: Path) -> None:
    (tmp_path / settle.BUDGET_NAME).write_text('{"budget": 1}')
    with pytest.raises(ValueError, match=r"budget\.json is damaged"):
        settle.budgeted(tmp_path)


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(TableInUseError, match="another process"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


def test_pictures_that_changed_since_are_named(tmp_path: Path) -> None:
    def experiment(seed: int) -> Experiment:
        parts = {role: squares(4, seed=number, name=role) for number, role in enumerate(data.ROLES)}
        return Experiment(name="e", **{**parts, "eval_new": squares(4, seed=seed, name="eval_new")})

    data.hold(tmp_path, data.digests(experiment(7)))
    data.hold(tmp_path, data.digests(experiment(7)))
    with pytest.raises(data.OtherPicturesError, match="labels of eval_new changed"):
        data.hold(tmp_path, data.digests(experiment(8)))


def test_halves_share_no_part_and_lose_no_picture() -> None:
    samples = tuple(
        dataclasses.replace(sample, part_id=f"part-{number // 3}") for number, sample in enumerate(squares(60))
    )
    whole = dataclasses.replace(squares(60), samples=samples)
    learned, judged = data.halves(whole)
    assert len(learned) + len(judged) == 60
    assert not {item.part_id for item in learned} & {item.part_id for item in judged}
    assert 0.15 < len(judged) / 60 < 0.65


def test_a_part_is_in_the_same_half_of_both_domains() -> None:
    first, second = squares(40, name="a"), squares(40, seed=5, name="b")
    parts = [
        dataclasses.replace(
            dataset, samples=tuple(dataclasses.replace(item, part_id=str(n)) for n, item in enumerate(dataset))
        )
        for dataset in (first, second)
    ]
    judged = [{item.part_id for item in data.halves(dataset)[1]} for dataset in parts]
    assert judged[0] == judged[1]


def test_two_annotated_sets_become_an_experiment_without_shared_parts(tmp_path: Path) -> None:
    for name, seed in (("old", 1), ("new", 2)):
        write_coco(tmp_path / name, squares(24, seed=seed))
    plan = TablePlan(data=f"coco:{tmp_path / 'old.json'}", new=f"coco:{tmp_path / 'new.json'}")
    experiment = data.experiment_of(plan)
    assert len(experiment.train) + len(experiment.eval_original) == 24
    assert {item.name for item in experiment.train} == {item.name for item in experiment.mentoring}
    assert not {item.name for item in experiment.train} & {item.name for item in experiment.eval_new}


def test_a_set_too_small_to_be_halved_is_refused_by_the_part_that_is_empty(tmp_path: Path) -> None:
    write_coco(tmp_path / "old", squares(1))
    plan = TablePlan(data=f"coco:{tmp_path / 'old.json'}", new=f"coco:{tmp_path / 'old.json'}")
    with pytest.raises(ValueError, match="no picture with a defect in the part"):
        data.experiment_of(plan)


def write_coco(place: Path, dataset: Dataset) -> None:
    """PLACE.json and its pictures."""
    images, annotations = [], []
    for number, sample in enumerate(dataset, 1):
        pixels = sample.picture.read()
        (place.parent / f"{sample.name}.png").write_bytes(encode_png(pixels))
        images.append(
            {"id": number, "file_name": f"{sample.name}.png", "width": pixels.shape[1], "height": pixels.shape[0]}
        )
        for (x1, y1, x2, y2), kind in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "bbox": box})
    categories = [{"id": kind + 1, "name": name} for kind, name in enumerate(dataset.classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    place.with_suffix(".json").write_text(json.dumps(document))
