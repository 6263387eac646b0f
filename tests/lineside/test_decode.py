"""Grouping of areas into detections: cases by hand, and the law that no area belongs to two detections."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lineside.areas import CellGrid
from lineside.boxes import as_boxes, iou
from lineside.decode import Found, decode_anchors, decode_cells
from lineside.v1 import model_pb2


def parameters(**changes: object) -> model_pb2.DecodeParameters:
    values: dict[str, object] = {
        "nms_iou": 0.5,
        "area_iou": 0.3,
        "minimum_cells": 1,
        "maximum_detections": 100,
        "exclusive_classes": True,
    }
    return model_pb2.DecodeParameters(**{**values, **changes})  # type: ignore[arg-type]


def anchors(rows: list[tuple[list[float], float, int, int]], classes: int = 2, **changes: object) -> Found:
    return decode_anchors(
        as_boxes([row[0] for row in rows]),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
        np.array([row[3] for row in rows], np.int32),
        thresholds=np.full(classes, 0.5, np.float32),
        parameters=parameters(**changes),
    )


def test_a_winner_takes_the_neighbours_that_would_fire_in_its_place() -> None:
    found = anchors(
        [
            ([0, 0, 10, 10], 0.9, 0, 7),  # wins
            ([0, 0, 10, 9], 0.8, 0, 3),  # IoU 0.9: suppressed, joins
            ([0, 0, 10, 4], 0.2, 1, 5),  # IoU 0.4, below threshold: joins all the same
            ([0, 0, 10, 2], 0.4, 0, 9),  # IoU 0.2: none of its business
            ([50, 50, 60, 60], 0.6, 1, 2),  # another defect
        ]
    )
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.6)]
    assert [areas.tolist() for areas in found.areas] == [[3, 5, 7], [2]]
    assert found.classes.tolist() == [0, 1]


def test_a_neighbour_of_two_winners_joins_the_one_it_overlaps_more() -> None:
    found = anchors([([0, 0, 10, 10], 0.9, 0, 1), ([10, 0, 20, 10], 0.8, 0, 2), ([4, 0, 14, 10], 0.3, 0, 3)])
    # Overlap with the left one 6/14, with the right one 4/16.
    assert [areas.tolist() for areas in found.areas] == [[1, 3], [2]]


def test_classes_that_do_not_exclude_each_other_may_overlap() -> None:
    rows = [([0.0, 0, 10, 10], 0.9, 0, 1), ([0.0, 0, 10, 10], 0.8, 1, 2)]
    assert len(anchors(rows)) == 1
    assert len(anchors(rows, exclusive_classes=False)) == 2


def test_nothing_above_threshold_gives_nothing() -> None:
    assert len(anchors([([0, 0, 10, 10], 0.49, 0, 1)])) == 0
    assert len(anchors([([0, 0, 10, 10], 0.0, 0, 1)])) == 0


boxes = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(2, 20), st.integers(2, 20)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
candidates = st.lists(st.tuples(boxes, st.floats(0, 1, width=32), st.integers(0, 1), st.integers(0, 30)), max_size=20)


@given(candidates, st.booleans())
def test_detections_hold_their_own_areas_and_never_those_of_another(
    rows: list[tuple[list[float], float, int, int]], exclusive: bool
) -> None:
    # As the graph lists them: an (area, class) once, and an area with the same box for every class.
    box_of = {row[3]: row[0] for row in rows}
    rows = list({(row[2], row[3]): (box_of[row[3]], *row[1:]) for row in rows}.values())
    found = anchors(rows, exclusive_classes=exclusive)
    for kind in [None] if exclusive else [0, 1]:
        mine = [areas for areas, c in zip(found.areas, found.classes, strict=True) if kind is None or c == kind]
        seen = np.concatenate([*mine, np.zeros(0, np.int32)])
        assert len(np.unique(seen)) == len(seen)
    assert (found.scores >= 0.5).all()
    assert (np.diff(found.scores) <= 0).all()
    assert all(len(areas) and (np.diff(areas) > 0).all() for areas in found.areas)
    overlap = iou(found.boxes, found.boxes)
    rivals = (overlap > 0.5) & ~np.eye(len(found), dtype=bool)
    if not exclusive:
        rivals &= found.classes[:, None] == found.classes[None, :]
    assert not rivals.any()


def heat(rows: list[str], classes: int = 1) -> np.ndarray:
    """A heat map from digits: '7' is 0.7 of class 0; with two classes capitals A..I are 0.1..0.9 of class 1."""
    values = np.zeros((len(rows), len(rows[0]), classes), np.float32)
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign.isdigit():
                values[y, x, 0] = int(sign) / 10
            elif sign.isalpha():
                values[y, x, 1] = (ord(sign) - ord("A") + 1) / 10
    return values


def test_cells_that_touch_at_a_corner_are_one_region() -> None:
    grid = CellGrid(rows=3, columns=5, stride=8)
    found = decode_cells(
        heat(["6....", ".9...", "....7"]), grid, thresholds=np.array([0.5], np.float32), parameters=parameters()
    )
    assert [areas.tolist() for areas in found.areas] == [[0, 6], [14]]
    assert found.boxes.tolist() == [[0, 0, 16, 16], [32, 16, 40, 24]]
    np.testing.assert_allclose(found.scores, [0.9, 0.7])


def test_a_region_ends_where_another_class_is_surer() -> None:
    grid = CellGrid(rows=1, columns=4, stride=8)
    values = heat(["88HH"], classes=2)
    values[0, 1, 1] = 0.6  # class 1 fires here too, less than class 0
    thresholds = np.array([0.5, 0.5], np.float32)
    found = decode_cells(values, grid, thresholds=thresholds, parameters=parameters())
    assert sorted(areas.tolist() for areas in found.areas) == [[0, 1], [2, 3]]
    apart = decode_cells(values, grid, thresholds=thresholds, parameters=parameters(exclusive_classes=False))
    assert sorted(areas.tolist() for areas in apart.areas) == [[0, 1], [1, 2, 3]]


def test_small_regions_raise_nothing() -> None:
    grid = CellGrid(rows=1, columns=4, stride=8)
    found = decode_cells(
        heat(["9.99"]), grid, thresholds=np.array([0.5], np.float32), parameters=parameters(minimum_cells=2)
    )
    assert [areas.tolist() for areas in found.areas] == [[2, 3]]


@given(hnp.arrays(np.float32, (5, 6, 2), elements=st.floats(0, 1, width=32)))
def test_every_firing_cell_is_in_exactly_one_detection(values: np.ndarray) -> None:
    grid = CellGrid(rows=5, columns=6, stride=4)
    found = decode_cells(values, grid, thresholds=np.array([0.5, 0.7], np.float32), parameters=parameters())
    fires = (values >= np.array([0.5, 0.7], np.float32)).any(axis=2).ravel()
    seen = np.concatenate([*found.areas, np.zeros(0, np.int32)])
    assert sorted(seen.tolist()) == np.flatnonzero(fires).tolist()
