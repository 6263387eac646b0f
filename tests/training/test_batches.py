"""Batches: half original, half new, and a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.lessons import lesson, lessons, squares, tiny

from training.data.augment import AugmentConfig, change_light
from training.data.batches import Batch, Sampler
from training.data.camera import Camera
from training.data.crops import CropConfig
from training.data.prepared import annotate_all
from training.losses.classification import ABSENT, UNKNOWN
from training.models.config import DetectorConfig
from training.processes import Share


def sampler(
    config: DetectorConfig,
    *,
    seed: int = 0,
    new: bool = True,
    size: int = 6,
    healthy: float = 0.1,
    camera: Camera | None = None,
    camera_share: float = 0.0,
) -> Sampler:
    return Sampler(
        config,
        annotate_all(squares(8), config),
        lessons(config).frames if new else (),
        size=size,
        seed=seed,
        crop=CropConfig(side=32),
        augment=AugmentConfig(),
        healthy_share=healthy,
        camera=camera,
        camera_share=camera_share,
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


@pytest.mark.parametrize("share", [None, 0.0, 0.25, 1.0])
def test_flagged_frames_are_drawn_as_often_as_asked_for(share: float | None) -> None:
    config = tiny()
    areas = range(config.head_for(config.width, config.height).count)
    flagged = lesson(config, {(area, kind): ABSENT for area in areas for kind in range(2)})
    one = Sampler(
        config,
        annotate_all(squares(8), config),
        (*lessons(config, 2).frames, flagged, flagged),
        size=16,
        seed=0,
        crop=CropConfig(side=32),
        augment=AugmentConfig(),
        healthy_new=share,
    )
    new = torch.cat([one.batch(step).states[8:] for step in range(20)])
    drawn = float((new == ABSENT).all(dim=2).all(dim=1).float().mean())
    # As chance gives: two of four frames.
    assert drawn == pytest.approx(0.5 if share is None else share, abs=0.1 if share in (None, 0.25) else 0)


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


def test_only_original_pictures_are_shown_as_the_new_camera_takes_them() -> None:
    config = tiny()
    camera = Camera(black=0, white=255, new_black=100, new_white=101)
    plain, all_shown, half = (sampler(config, camera=camera, camera_share=share).batch(0) for share in (0.0, 1.0, 0.5))
    without = sampler(config).batch(0)
    assert equal(plain, without)
    assert torch.equal(all_shown.unlit[3:], plain.unlit[3:])
    # The new camera has hardly any contrast.
    assert (all_shown.unlit[:3].std(dim=(1, 2, 3)) < 1).all()
    assert (plain.unlit[:3].std(dim=(1, 2, 3)) > 1).all()
    assert torch.equal(all_shown.states, plain.states)
    shown = [sampler(config, camera=camera, camera_share=0.5).batch(step).unlit[:3] for step in range(40)]
    share = torch.stack([(pictures.std(dim=(1, 2, 3)) < 1).float() for pictures in shown]).mean()
    assert 0.35 < float(share) < 0.65
    assert equal(half, sampler(config, camera=camera, camera_share=0.5).batch(0))


def test_a_share_of_a_batch_has_the_same_camera_as_the_whole() -> None:
    camera = Camera(black=0, white=255, new_black=40, new_white=180, shade=0.1, blur=0.7, noise=5.0)
    one = sampler(tiny(), camera=camera, camera_share=0.5)
    whole = one.batch(3)
    for rank in range(2):
        torch.testing.assert_close(one.batch(3, Share(rank=rank, count=2)).images, whole.images[rank::2])
