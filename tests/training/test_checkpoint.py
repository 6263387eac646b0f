"""Checkpoints come back as they were, can be read by a person, and refuse what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from support.lessons import tiny

from training.checkpoint import Lineage, Metadata, load, save
from training.models.detector import Detector


def saved(folder: Path, head: str = "anchors") -> Path:
    torch.manual_seed(0)
    config = tiny(head)
    metadata = Metadata(
        config=config,
        recipe="baseline",
        training={"steps": 3},
        lineage=Lineage(seed=7, feedback_events=2),
        thresholds={"dark": 0.4, "bright": 0.6},
        figures={"original": {"map_33": 0.5}},
    )
    return save(folder, Detector(config), metadata)


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_what_is_saved_comes_back(tmp_path: Path, head: str) -> None:
    path = saved(tmp_path, head)
    detector, metadata = load(path)
    assert metadata.config == tiny(head)
    assert metadata.lineage == Lineage(seed=7, feedback_events=2)
    assert metadata.thresholds == {"dark": 0.4, "bright": 0.6}
    assert not detector.training
    torch.manual_seed(0)
    original = Detector(tiny(head)).eval()
    images = torch.rand((2, 1, 64, 64)) * 255
    with torch.no_grad():
        assert torch.equal(detector(images).logits, original(images).logits)


def test_a_person_can_read_the_header(tmp_path: Path) -> None:
    with safetensors.safe_open(saved(tmp_path), framework="pt") as file:
        document = json.loads(file.metadata()["lineside"])
    assert document["recipe"] == "baseline"
    assert document["config"]["classes"] == ["dark", "bright"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    assert saved(tmp_path / "a").read_bytes() == saved(tmp_path / "b").read_bytes()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        load(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a safetensors file"):
        load(path)


def test_somebody_elses_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="written by lineside train"):
        load(path)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path) -> None:
    config = tiny()
    path = save(tmp_path, Detector(tiny("cells")), Metadata(config=config))
    with pytest.raises(ValueError, match="do not fit the network"):
        load(path)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    config = tiny()
    detector = Detector(config)
    with torch.no_grad():
        detector.classify.weight[0, 0] = float("nan")
    path = save(tmp_path, detector, Metadata(config=config))
    with pytest.raises(ValueError, match="NaN"):
        load(path)
