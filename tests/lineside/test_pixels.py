"""Decoding: right colours from every encoding, and a clear refusal of everything else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.pixels import decode, encode_jpeg, encode_lossless, encode_png, encoding_of
from lineside.reasons import ContractError, Reason

RED_LEFT = np.zeros((8, 16, 3), np.uint8)
RED_LEFT[:, :8, 0] = 255
RED_LEFT[:, 8:, 2] = 255


@pytest.mark.parametrize(
    ("suffix", "name"), [("png", "png"), ("bmp", "bmp"), ("tiff", "tif"), ("webp", "webp"), ("jpg", "jpg")]
)
def test_colours_come_out_as_rgb(suffix: str, name: str) -> None:
    data = cv2.imencode(f".{suffix}", cv2.cvtColor(RED_LEFT, cv2.COLOR_RGB2BGR))[1].tobytes()
    assert encoding_of(data) == name
    seen = decode(data)
    assert seen.shape == (8, 16, 3)
    assert seen[4, 2, 0] > 200
    assert seen[4, 2, 2] < 60
    assert seen[4, 13, 2] > 200


@given(st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(0, 2**32 - 1))
def test_lossless_forms_give_every_pixel_back(height: int, width: int, colour: bool, seed: int) -> None:
    shape = (height, width, 3) if colour else (height, width)
    picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert (decode(encode_lossless(picture)) == picture).all()
    assert (decode(encode_png(picture)) == picture).all()


def test_grey_stays_grey_and_alpha_is_dropped() -> None:
    assert decode(encode_jpeg(np.zeros((4, 4), np.uint8))).shape == (4, 4)
    assert decode(cv2.imencode(".png", np.zeros((4, 4, 4), np.uint8))[1].tobytes()).shape == (4, 4, 3)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff\xe0 cut", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(30)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        decode(data)
    assert caught.value.reason is Reason.IMAGE_DECODE


def test_a_picture_of_16_bits_is_refused_by_shape() -> None:
    with pytest.raises(ContractError, match="uint16") as caught:
        decode(cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes())
    assert caught.value.reason is Reason.IMAGE_SHAPE


def test_a_header_that_claims_a_huge_picture_takes_no_memory() -> None:
    with pytest.raises(ContractError) as caught:
        decode(b"P5\n100000 100000\n255\n" + bytes(100))
    assert caught.value.reason is Reason.IMAGE_DECODE


def test_a_picture_cut_off_in_the_middle_is_refused_or_keeps_its_size() -> None:
    # JPEG decoders fill what is missing with grey; what must not happen is another size or a crash.
    whole = encode_png(RED_LEFT)
    with pytest.raises(ContractError):
        decode(whole[: len(whole) // 2])
