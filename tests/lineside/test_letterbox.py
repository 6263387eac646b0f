"""Letterbox geometry: laws for any size, one case by hand, and the pixels that obey it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.boxes import as_boxes
from lineside.letterbox import Letterbox
from lineside.pixels import letterboxed
from lineside.reasons import ContractError, Reason

sizes = st.integers(1, 3000)
letterboxes = st.builds(
    lambda fw, fh, mw, mh: Letterbox(frame_width=fw, frame_height=fh, model_width=mw, model_height=mh),
    sizes,
    sizes,
    st.integers(8, 1024),
    st.integers(8, 1024),
)


@given(letterboxes)
def test_the_scaled_picture_fits_and_touches_two_sides(geometry: Letterbox) -> None:
    assert 1 <= geometry.inner_width <= geometry.model_width
    assert 1 <= geometry.inner_height <= geometry.model_height
    assert geometry.inner_width == geometry.model_width or geometry.inner_height == geometry.model_height
    assert 0 <= geometry.model_width - geometry.inner_width - 2 * geometry.left <= 1
    assert 0 <= geometry.model_height - geometry.inner_height - 2 * geometry.top <= 1


@given(letterboxes, st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5))
def test_boxes_go_to_the_model_and_come_back(geometry: Letterbox, shares: list[tuple[float, ...]]) -> None:
    size = np.array([geometry.frame_width, geometry.frame_height] * 2, np.float32)
    boxes = (np.array(shares, np.float32) * size).astype(np.float32)
    back = geometry.to_frame(geometry.to_model(boxes))
    # Float32: the error is relative to the model's side, blown up again by the scale.
    np.testing.assert_allclose(back, boxes, atol=2e-3 * max(1.0, size.max() / 256))


@given(letterboxes)
def test_the_whole_frame_is_the_whole_inner_picture(geometry: Letterbox) -> None:
    whole = as_boxes([[0, 0, geometry.frame_width, geometry.frame_height]])
    left, top = geometry.left, geometry.top
    expected = [[left, top, left + geometry.inner_width, top + geometry.inner_height]]
    np.testing.assert_allclose(geometry.to_model(whole), expected, rtol=1e-4, atol=1e-3)


def test_a_wide_frame_by_hand() -> None:
    # 640 x 480 into 320 x 320: factor 1/2, picture 320 x 240, 40 rows of border above and below.
    geometry = Letterbox(frame_width=640, frame_height=480, model_width=320, model_height=320)
    assert (geometry.inner_width, geometry.inner_height, geometry.left, geometry.top) == (320, 240, 0, 40)
    assert geometry.to_model(as_boxes([[100, 100, 200, 300]])).tolist() == [[50, 90, 100, 190]]


def test_pixels_land_where_the_geometry_says() -> None:
    geometry = Letterbox(frame_width=40, frame_height=20, model_width=32, model_height=32)
    frame = np.zeros((20, 40), np.uint8)
    frame[10:20, 20:40] = 200  # the lower right quarter
    seen = letterboxed(frame, geometry, channels=1, padding=77)
    assert seen.shape == (32, 32, 1)
    bright = np.argwhere(seen[:, :, 0] > 150)
    box = geometry.to_model(as_boxes([[20, 10, 40, 20]]))[0]
    assert bright.min(axis=0).tolist() == [round(float(box[1])), round(float(box[0]))]
    assert (bright.max(axis=0) + 1).tolist() == [round(float(box[3])), round(float(box[2]))]
    assert (seen[: geometry.top] == 77).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colour", [False, True])
def test_any_picture_becomes_the_channels_the_model_wants(channels: int, colour: bool) -> None:
    frame = np.full((16, 16, 3) if colour else (16, 16), 90, np.uint8)
    geometry = Letterbox(frame_width=16, frame_height=16, model_width=16, model_height=16)
    seen = letterboxed(frame, geometry, channels=channels, padding=0)
    assert seen.shape == (16, 16, channels)
    assert (seen == 90).all()


def test_a_picture_of_another_size_is_refused_with_both_sizes() -> None:
    geometry = Letterbox(frame_width=8, frame_height=8, model_width=8, model_height=8)
    with pytest.raises(ContractError, match="4x6, expected 8x8") as caught:
        letterboxed(np.zeros((6, 4), np.uint8), geometry, channels=1, padding=0)
    assert caught.value.reason is Reason.IMAGE_SHAPE


def test_impossible_sizes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="model_width is 0"):
        Letterbox(frame_width=1, frame_height=1, model_width=0, model_height=1)
