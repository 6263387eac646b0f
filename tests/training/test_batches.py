"""Batches: half original, half new, and a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.lessons import lessons, squares, tiny

from training.data.augment import AugmentConfig, change_light
from training.data.batches import Batch, Sampler
from training.data.crops import CropConfig
from training.data.prepared import annotate_all
from training.losses.classification import UNKNOWN
from training.models.config import DetectorConfig


def sampler(config: DetectorConfig, *, seed: int = 0, new: bool = True, size: int = 6, healthy: float = 0.1) -> Sampler:
    return Sampler(
        config,
        annotate_all(squares(8), config),
        lessons(config).frames if new else (),
        size=size,
        seed=seed,
        crop=CropConfig(side=32),
        augment=AugmentConfig(),
        healthy_share=healthy,
    )


def equal(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in Batch.__slots__)


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_a_batch_is_half_original_half_new(head: str) -> None:
    config = tiny(head)
    batch = sampler(config).batch(0)
    assert batch.new.tolist() == [False] * 3 + [True] * 3
    areas = config.head_for(32, 32).count
    assert batch.images.shape == (6, 1, 32, 32)
    assert batch.states.shape == (6, areas, 2)
    assert batch.targets.shape == (6, areas, 4)
    known = (batch.states != UNKNOWN).any(dim=2).float().mean(dim=1)
    assert known[:3].min() > 0.5
    assert known[3:].max() < 0.2


def test_a_baseline_batch_is_all_original() -> None:
    assert not sampler(tiny(), new=False).batch(0).new.any()


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first, second = sampler(tiny()), sampler(tiny())
    for step in (5, 0, 5):
        assert equal(first.batch(step), second.batch(step))
    assert not equal(first.batch(0), first.batch(1))
    assert not equal(first.batch(0), sampler(tiny(), seed=1).batch(0))


def test_every_original_area_is_known_or_beside_a_defect() -> None:
    batch = sampler(tiny(), new=False, size=8).batch(3)
    assert ((batch.states != UNKNOWN).all(dim=2) | (batch.states == UNKNOWN).all(dim=2)).all()
    assert (batch.spoken == (batch.states == 1).any(dim=2)).all()


def test_the_share_of_healthy_pictures_is_what_was_asked_for() -> None:
    batches = [sampler(tiny(), new=False, healthy=1.0).batch(step) for step in range(5)]
    assert all((batch.states == 0).all() for batch in batches)


def test_nothing_original_is_refused() -> None:
    with pytest.raises(ValueError, match="no original pictures"):
        Sampler(tiny(), (), (), size=2, seed=0, crop=CropConfig(), augment=AugmentConfig())


def test_light_keeps_pixels_in_range_and_switched_off_changes_nothing() -> None:
    images = torch.tensor(np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)), dtype=torch.float32)
    off = AugmentConfig(contrast=0, brightness=0, gradient=0, noise=0, blur=0)
    torch.testing.assert_close(change_light(images, off, torch.Generator().manual_seed(0), deviation=50), images)
    strong = AugmentConfig(contrast=0.9, brightness=0.9, gradient=0.9, noise=0.9, blur=0.9)
    changed = change_light(images, strong, torch.Generator().manual_seed(0), deviation=50)
    assert 0 <= changed.min() <= changed.max() <= 255
    assert not torch.equal(changed, images)


def test_an_impossible_strength_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"augment\.noise is 1\.5"):
        AugmentConfig(noise=1.5)
    with pytest.raises(ValueError, match=r"augment\.turn is 'round'"):
        AugmentConfig(turn="round")
