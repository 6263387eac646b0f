"""Crops: labels and masks move with the pixels, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import SIDE, lesson, tiny

from lineside.assign import assign
from lineside.boxes import as_boxes
from training.data.augment import AugmentConfig, Turn, draw_turn
from training.data.crops import CropConfig, Cropper
from training.data.prepared import Annotated, Mentored
from training.losses.classification import ABSENT, PRESENT, UNKNOWN

CELLS = SIDE // 8
SHAPES = 3


def coded(head: str) -> Mentored:
    """Every cell of 8 x 8 pixels holds its own number as grey level; the states are a code of (cell, shape)."""
    config = tiny(head)
    pixels = np.repeat(np.repeat(np.arange(CELLS * CELLS, dtype=np.uint8).reshape(CELLS, CELLS), 8, 0), 8, 1)
    blank = lesson(config, {})
    shapes = config.areas_per_cell
    area = np.arange(CELLS * CELLS * shapes)
    states = np.stack([(area * 7 + area // shapes) % 3 - 1, (area * 5 + area // shapes) % 3 - 1], axis=1)
    corner = np.stack([area % 5, area % 7], axis=1) + (area // shapes % CELLS * 8)[:, None]
    return Mentored(
        pixels=pixels[:, :, None],
        states=states.astype(np.int8),
        spoken=(area % 2).astype(bool),
        targets=np.concatenate([corner, corner + 3], axis=1).astype(np.float32),
        taught=blank.taught,
        weights=(states[:, 0] + 2).astype(np.float32),
    )


@pytest.mark.parametrize("head", ["anchors", "cells"])
@given(seed=st.integers(0, 10_000), side=st.sampled_from([16, 32, 64]))
@settings(max_examples=60, deadline=None)
def test_each_area_of_a_mentored_crop_keeps_what_was_said_of_it(head: str, seed: int, side: int) -> None:
    config = tiny(head)
    cropper = Cropper(config, CropConfig(side=side), AugmentConfig())
    item = coded(head)
    crop = cropper.mentored(item, np.random.default_rng(seed))
    cells = crop.pixels[4::8, 4::8, 0].ravel()
    assert np.array_equal(np.repeat(np.repeat(cells.reshape(side // 8, -1), 8, 0), 8, 1), crop.pixels[:, :, 0])
    shapes = config.areas_per_cell
    source = cells.astype(int)[:, None] * shapes
    upright = source + np.arange(shapes)
    # Turned on its side, the upright and the lying anchor change places.
    turned = source + np.array([0, 2, 1][:shapes])
    matches = [
        np.array_equal(crop.states, item.states[order.ravel()])
        and np.array_equal(crop.spoken, item.spoken[order.ravel()])
        and item.weights is not None
        and np.array_equal(crop.weights, item.weights[order.ravel()])
        for order in (upright, turned)
    ]
    assert any(matches)


@given(seed=st.integers(0, 10_000), x=st.integers(0, 50), y=st.integers(0, 50), width=st.integers(6, 14))
@settings(max_examples=80, deadline=None)
def test_boxes_of_an_annotated_crop_stay_on_their_pixels(seed: int, x: int, y: int, width: int) -> None:
    pixels = np.zeros((SIDE, SIDE, 1), np.uint8)
    pixels[y : y + 8, x : x + width] = 255
    item = Annotated(
        pixels=pixels,
        boxes=as_boxes([(x, y, min(x + width, SIDE), min(y + 8, SIDE))]),
        classes=np.array([1], np.int32),
        inside=(0, 0, SIDE, SIDE),
    )
    config = tiny()
    crop = Cropper(config, CropConfig(side=32), AugmentConfig()).annotated(item, np.random.default_rng(seed))
    rows, columns = np.nonzero(crop.pixels[:, :, 0] > 127)
    if crop.taught.any():
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(crop.targets[crop.taught] - seen).max() <= 1.0
        assert (crop.states[crop.taught] == [ABSENT, PRESENT]).all()
    elif len(rows) == 0:
        assert (crop.states == ABSENT).all()
    else:
        assert (crop.states == UNKNOWN).any() or len(rows) < 4


def test_a_whole_picture_gets_the_assigners_labels() -> None:
    config = tiny()
    boxes = as_boxes([(20, 20, 32, 32), (40, 8, 50, 28)])
    item = Annotated(
        pixels=np.zeros((SIDE, SIDE, 1), np.uint8),
        boxes=boxes,
        classes=np.array([0, 1], np.int32),
        inside=(0, 0, SIDE, SIDE),
    )
    still = AugmentConfig(turn="none", scale=0)
    crop = Cropper(config, CropConfig(side=SIDE, focus=0), still).annotated(item, np.random.default_rng(0))
    expected = assign(config.head_for(SIDE, SIDE), boxes)
    assert np.array_equal(np.flatnonzero(crop.taught), expected.areas)
    assert np.array_equal(np.flatnonzero((crop.states == UNKNOWN).all(axis=1)), expected.ignored)
    assert np.array_equal((crop.states == PRESENT).argmax(axis=1)[expected.areas], expected.boxes)


def test_the_areas_of_a_box_take_its_weight_and_the_others_one() -> None:
    config = tiny()
    item = Annotated(
        pixels=np.zeros((SIDE, SIDE, 1), np.uint8),
        boxes=as_boxes([(4, 4, 16, 16), (44, 44, 56, 56)]),
        classes=np.array([0, 1], np.int32),
        inside=(0, 0, SIDE, SIDE),
        weights=np.array([0.5, 3.0], np.float32),
    )
    still = AugmentConfig(turn="none", scale=0)
    crop = Cropper(config, CropConfig(side=SIDE, focus=0), still).annotated(item, np.random.default_rng(0))
    assert set(crop.weights[(crop.states[:, 0] == PRESENT)].tolist()) == {0.5}
    assert set(crop.weights[(crop.states[:, 1] == PRESENT)].tolist()) == {3.0}
    assert set(crop.weights[~crop.spoken].tolist()) == {1.0}


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Annotated(
            pixels=np.zeros((SIDE, SIDE, 1), np.uint8),
            boxes=as_boxes([(4, 4, 16, 16), (44, 44, 56, 56)]),
            classes=np.array([0, 1], np.int32),
            inside=(0, 0, SIDE, SIDE),
            weights=np.array(weights, np.float32),
        )


def test_most_mentored_crops_hold_an_answer() -> None:
    config = tiny()
    item = lesson(config, {(5, 0): ABSENT})
    cropper = Cropper(config, CropConfig(side=16, focus=1.0), AugmentConfig())
    generator = np.random.default_rng(0)
    assert all(cropper.mentored(item, generator).spoken.any() for _ in range(30))


def test_a_head_without_turned_shapes_is_never_turned_on_its_side() -> None:
    config = tiny(shapes=((12.0, 12.0), (10.0, 20.0)))
    pixels = np.zeros((SIDE, SIDE, 1), np.uint8)
    pixels[:, ::2] = 255
    item = Mentored(**{**fields(lesson(config, {})), "pixels": pixels})
    cropper = Cropper(config, CropConfig(side=32), AugmentConfig())
    for seed in range(30):
        crop = cropper.mentored(item, np.random.default_rng(seed))
        assert (crop.pixels == crop.pixels[:1]).all()


def fields(item: Mentored) -> dict[str, object]:
    return {name: getattr(item, name) for name in Mentored.__slots__}


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_a_turn_moves_boxes_as_it_moves_pixels(transpose: bool, mirror_x: bool, mirror_y: bool, seed: int) -> None:
    turn = Turn(transpose=transpose, mirror_x=mirror_x, mirror_y=mirror_y)
    generator = np.random.default_rng(seed)
    x1, y1 = generator.integers(0, 20, 2)
    x2, y2 = x1 + generator.integers(1, 10), y1 + generator.integers(1, 10)
    pixels = np.zeros((32, 32), np.uint8)
    pixels[y1:y2, x1:x2] = 1
    rows, columns = np.nonzero(turn.pixels(pixels))
    (box,) = turn.boxes(as_boxes([(x1, y1, x2, y2)]), 32)
    assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(("kind", "count"), [("all", 8), ("mirror", 4), ("none", 1)])
def test_every_turn_of_a_kind_is_drawn(kind: str, count: int) -> None:
    generator = np.random.default_rng(0)
    assert len({draw_turn(generator, kind) for _ in range(200)}) == count
