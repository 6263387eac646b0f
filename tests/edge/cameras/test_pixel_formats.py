"""What cameras send becomes the pixels that were meant, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge.cameras.pixel_formats import FORMATS, format_name, to_pixels


def test_mono_is_taken_as_it_is_without_the_padding_of_its_rows() -> None:
    buffer = bytes([1, 2, 99, 3, 4, 99])
    assert to_pixels(buffer, 2, 2, "Mono8").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("Mono10", [0, 3, 4, 1023], [0, 0, 1, 255]),
        ("Mono12", [15, 16, 2048, 4095], [0, 1, 128, 255]),
        ("Mono16", [255, 256, 32768, 65535], [0, 1, 128, 255]),
    ],
)
def test_of_deeper_pixels_the_highest_eight_bits_are_kept(name: str, values: list[int], expected: list[int]) -> None:
    buffer = np.array(values, "<u2").tobytes()
    assert to_pixels(buffer, 2, 2, name).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("name", "pixel"),
    [("RGB8", [10, 20, 30]), ("BGR8", [30, 20, 10]), ("RGBa8", [10, 20, 30, 255]), ("BGRa8", [30, 20, 10, 255])],
)
def test_colour_comes_out_as_red_green_blue(name: str, pixel: list[int]) -> None:
    assert to_pixels(bytes(pixel * 6), 3, 2, name).reshape(-1, 3).tolist() == [[10, 20, 30]] * 6


@pytest.mark.parametrize(
    ("name", "tile"),
    [
        ("BayerRG8", ["RG", "GB"]),
        ("BayerGR8", ["GR", "BG"]),
        ("BayerGB8", ["GB", "RG"]),
        ("BayerBG8", ["BG", "GR"]),
    ],
)
def test_a_mosaic_is_named_after_its_first_two_pixels(name: str, tile: list[str]) -> None:
    light = {"R": 200, "G": 100, "B": 50}
    mosaic = np.array([[light[letter] for letter in row] for row in tile], np.uint8)
    pixels = to_pixels(np.tile(mosaic, (4, 4)).tobytes(), 8, 8, name)
    assert pixels[2:6, 2:6].reshape(-1, 3).tolist() == [[200, 100, 50]] * 16


@pytest.mark.parametrize("name", FORMATS)
def test_the_pixels_are_a_copy_and_too_few_bytes_are_said(name: str) -> None:
    buffer = bytearray(b"\x40" * (8 * 8 * 4))
    pixels = to_pixels(memoryview(buffer), 8, 8, name)
    before = pixels.copy()
    buffer[:] = b"\xa0" * len(buffer)
    assert np.array_equal(pixels, before)
    with pytest.raises(ValueError, match="8x8"):
        to_pixels(b"\x40" * 63, 8, 8, name)


def test_formats_have_one_name_whatever_they_are_called() -> None:
    assert format_name("BGR8Packed") == "BGR8"
    assert format_name("BGRA8Packed") == "BGRa8"
    assert format_name(0x01080009) == "BayerRG8"
    for unknown in ("Mono12p", 0x010C0047):
        with pytest.raises(ValueError, match="set pixel_format to one of Mono8"):
            format_name(unknown)
