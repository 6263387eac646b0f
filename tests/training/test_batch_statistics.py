"""Batch norm between two domains: training counts both together, evaluation counts nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import lessons, quick, squares, tiny
from torch import nn

from training.checkpoint import load
from training.config import TrainConfig
from training.data.batches import Batch
from training.learner import Learner
from training.loop import train
from training.material import Material
from training.models.detector import Detector


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    config = quick(tiny(), new_labels="mentored")
    path = train(config, squares(), lessons(config.detector), tmp_path_factory.mktemp("run"))
    return load(path).detector


def pictures() -> torch.Tensor:
    """(6, 1, 64, 64): three of the original domain, three dark ones of another."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((6, 1, 64, 64), generator=generator) * 255
    images[3:] = images[3:] * 0.2
    return images


@settings(deadline=None, max_examples=30)
@given(chosen=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(detector: Detector, chosen: list[int]) -> None:
    images = pictures()
    with torch.no_grad():
        alone = {number: detector(images[number : number + 1]) for number in set(chosen)}
        together = detector(images[chosen])
    assert together.boxes is not None
    for place, number in enumerate(chosen):
        torch.testing.assert_close(together.logits[place], alone[number].logits[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.boxes[place], alone[number].boxes[0], atol=1e-3, rtol=1e-5)


def test_evaluation_remembers_nothing(detector: Detector) -> None:
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    with torch.no_grad():
        detector(pictures())
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


def test_in_training_the_same_answer_depends_on_the_other_domain(detector: Detector) -> None:
    """The control: without it the test above might pass for a network that has no batch norm."""
    network = Detector(detector.config)
    network.load_state_dict(detector.state_dict())
    network.train()
    images = pictures()
    with torch.no_grad():
        assert not torch.allclose(network(images).logits[:3], network(images[:3]).logits, atol=1e-2)


def stepped() -> tuple[TrainConfig, Learner, Batch]:
    config = quick(tiny(), new_labels="mentored", batch=6)
    dark = lessons(config.detector)
    frames = tuple(dataclasses.replace(frame, pixels=frame.pixels // 4) for frame in dark.frames)
    material = Material.of(config, squares(), dataclasses.replace(dark, frames=frames), None)
    return config, Learner(config, None), material.sampler(lambda _: None).batch(0)


def test_a_training_step_counts_both_domains_as_one_batch() -> None:
    _, learner, batch = stepped()
    network = learner.network
    first = next(part for part in network.modules() if isinstance(part, nn.BatchNorm2d))
    convolution = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
    with torch.no_grad():
        inputs = (batch.images - network.mean) / network.deviation
        maps = convolution(nn.functional.pixel_unshuffle(inputs, network.config.backbone.stem))
    learner.step(batch, 0, 10)
    assert batch.new.tolist() == [False] * 3 + [True] * 3
    # From 0, a tenth of the way to the mean; over both domains, not over either or over one after the other.
    torch.testing.assert_close(first.running_mean, 0.1 * maps.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
    spread = 0.9 + 0.1 * maps.var(dim=(0, 2, 3))
    torch.testing.assert_close(first.running_var, spread, atol=1e-4, rtol=1e-4)
    for side in (maps[~batch.new], maps[batch.new]):
        assert not torch.allclose(first.running_mean, 0.1 * side.mean(dim=(0, 2, 3)), atol=1e-3)
    assert first.num_batches_tracked == 1


def test_every_norm_is_passed_once_a_step() -> None:
    """Two passes a step, one for each domain, would leave the statistics of whichever came last."""
    _, learner, batch = stepped()
    for step in range(3):
        learner.step(batch, step, 10)
    norms = [part for part in learner.network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert [int(norm.num_batches_tracked) for norm in norms] == [3] * len(norms)


def test_a_checkpoint_holds_the_averaged_statistics(tmp_path: Path) -> None:
    config = quick(tiny(), steps=3)
    learner = Learner(config, None)
    sampler = Material.of(config, squares(), None, None).sampler(lambda _: None)
    for step in range(3):
        learner.step(sampler.batch(step), step, 3)
    saved = load(train(config, squares(), None, tmp_path)).detector.state_dict()
    assert all(torch.equal(value, learner.average.values[name]) for name, value in saved.items())
    name = next(name for name in saved if name.endswith("running_mean"))
    assert not torch.equal(saved[name], learner.network.state_dict()[name])
