"""Pixel masks become cells, and move with the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import SIDE, tiny

from lineside.areas import CellGrid
from lineside.boxes import as_boxes
from training.data.augment import AugmentConfig
from training.data.crops import CropConfig, Cropper
from training.data.masks import assign_mask, cell_cover
from training.data.prepared import Annotated
from training.losses.classification import ABSENT, PRESENT, UNKNOWN

GRID = CellGrid(rows=4, columns=4, stride=8)


def test_a_crack_is_its_pixels_and_not_its_box() -> None:
    mask = np.zeros((32, 32), np.uint8)
    # A diagonal of 8 x 8 blocks, and one of 2 x 2 pixels in the last cell (4 of 64 pixels).
    for step in range(3):
        mask[8 * step : 8 * step + 8, 8 * step : 8 * step + 8] = 255
    mask[24:26, 24:26] = 255
    cover = cell_cover(mask, GRID)
    assert cover[[0, 5, 10]].tolist() == [1, 1, 1]
    assert cover[15] == pytest.approx(4 / 64)
    assigned = assign_mask(GRID, cover, as_boxes([(0, 0, 26, 26)]))
    assert assigned.areas.tolist() == [0, 5, 10]
    assert assigned.ignored.tolist() == [15]


def test_the_thinnest_defect_still_has_a_cell() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[9, 9] = 255
    assigned = assign_mask(GRID, cell_cover(mask, GRID), as_boxes([(9, 9, 10, 10)]))
    assert assigned.areas.tolist() == [5]


def test_two_defects_keep_their_own_cells() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[0:8, 0:16] = 255
    mask[8:16, 0:8] = 255
    boxes = as_boxes([(0, 0, 16, 8), (0, 8, 8, 16)])
    assigned = assign_mask(GRID, cell_cover(mask, GRID), boxes)
    assert dict(zip(assigned.areas.tolist(), assigned.boxes.tolist(), strict=True)) == {0: 0, 1: 0, 4: 1}


@given(seed=st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_a_mask_moves_with_its_picture(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y = (int(value) for value in generator.integers(0, 40, 2))
    mask[y : y + 20, x : x + 10] = 255
    item = Annotated(
        pixels=mask[:, :, None],
        boxes=as_boxes([(x, y, x + 10, y + 20)]),
        classes=np.array([0], np.int32),
        inside=(0, 0, SIDE, SIDE),
        mask=mask,
    )
    crop = Cropper(tiny("cells"), CropConfig(side=32), AugmentConfig()).annotated(item, generator)
    cover = cell_cover(crop.pixels[:, :, 0], GRID)
    if crop.spoken.any():
        assert (crop.states[cover >= 0.25, 0] == PRESENT).all()
        assert (crop.states[cover == 0, 0] == ABSENT).all()
        assert not (crop.states[cover > 0.02] == ABSENT).all(axis=1).any()
    elif (cover > 0.02).any():
        assert (crop.states == UNKNOWN).any() or cover.max() < 0.25
