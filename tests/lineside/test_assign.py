"""The assigner: every box has an area, no area two boxes, and two cases by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid, Head
from lineside.assign import IGNORED_IOU, POSITIVE_IOU, assign, overlapping
from lineside.boxes import as_boxes, iou

CELLS = CellGrid(rows=8, columns=8, stride=8)
ANCHORS = AnchorGrid(levels=(AnchorLevel(rows=8, columns=8, stride=8, shapes=((12, 12), (24, 8))),))

boxes = st.tuples(st.integers(0, 55), st.integers(0, 55), st.integers(2, 30), st.integers(2, 30)).map(
    lambda b: (b[0], b[1], min(64, b[0] + b[2]), min(64, b[1] + b[3]))
)


@given(st.sampled_from([CELLS, ANCHORS]), st.lists(boxes, min_size=1, max_size=6, unique=True))
def test_areas_are_unique_and_apart_from_the_ignored_ones(head: Head, values: list[tuple[int, ...]]) -> None:
    result = assign(head, as_boxes(values))
    assert (np.diff(result.areas) > 0).all()
    assert not set(result.areas.tolist()) & set(result.ignored.tolist())
    assert ((result.boxes >= 0) & (result.boxes < len(values))).all()


@given(st.sampled_from([CELLS, ANCHORS]), boxes)
def test_a_lone_box_always_has_an_area(head: Head, value: tuple[int, ...]) -> None:
    result = assign(head, as_boxes([value]))
    assert len(result.areas) >= 1


@given(boxes)
def test_anchors_follow_the_overlap(value: tuple[int, ...]) -> None:
    overlap = iou(ANCHORS.boxes(), as_boxes([value]))[:, 0]
    result = assign(ANCHORS, as_boxes([value]))
    assert set(np.flatnonzero(overlap >= POSITIVE_IOU)) <= set(result.areas.tolist())
    assert (overlap[result.ignored] >= IGNORED_IOU).all()
    assert set(np.flatnonzero(overlap >= 0.3)) <= set(overlapping(ANCHORS, as_boxes([value])[0], 0.3).tolist())


def test_a_cell_is_responsible_when_its_middle_is_inside() -> None:
    # Cells of 8 pixels. The box spans x 2..14, y 0..8: the middles at x 4 and 12 are inside, cell 2 is not touched.
    result = assign(CELLS, as_boxes([[2, 0, 14, 8]]))
    assert result.areas.tolist() == [0, 1]
    # x 2..11: middle 4 inside, 12 not, though 3/8 of that cell are covered: neither defect nor background.
    result = assign(CELLS, as_boxes([[2, 0, 11, 8]]))
    assert (result.areas.tolist(), result.ignored.tolist()) == ([0], [1])


def test_a_defect_smaller_than_a_cell_takes_the_cell_it_lies_in() -> None:
    # Misses every middle: x 17..19, y 17..19 lies in row 2, column 2.
    assert assign(CELLS, as_boxes([[17, 17, 19, 19]])).areas.tolist() == [2 * 8 + 2]


def test_two_defects_on_the_same_cells_each_keep_their_own() -> None:
    result = assign(CELLS, as_boxes([[0, 0, 32, 8], [9, 1, 15, 7]]))
    owner = dict(zip(result.areas.tolist(), result.boxes.tolist(), strict=True))
    # The small one explains cell 1 better; the large one keeps the rest.
    assert owner == {0: 0, 1: 1, 2: 0, 3: 0}


def test_no_boxes_no_areas() -> None:
    result = assign(ANCHORS, as_boxes([]))
    assert (len(result.areas), len(result.boxes), len(result.ignored)) == (0, 0, 0)
