"""Area indexing of both heads: there and back, and hand-computed boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid, Head, head_of, write_head
from lineside.v1 import model_pb2

sides = st.integers(1, 12)
shapes = st.lists(st.tuples(st.floats(1, 64, width=32), st.floats(1, 64, width=32)), min_size=1, max_size=4)
grids = st.builds(lambda r, c, s: CellGrid(rows=r, columns=c, stride=s), sides, sides, st.sampled_from([4, 8, 16]))
levels = st.builds(
    lambda r, c, s, b: AnchorLevel(rows=r, columns=c, stride=s, shapes=tuple(b)),
    sides,
    sides,
    st.sampled_from([8, 16, 32]),
    shapes,
)
anchors = st.lists(levels, min_size=1, max_size=3).map(lambda items: AnchorGrid(levels=tuple(items)))
heads = st.one_of(grids, anchors)


@given(heads)
def test_every_index_names_one_position_and_back(head: Head) -> None:
    positions = [head.position(index) for index in range(head.count)]
    assert len(set(positions)) == head.count
    assert [head.index(*position) for position in positions] == list(range(head.count))


@given(heads, st.integers(0, 1000))
def test_an_index_outside_the_head_is_refused(head: Head, beyond: int) -> None:
    for index in (-1 - beyond, head.count + beyond):
        with pytest.raises(IndexError, match="outside"):
            head.position(index)


@given(heads)
def test_boxes_are_in_the_order_of_the_indices(head: Head) -> None:
    boxes = head.boxes()
    assert boxes.shape == (head.count, 4)
    for index in {0, head.count // 2, head.count - 1}:
        position = head.position(index)
        if isinstance(head, CellGrid):
            row, column, stride, size = *position, head.stride, (head.stride, head.stride)
        else:
            level, row, column, shape = position
            stride, size = head.levels[level].stride, head.levels[level].shapes[shape]
        centre = (boxes[index, :2] + boxes[index, 2:]) / 2
        np.testing.assert_allclose(centre, [(column + 0.5) * stride, (row + 0.5) * stride], rtol=1e-5)
        np.testing.assert_allclose(boxes[index, 2:] - boxes[index, :2], size, rtol=1e-4)


@given(heads)
def test_a_head_survives_the_manifest(head: Head) -> None:
    manifest = model_pb2.PackageManifest()
    write_head(head, manifest, top_k=5)
    back = head_of(manifest)
    assert back.key == head.key
    assert back.count == head.count


def test_the_second_level_starts_after_the_first() -> None:
    # Level 0: 2 x 3 cells, 2 shapes = areas 0..11. Level 1: 1 x 1 cell, 1 shape = area 12.
    head = AnchorGrid(
        levels=(
            AnchorLevel(rows=2, columns=3, stride=8, shapes=((8, 8), (16, 4))),
            AnchorLevel(rows=1, columns=1, stride=16, shapes=((20, 20),)),
        )
    )
    # Row 1, column 2, shape 1: (1 * 3 + 2) * 2 + 1 = 11.
    assert head.index(0, 1, 2, 1) == 11
    assert head.position(12) == (1, 0, 0, 0)
    # Centre of that cell is (20, 12); a 16 x 4 anchor reaches from (12, 10) to (28, 14).
    assert head.boxes()[11].tolist() == [12, 10, 28, 14]


def test_a_head_of_no_size_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"CellGrid\.rows is 0"):
        CellGrid(rows=0, columns=1, stride=8)
    with pytest.raises(ValueError, match="shapes"):
        AnchorLevel(rows=1, columns=1, stride=8, shapes=())
    with pytest.raises(ValueError, match="positive"):
        AnchorLevel(rows=1, columns=1, stride=8, shapes=((0.0, 4.0),))


def test_a_manifest_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="declares no head"):
        head_of(model_pb2.PackageManifest())
