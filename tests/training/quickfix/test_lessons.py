"""What a quick fix is taught: the clicked areas, nothing beside them, and no confirmed defect."""

from __future__ import annotations

import numpy as np
import pytest
from support.lessons import SIDE, tiny

from lineside.boxes import as_boxes
from training.losses.classification import ABSENT, UNKNOWN
from training.quickfix.clicks import Frame, Rejection, pooled
from training.quickfix.lessons import pattern_frames, quiet_frames


def frame(*boxes: tuple[float, ...]) -> Frame:
    return Frame(
        frame_id="a",
        part="a",
        image_sha256="0" * 64,
        pixels=np.zeros((SIDE, SIDE), np.uint8),
        picture=np.zeros((SIDE, SIDE, 1), np.uint8),
        boxes=as_boxes(boxes),
        classes=np.zeros(len(boxes), np.int32),
        events=(),
    )


def rejection(place: int, areas: list[int], box: tuple[float, ...]) -> Rejection:
    return Rejection(
        frame=place,
        class_name="dark",
        areas=np.array(areas, np.int32),
        box=np.array(box, np.float32),
        feature=np.zeros(4, np.float32),
        score=0.9,
        events=(1,),
    )


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_clicked_areas_fall_silent_those_beside_them_are_let_go_all_others_stay(head: str) -> None:
    config = tiny(head)
    grid = config.head_for(SIDE, SIDE)
    box = tuple(grid.boxes()[27].tolist())
    (lesson,) = pattern_frames([frame()], [rejection(0, [27], box)], config)
    assert np.flatnonzero((lesson.states == ABSENT).all(axis=1)).tolist() == [27]
    beside = lesson.spoken & (lesson.states == UNKNOWN).all(axis=1)
    if head == "cells":
        assert not beside.any()
    else:
        # The other two shapes at its place, and neighbours that overlap it by a tenth or more.
        assert {28, 29} <= set(np.flatnonzero(beside).tolist())
    far = grid.boxes()[:, 0] >= box[2]
    assert far.any()
    assert not lesson.spoken[far].any()
    assert not lesson.taught.any()


def test_a_confirmed_defect_keeps_its_areas_where_the_pattern_runs_into_it() -> None:
    config = tiny("cells")
    defect, pattern = (8.0, 8.0, 16.0, 16.0), (8.0, 8.0, 24.0, 16.0)
    (lesson,) = pattern_frames([frame(defect)], [rejection(0, [9, 10], pattern)], config)
    assert np.flatnonzero((lesson.states == ABSENT).all(axis=1)).tolist() == [10]
    assert lesson.spoken[9]


def test_only_frames_that_show_the_pattern_teach_it() -> None:
    config = tiny("cells")
    frames = [frame(), frame(), frame()]
    lessons = pattern_frames(frames, [rejection(2, [5], (40, 0, 48, 8)), rejection(2, [9], (8, 8, 16, 16))], config)
    assert len(lessons) == 1
    assert np.flatnonzero(lessons[0].spoken).tolist() == [5, 9]


def test_a_quiet_frame_says_nothing_and_is_looked_at_where_its_defects_are() -> None:
    config = tiny("cells")
    (lesson,) = quiet_frames([frame((8.0, 8.0, 24.0, 16.0))], config)
    assert lesson.silent
    assert np.flatnonzero(lesson.spoken).tolist() == [9, 10]


def test_features_are_those_of_the_areas_cells_by_how_much_each_fires() -> None:
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 8.0]], np.float32)
    scores = np.array([0, 0, 0, 0.75, 0, 0, 0.25, 0, 0], np.float32)
    # Areas 3 and 6 lie in cells 1 and 2 of three areas each.
    found = pooled(features, scores, np.array([3, 6], np.int32), 3)
    np.testing.assert_allclose(found, [0.75, 2.0], atol=1e-4)
