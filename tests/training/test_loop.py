"""The loop: same seed, same weights; a resumed run equals an uninterrupted one bit for bit; what misses is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.lessons import lessons, quick, squares, tiny

from lineside.boxes import as_boxes
from training.checkpoint import load
from training.data.mentoring import MentoringData
from training.loop import DivergedError, NothingToLearnError, Progress, RunOptions, train
from training.models.detector import Detector


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(path).detector.state_dict()


def equal(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("head", ["anchors", "cells"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, head: str, precision: str) -> None:
    config = quick(tiny(head), new_labels="mentored", recipe="mentored", steps=8, precision=precision)
    data, said = squares(), lessons(config.detector)
    whole = train(config, data, said, tmp_path / "whole")
    broken = tmp_path / "broken"
    train(config, data, said, broken, options=RunOptions(save_every=3, stop_after=5))
    resumed = train(config, data, said, broken, options=RunOptions(save_every=3, resume=True))
    assert equal(whole, resumed)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path: Path) -> None:
    config = quick(tiny())
    data = squares()
    first = train(config, data, None, tmp_path / "first")
    second = train(config, data, None, tmp_path / "second")
    other = train(dataclasses.replace(config, seed=1), data, None, tmp_path / "other")
    assert equal(first, second)
    assert not equal(first, other)


def test_the_state_of_another_run_is_refused(tmp_path: Path) -> None:
    config = quick(tiny())
    train(config, squares(), None, tmp_path, options=RunOptions(save_every=2, stop_after=4))
    with pytest.raises(ValueError, match="another configuration or data"):
        train(dataclasses.replace(config, seed=5), squares(), None, tmp_path, options=RunOptions(resume=True))


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    config = quick(tiny())
    train(config, squares(), None, tmp_path, options=RunOptions(save_every=2, stop_after=4))
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ValueError, match="train without --resume"):
        train(config, squares(), None, tmp_path, options=RunOptions(resume=True))


def test_a_state_half_written_by_a_killed_run_is_cleared_away(tmp_path: Path) -> None:
    leftover = tmp_path / ".state.safetensors.4711.tmp"
    leftover.write_bytes(b"half")
    train(quick(tiny(), steps=2), squares(), None, tmp_path, options=RunOptions(save_every=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.safetensors",
        "history.jsonl",
        "state.safetensors",
    ]


def test_the_state_of_a_run_with_another_parent_is_refused(tmp_path: Path) -> None:
    config = quick(tiny(), recipe="transfer", from_parent=True, steps=2)
    parents = [load(train(quick(tiny(), seed=seed), squares(), None, tmp_path / str(seed))) for seed in (0, 1)]
    out = tmp_path / "child"
    train(config, squares(), None, out, parent=parents[0], options=RunOptions(save_every=1, stop_after=1))
    with pytest.raises(ValueError, match="train without --resume"):
        train(config, squares(), None, out, parent=parents[1], options=RunOptions(resume=True))


def test_transfer_starts_from_the_parents_weights(tmp_path: Path) -> None:
    config = quick(tiny())
    parent = load(train(config, squares(), None, tmp_path / "parent"))
    still = dataclasses.replace(
        config,
        recipe="transfer",
        from_parent=True,
        new_labels="mentored",
        steps=1,
        optimiser=dataclasses.replace(config.optimiser, learning_rate=1e-12, average=0.0),
    )
    child = load(train(still, squares(), lessons(config.detector), tmp_path / "child", parent=parent))
    for name, value in parent.detector.named_parameters():
        torch.testing.assert_close(dict(child.detector.named_parameters())[name], value, atol=1e-6, rtol=0)


def test_the_checkpoint_says_what_it_learned_from(tmp_path: Path) -> None:
    config = quick(tiny(), recipe="mentored", new_labels="mentored", seed=3)
    data, said = squares(), lessons(config.detector)
    metadata = load(train(config, data, said, tmp_path, parent_digest="sha256:" + "a" * 64)).metadata
    assert metadata.recipe == "mentored"
    assert metadata.training["objective"]["weak"] == 1.0
    assert metadata.lineage.data_digest == data.digest()
    assert metadata.lineage.mentoring_digest == said.digest
    assert metadata.lineage.feedback_events == 8
    assert metadata.lineage.parent_digest == "sha256:" + "a" * 64
    assert metadata.lineage.seed == 3
    assert metadata.figures["run"]["steps"] == 6


def test_progress_reaches_the_end_and_is_kept_as_history(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(quick(tiny(), steps=45), squares(), None, tmp_path, on_progress=seen.append)
    trained = [entry for entry in seen if entry.stage == "training"]
    assert [entry.done for entry in trained] == [20, 40, 45]
    assert trained[-1].seconds_left == 0
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["done"] for line in lines] == [20, 40, 45]


def test_a_network_learns_what_is_easy(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(quick(tiny(), steps=120, batch=8), squares(16), None, tmp_path, on_progress=seen.append)
    trained = [entry.loss for entry in seen if entry.stage == "training"]
    assert trained[-1] < trained[0] / 3


@pytest.mark.parametrize(
    ("changes", "new", "message"),
    [
        ({"new_labels": "mentored", "recipe": "mentored"}, None, "--log"),
        ({"from_parent": True, "recipe": "transfer"}, None, "--parent"),
        ({"new_labels": "full", "recipe": "full"}, None, "fully annotated"),
        ({"camera": 0.5, "recipe": "camera"}, None, "pictures of the new domain"),
    ],
)
def test_what_a_recipe_misses_is_named(
    tmp_path: Path, changes: dict[str, object], new: MentoringData | None, message: str
) -> None:
    with pytest.raises(NothingToLearnError, match=message):
        train(quick(tiny(), **changes), squares(), new, tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_camera_is_measured_on_pictures_without_labels(tmp_path: Path) -> None:
    original, new = squares(), squares(6, seed=5, grey=60)
    unlabelled = dataclasses.replace(
        new,
        samples=tuple(
            dataclasses.replace(sample, boxes=as_boxes([]), classes=np.zeros(0, np.int32)) for sample in new.samples
        ),
    )
    config = quick(tiny(), camera=0.5, steps=3)
    first = train(config, original, new, tmp_path / "labelled")
    assert equal(first, train(config, original, unlabelled, tmp_path / "unlabelled"))
    assert not equal(first, train(dataclasses.replace(config, camera=0.0), original, new, tmp_path / "without"))


def test_a_log_that_teaches_nothing_says_why(tmp_path: Path) -> None:
    config = quick(tiny(), new_labels="mentored")
    empty = dataclasses.replace(lessons(config.detector), frames=(), skipped=("3 x the operator was unsure",))
    with pytest.raises(NothingToLearnError, match="3 x the operator was unsure"):
        train(config, squares(), empty, tmp_path)


def test_a_run_that_diverges_stops_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    config = quick(tiny(), steps=40)
    wild = dataclasses.replace(config, optimiser=dataclasses.replace(config.optimiser, learning_rate=1e30))
    with pytest.raises(DivergedError, match="lower optimiser"):
        train(wild, squares(), None, tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_data_of_other_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classes"):
        train(quick(tiny(classes=("a", "b"))), squares(), None, tmp_path)


def test_answers_in_evaluation_do_not_depend_on_the_rest_of_the_batch(tmp_path: Path) -> None:
    detector: Detector = load(train(quick(tiny()), squares(), None, tmp_path)).detector
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((4, 1, 64, 64), generator=generator) * 255
    with torch.no_grad():
        alone = torch.cat([detector(images[number : number + 1]).logits for number in range(4)])
        together = detector(images).logits
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
