"""Label states under shifts and scales: on the grid nothing changes, off it a known box is assigned anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineside.areas import AnchorGrid
from lineside.assign import POSITIVE_IOU, assign
from lineside.boxes import Boxes, as_boxes, iou
from training.data.augment import AugmentConfig
from training.data.crops import CropConfig, Cropper
from training.data.moved import Window, moved
from training.data.prepared import Mentored
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.models.config import DetectorConfig

STRIDE, SIDE, PART = 8, 160, 96
CONFIG = DetectorConfig(classes=("dent", "scratch"), width=SIDE, height=SIDE)
SHAPES = len(CONFIG.shapes)


def head_of(side: int) -> AnchorGrid:
    head = CONFIG.head_for(side, side)
    assert isinstance(head, AnchorGrid)
    return head


def lesson(boxes: Boxes, *, base: int = UNKNOWN) -> Mentored:
    """A picture with a confirmed dent at every box, and `base` elsewhere."""
    head = head_of(SIDE)
    assigned = assign(head, boxes)
    states = np.full((head.count, 2), base, np.int8)
    spoken = np.zeros(head.count, bool)
    targets = np.zeros((head.count, 4), np.float32)
    states[assigned.ignored] = UNKNOWN
    states[assigned.areas] = (PRESENT, ABSENT)
    spoken[assigned.areas] = True
    targets[assigned.areas] = boxes[assigned.boxes]
    return Mentored(
        pixels=np.zeros((SIDE, SIDE, 1), np.uint8), states=states, spoken=spoken, targets=targets, taught=spoken.copy()
    )


BOX = as_boxes([(60.0, 62.0, 84.0, 80.0)])
WINDOWS = st.builds(
    lambda x, y, cut: Window(x=x, y=y, cut=cut, side=PART),
    st.integers(24, 48),
    st.integers(24, 46),
    st.integers(84, 110),
)


def seen(item: Mentored, window: Window) -> Mentored:
    found = moved(item, window, STRIDE, SHAPES, head_of(PART))
    return Mentored(
        pixels=np.zeros((PART, PART, 1), np.uint8),
        states=found.states,
        spoken=found.spoken,
        targets=found.targets,
        taught=found.taught,
        weights=found.weights,
    )


@given(st.integers(0, 8), st.integers(0, 8))
def test_on_the_grid_every_area_keeps_what_was_said_of_it(column: int, row: int) -> None:
    item = lesson(BOX)
    # Without known boxes: nothing is assigned anew.
    item.taught[:] = False
    window = Window(x=column * STRIDE, y=row * STRIDE, cut=PART, side=PART)
    found = seen(item, window)
    part = item.states.reshape(SIDE // STRIDE, SIDE // STRIDE, SHAPES, 2)
    expected = part[row : row + PART // STRIDE, column : column + PART // STRIDE].reshape(-1, 2)
    assert np.array_equal(found.states, expected)


@given(WINDOWS)
def test_a_confirmed_box_is_present_exactly_where_the_assigner_puts_it(window: Window) -> None:
    found = seen(lesson(BOX), window)
    assigned = assign(head_of(PART), window.boxes(BOX))
    assert np.array_equal(np.flatnonzero((found.states == PRESENT).any(axis=1)), assigned.areas)
    assert (found.states[assigned.areas] == (PRESENT, ABSENT)).all()
    assert np.allclose(found.targets[found.taught], window.boxes(BOX)[0])
    # Nothing but the confirmed box was spoken about, so nothing else is known.
    rest = np.setdiff1d(np.arange(len(found.states)), assigned.areas)
    assert (found.states[rest] == UNKNOWN).all()


@given(WINDOWS)
def test_beside_a_confirmed_box_a_complete_frame_stays_background_but_for_near_misses(window: Window) -> None:
    found = seen(lesson(BOX, base=ABSENT), window)
    assigned = assign(head_of(PART), window.boxes(BOX))
    assert (found.states[assigned.areas] == (PRESENT, ABSENT)).all()
    assert (found.states[assigned.ignored] == UNKNOWN).all()


@given(WINDOWS)
def test_what_was_rejected_is_never_taught_as_a_defect(window: Window) -> None:
    item = lesson(BOX)
    # Somebody rejected a dent on all areas right of the box's middle.
    head = head_of(SIDE)
    right = head.boxes()[:, [0, 2]].mean(axis=1) > 76
    item.states[right] = (ABSENT, UNKNOWN)
    item.spoken[right] = True
    item.taught[right] = False
    found = seen(item, window)
    source = head_of(PART).boxes()[:, [0, 2]].mean(axis=1) / window.factor + window.x
    assert not (found.states[source > 76 + STRIDE] == PRESENT).any()


@given(WINDOWS)
def test_a_box_cut_off_by_the_window_teaches_nothing_there(window: Window) -> None:
    outside = as_boxes([(2.0, 2.0, 20.0, 22.0)])
    found = seen(lesson(outside), window)
    assert not (found.states == PRESENT).any()
    assert not found.taught.any()


@given(st.integers(0, 10_000))
def test_a_loose_crop_turns_boxes_and_areas_together(seed: int) -> None:
    cropper = Cropper(CONFIG, CropConfig(side=PART, focus=1.0, loose=True), AugmentConfig())
    crop = cropper.mentored(lesson(BOX), np.random.default_rng(seed))
    present = np.flatnonzero((crop.states == PRESENT).any(axis=1))
    assert len(present)
    # Equal overlaps may change places when mirrored, so what counts is that every area fits as well as the best can.
    box = np.unique(crop.targets[present], axis=0)
    fit = iou(head_of(PART).boxes(), box)[:, 0]
    assert len(box) == 1
    assert fit[present].min() >= min(POSITIVE_IOU, fit.max()) - 1e-5
