"""Boxes against an independent formula; frame ids against RFC 9562."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.boxes import area_of, as_boxes, clip, iou
from lineside.ids import detection_id, frame_of, is_frame_id, new_frame_id

corner = st.integers(0, 60)
box = st.tuples(corner, corner, corner, corner).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def pixels(b: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}


@given(box, box)
def test_overlap_is_the_share_of_common_pixels(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    one, two = pixels(first), pixels(second)  # type: ignore[arg-type]
    expected = len(one & two) / len(one | two) if one | two else 0.0
    assert iou(as_boxes([first]), as_boxes([second]))[0, 0] == pytest.approx(expected, abs=1e-6)
    assert area_of(as_boxes([first]))[0] == len(one)


def test_boxes_are_cut_to_the_frame() -> None:
    assert clip(as_boxes([[-5, 2, 30, 40]]), 20, 10).tolist() == [[0, 2, 20, 10]]


def test_odd_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        as_boxes([[1, 2, 3]])
    with pytest.raises(ValueError, match="NaN"):
        as_boxes([[0, 0, np.nan, 1]])
    assert as_boxes([]).shape == (0, 4)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_frame_id_is_a_uuid_of_version_7(milliseconds: int, noise: bytes) -> None:
    text = new_frame_id(milliseconds * 1_000_000, noise)
    value = uuid.UUID(text)
    assert (str(value), value.version, value.variant) == (text, 7, uuid.RFC_4122)
    assert value.int >> 80 == milliseconds
    assert is_frame_id(text)


def test_frame_ids_sort_by_time() -> None:
    ids = [new_frame_id(second * 1_000_000_000) for second in range(1, 50)]
    assert ids == sorted(ids)


A_FRAME_ID = new_frame_id(1_700_000_000_000_000_000, b"\xab" * 10)


@pytest.mark.parametrize("text", ["", "x", str(uuid.UUID(int=7, version=4)), A_FRAME_ID.upper(), A_FRAME_ID + "0"])
def test_other_texts_are_no_frame_ids(text: str) -> None:
    assert not is_frame_id(text)


def test_a_detection_id_holds_its_frame_id() -> None:
    frame = new_frame_id()
    assert frame_of(detection_id(frame, 3)) == frame
