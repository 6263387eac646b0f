"""What must not be judged is told by its cause; what may look odd and is fine is let through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.checks import FILES, NETWORK_STREAM, SENSOR, CheckSettings, FrameOrder, PictureChecker
from lineside.reasons import Reason

NOISE = np.random.default_rng(5)


def scene(height: int = 60, width: int = 80, *, channels: int = 1) -> np.ndarray:
    """What a sensor sees: no two alike."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return NOISE.integers(40, 200, shape).astype(np.uint8)


def reason(pixels: np.ndarray, checker: PictureChecker | None = None) -> Reason | None:
    fault = (checker or PictureChecker(CheckSettings(), SENSOR)).look(pixels)
    return None if fault is None else fault.reason


def half_filled(value: object, *, channels: int = 1, rows: int = 30) -> np.ndarray:
    pixels = scene(channels=channels)
    pixels[-rows:] = value
    return pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_an_ordinary_picture_is_fine(channels: int) -> None:
    assert reason(scene(channels=channels)) is None


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.zeros((60, 80), np.uint8), Reason.IMAGE_BLACK),
        (np.full((60, 80, 3), 3, np.uint8), Reason.IMAGE_BLACK),
        (np.full((60, 80), 4, np.uint8), Reason.IMAGE_HALF),  # not black: level 3 is; but no sensor gives one value
        (np.full((60, 80), 255, np.uint8), Reason.IMAGE_SATURATED),
        (np.full((2000, 3000), 252, np.uint8), Reason.IMAGE_SATURATED),
        (half_filled(128), Reason.IMAGE_HALF),  # what a JPEG decoder fills up with
        (half_filled((0, 135, 0), channels=3), Reason.IMAGE_HALF),  # the green of an empty YUV buffer
        (half_filled(128, rows=6), Reason.IMAGE_HALF),  # a tenth of the height exactly
        (half_filled(128, rows=5), None),
        (half_filled(255), None),  # a backlight
        (half_filled(0), None),  # a dark background
    ],
)
def test_faults_have_names(pixels: np.ndarray, expected: Reason | None) -> None:
    assert reason(pixels) is expected


def test_a_pure_red_picture_is_neither_black_nor_burnt_out() -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[..., 0] = 255
    assert reason(pixels, PictureChecker(CheckSettings(), FILES)) is None


def test_black_asks_for_nearly_all_of_the_picture() -> None:
    pixels = np.zeros((100, 100), np.uint8)
    pixels[0, :10] = 200  # 10 of 10,000 pixels: 99.9 % are black
    assert reason(pixels) is Reason.IMAGE_BLACK
    pixels[0, 10] = 200
    assert reason(pixels) is None
    assert reason(pixels, PictureChecker(CheckSettings(black_share=0.9))) is Reason.IMAGE_BLACK


def test_each_check_can_be_switched_off() -> None:
    off = CheckSettings(black_share=0, saturated_share=0, frozen_pictures=0, half_share=0)
    checker = PictureChecker(off, SENSOR)
    for value in (0, 255, 128, 128, 128, 128):
        assert reason(np.full((60, 80), value, np.uint8), checker) is None


def test_the_third_equal_picture_of_a_sensor_is_frozen_until_one_differs() -> None:
    checker = PictureChecker(CheckSettings(), SENSOR)
    still, other = scene(), scene()
    seen = [reason(pixels.copy(), checker) for pixels in (still, still, still, still, other, other)]
    assert seen == [None, None, Reason.IMAGE_FROZEN, Reason.IMAGE_FROZEN, None, None]


def test_one_pixel_of_difference_is_no_freeze() -> None:
    checker = PictureChecker(CheckSettings(), SENSOR)
    first = scene(1000, 1000)
    for number in range(5):
        moved = first.copy()
        moved[501, 333] ^= number + 1  # none of the pixels that are looked at first
        assert reason(moved, checker) is None


def test_a_stream_may_repeat_a_still_scene_and_a_file_for_ever() -> None:
    still = scene()
    for defaults, expected in ((NETWORK_STREAM, 49), (FILES, 60)):
        checker = PictureChecker(CheckSettings(), defaults)
        assert sum(reason(still, checker) is None for _ in range(60)) == expected


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([5, 6, 7], [0, 0, 0]),
        ([5, 8, 9], [0, 2, 0]),
        ([5, 7, 6, 8], [0, 1, None, 0]),  # 6 was missed, comes late, and is not missed twice
        ([5, 5], [0, None]),
        ([65534, 65535, 1, 2], [0, 0, 0, 0]),  # sixteen bits; there is no 0
        ([65534, 2], [0, 2]),
        ([90, 1, 2, 3, 4], [0, None, None, None, 0]),  # counts anew
        ([2**40, 2**40 + 1], [0, 0]),
    ],
)
def test_numbers_say_what_is_missing_and_what_is_late(numbers: list[int], missing: list[int | None]) -> None:
    order = FrameOrder()
    assert [order.see(number) for number in numbers] == missing


@given(st.sets(st.integers(1, 300), min_size=2), st.integers(0, 2**50))
def test_in_order_what_came_and_what_is_missing_add_up(came: set[int], start: int) -> None:
    numbers = sorted(start + number for number in came)
    order = FrameOrder()
    missing = [order.see(number) for number in numbers]
    assert all(item is not None for item in missing)
    assert sum(item or 0 for item in missing) + len(numbers) == numbers[-1] - numbers[0] + 1


@given(st.integers(64512, 65535), st.integers(1, 500))
def test_a_wrap_hides_nothing(last: int, steps: int) -> None:
    order = FrameOrder()
    order.see(last)
    after = last + steps
    assert order.see(after if after <= 65535 else after - 65535) == steps - 1
