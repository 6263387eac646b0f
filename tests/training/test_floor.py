"""The floor of the original domain: held-out parts are watched, and nothing below the floor is saved."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import quick, squares, tiny

from lineside.boxes import as_boxes
from training.checkpoint import Checkpoint, load
from training.config import TrainConfig
from training.data.held_out import hold_out
from training.data.sample import ArrayPicture, Dataset, Sample
from training.evaluate.figures import evaluate_predictor
from training.evaluate.predictor import Predictor
from training.floor import FloorConfig, FloorWatch
from training.loop import RunOptions, train
from training.material import Material

# One worker runs them all, so that what they share is made once.
pytestmark = pytest.mark.xdist_group("floor")

figures = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(figures=figures, parent=st.floats(0, 1), fall=st.floats(0, 0.5), patience=st.integers(1, 5))
def test_what_is_saved_is_the_last_that_stood_and_the_run_ends_after_so_many_that_did_not(
    figures: list[float], parent: float, fall: float, patience: int
) -> None:
    watch = FloorWatch(config=FloorConfig(fall=fall, every=1, patience=patience), parent=parent)
    watch.note(0, parent)
    kept = 0
    for step, figure in enumerate(figures, 1):
        if watch.note(step, figure):
            kept = step
        standing = [0, *(number for number, value in enumerate(figures[:step], 1) if value >= parent - fall)]
        assert kept == watch.above == standing[-1]
        assert watch.stopped == (step - standing[-1] >= patience)
        assert watch.keeps_latest == (standing[-1] == step)


@settings(deadline=None)
@given(figures=figures)
def test_without_a_parent_nothing_is_below(figures: list[float]) -> None:
    watch = FloorWatch(config=FloorConfig(patience=1), parent=None)
    assert all(watch.note(step, figure) for step, figure in enumerate(figures))
    assert not watch.stopped


def test_a_run_that_begins_in_noise_is_not_stopped_before_it_stood() -> None:
    watch = FloorWatch(config=FloorConfig(fall=0.1, patience=2), parent=0.9)
    for step, figure in enumerate([0.1, 0.3, 0.5, 0.7]):
        assert not watch.note(step, figure)
        assert not watch.stopped
        assert watch.keeps_latest
    assert watch.note(4, 0.8)
    watch.note(5, 0.79)
    watch.note(6, 0.79)
    assert watch.stopped
    assert watch.above == 4


@settings(deadline=None)
@given(figures=figures, cut=st.integers(0, 40))
def test_a_watch_that_is_put_back_goes_on_as_it_was(figures: list[float], cut: int) -> None:
    config = FloorConfig(patience=3)
    one, two = FloorWatch(config=config, parent=0.5), FloorWatch(config=config, parent=0.5)
    for step, figure in enumerate(figures):
        if step == cut:
            put_back = FloorWatch(config=config, parent=None)
            put_back.put_back(json.loads(json.dumps(two.facts())))
            two = put_back
        assert one.note(step, figure) == two.note(step, figure)
    assert one == two


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fall": 1.5}, "floor.fall is 1.5"),
        ({"every": 0}, "floor.every is 0"),
        ({"patience": 0}, "patience 0"),
        ({"share": 0.6}, "floor.share is 0.6"),
    ],
)
def test_an_impossible_floor_is_refused_by_name(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FloorConfig(**changes)  # type: ignore[arg-type]


def dataset(parts: list[tuple[str, bool]]) -> Dataset:
    picture = ArrayPicture(pixels=np.zeros((8, 8), np.uint8))
    samples = [
        Sample(
            name=str(number),
            picture=picture,
            boxes=as_boxes([] if healthy else [(1, 1, 4, 4)]),
            classes=np.zeros(0 if healthy else 1, np.int32),
            part_id=part,
        )
        for number, (part, healthy) in enumerate(parts)
    ]
    return Dataset(name="parts", classes=("dark",), samples=tuple(samples))


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(["", *"abcdefgh"]), st.booleans()), min_size=2, max_size=40),
    share=st.floats(0.05, 0.5),
    seed=st.integers(0, 9),
)
def test_no_part_is_on_both_sides_and_order_changes_nothing(
    parts: list[tuple[str, bool]], share: float, seed: int
) -> None:
    whole = dataset(parts)
    try:
        rest, held = hold_out(whole, share)
    except ValueError as error:
        assert "too few" in str(error)  # noqa: PT017
        return
    names = [{sample.name for sample in side} for side in (rest, held)]
    assert names[0] | names[1] == {sample.name for sample in whole}
    assert not names[0] & names[1]
    assert not {sample.part_id for sample in rest if sample.part_id} & {sample.part_id for sample in held}
    assert len(held.defective)
    assert len(rest.defective)
    assert len(held) <= len(rest)
    shuffled = list(whole.samples)
    random.Random(seed).shuffle(shuffled)
    again = hold_out(dataclasses.replace(whole, samples=tuple(shuffled)), share)[1]
    assert {sample.name for sample in again} == names[1]


def test_about_the_share_is_held_out_where_parts_are_many() -> None:
    rest, held = hold_out(dataset([(f"part {number // 2}", number % 4 == 3) for number in range(400)]), 0.15)
    assert len(held) == pytest.approx(60, abs=2)
    assert len(rest) + len(held) == 400


@pytest.mark.parametrize("parts", [[("a", False)] * 5, [("a", False), ("b", True)], [("a", True), ("b", True)]])
def test_too_few_parts_are_refused(parts: list[tuple[str, bool]]) -> None:
    with pytest.raises(ValueError, match="train without --floor"):
        hold_out(dataset(parts), 0.2)


def misled(data: Dataset) -> Dataset:
    """The same squares, each called by the other class: whoever learns this forgets the original."""
    samples = [
        dataclasses.replace(item, name=f"misled-{item.name}", classes=(1 - item.classes).astype(np.int32))
        for item in data
    ]
    return dataclasses.replace(data, name="misled", samples=tuple(samples))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    config = quick(tiny(), steps=150, batch=8, floor=FloorConfig(every=50, share=0.25))
    return load(train(config, squares(32), None, tmp_path_factory.mktemp("parent")))


def forgetting(**floor: float) -> TrainConfig:
    config = quick(
        tiny(),
        recipe="full",
        new_labels="full",
        from_parent=True,
        steps=80,
        batch=8,
        floor=FloorConfig(every=8, share=0.25, **floor),  # type: ignore[arg-type]
    )
    weak = dataclasses.replace(config.objective, weak=20.0)
    return dataclasses.replace(config, objective=weak)


def watched(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [(line["done"], line["watched"]) for line in lines if line["watched"] is not None]


def carried_out(folder: Path, parent: Checkpoint, config: TrainConfig, **options: object) -> Checkpoint:
    data = squares(32)
    path = train(
        config,
        data,
        misled(data),
        folder,
        parent=parent,
        options=RunOptions(**options),  # type: ignore[arg-type]
    )
    return load(path)


def test_a_run_that_forgets_is_stopped_and_the_last_weights_that_stood_are_saved(
    tmp_path: Path, parent: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    config = forgetting(fall=0.05, patience=2)
    child = carried_out(tmp_path, parent, config)
    facts = child.metadata.figures["run"]["floor"]
    assert facts["parent"] > 0.5
    curve = watched(tmp_path)
    floor = facts["parent"] - 0.05
    standing = [(0, facts["parent"]), *((step, figure) for step, figure in curve if figure >= floor)]
    assert (facts["above"], facts["figure"]) == standing[-1]
    # It ended at the second measurement in a row below the floor, long before its last step.
    assert [step for step, _ in curve][-2:] == [facts["above"] + 8, facts["above"] + 16]
    assert child.metadata.figures["run"]["steps"] == curve[-1][0] < 80
    assert "fell below its floor" in caplog.text
    # The weights that were saved have exactly the figure that was noted.
    pictures = Material.of(config, squares(32), misled(squares(32)), parent).watched
    assert pictures is not None
    again = evaluate_predictor(Predictor(child.detector), pictures, domain="original").map_33
    assert again == pytest.approx(facts["figure"], abs=1e-9)


def test_a_resumed_run_with_a_floor_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, parent: Checkpoint) -> None:
    # Twenty-one lies between two measurements, and after the first one below the floor.
    config = dataclasses.replace(forgetting(fall=0.05, patience=3), steps=40)
    whole = carried_out(tmp_path / "whole", parent, config)
    broken = tmp_path / "broken"
    carried_out(broken, parent, config, save_every=7, stop_after=21)
    resumed = carried_out(broken, parent, config, save_every=7, resume=True)
    assert whole.metadata.figures["run"]["floor"] == resumed.metadata.figures["run"]["floor"]
    assert watched(tmp_path / "whole") == watched(broken)
    theirs = resumed.detector.state_dict()
    assert all((value == theirs[name]).all() for name, value in whole.detector.state_dict().items())


def test_what_is_watched_is_not_trained_on(parent: Checkpoint) -> None:
    material = Material.of(forgetting(), squares(32), misled(squares(32)), parent)
    assert material.watched is not None
    names = {sample.name for sample in material.original}
    assert not names & {sample.name for sample in material.watched}
    assert len(names) + len(material.watched) == 32
    assert material.lineage("").data_digest == material.original.digest()
