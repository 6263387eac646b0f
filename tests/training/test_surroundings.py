"""Beside a confirmed defect is background; what was said, and what may raise the same box, stays as it is."""

from __future__ import annotations

import dataclasses

import numpy as np
from support.lessons import lesson, tiny

from lineside.boxes import iou
from training.data.surroundings import FITS, TOUCHES, with_surroundings
from training.losses.classification import ABSENT, PRESENT, UNKNOWN

CONFIG = tiny()
HEAD = CONFIG.head_for(CONFIG.width, CONFIG.height)
OVERLAP = iou(HEAD.boxes(), HEAD.boxes())
CONFIRMED = int(OVERLAP.sum(axis=1).argmax())
BESIDE = np.flatnonzero((OVERLAP[CONFIRMED] >= TOUCHES) & (OVERLAP[CONFIRMED] < FITS))


def test_areas_beside_a_confirmed_defect_are_absent_and_nothing_else_changes() -> None:
    frame = lesson(CONFIG, {(CONFIRMED, 0): ABSENT, (CONFIRMED, 1): PRESENT})
    (taught,) = with_surroundings([frame], HEAD)
    assert len(BESIDE) > 0
    assert (taught.states[BESIDE] == ABSENT).all()
    others = np.setdiff1d(np.arange(HEAD.count), BESIDE)
    np.testing.assert_array_equal(taught.states[others], frame.states[others])
    np.testing.assert_array_equal(taught.spoken, frame.spoken)


def test_what_may_raise_the_same_box_stays_unknown() -> None:
    (taught,) = with_surroundings([lesson(CONFIG, {(CONFIRMED, 1): PRESENT})], HEAD)
    near = np.flatnonzero(OVERLAP[CONFIRMED] >= FITS)
    near = near[near != CONFIRMED]
    assert len(near) > 0
    assert (taught.states[near] == UNKNOWN).all()


def test_answers_are_never_overruled() -> None:
    unsure, second = int(BESIDE[0]), int(BESIDE[-1])
    frame = lesson(CONFIG, {(CONFIRMED, 1): PRESENT, (second, 0): PRESENT})
    spoken = frame.spoken.copy()
    spoken[unsure] = True
    (taught,) = with_surroundings([dataclasses.replace(frame, spoken=spoken)], HEAD)
    assert (taught.states[unsure] == UNKNOWN).all()
    assert taught.states[second, 0] == PRESENT


def test_a_reject_has_no_surroundings() -> None:
    frame = lesson(CONFIG, {(CONFIRMED, 0): ABSENT, (CONFIRMED, 1): ABSENT})
    (taught,) = with_surroundings([frame], HEAD)
    np.testing.assert_array_equal(taught.states, frame.states)


def test_cells_raise_no_second_box() -> None:
    config = tiny("cells")
    frame = lesson(config, {(5, 1): PRESENT})
    (taught,) = with_surroundings([frame], config.head_for(config.width, config.height))
    np.testing.assert_array_equal(taught.states, frame.states)
