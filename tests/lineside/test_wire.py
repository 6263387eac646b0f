"""Requests joined and split without copying their picture mean what protobuf says they mean."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside import wire
from lineside.client.requests import describe, file_request, pixels_request, with_fields
from lineside.v1 import inspection_pb2

LARGE = wire.LEAST_BYTES
QUICK = settings(max_examples=40, deadline=None)

requests = st.builds(
    lambda camera, part, captured, recipe: with_fields(
        inspection_pb2.InspectRequest(), camera=camera, part_id=part, captured_unix_ns=captured, recipe=recipe
    ),
    st.sampled_from(["", "top"]),
    st.text(max_size=20),
    st.integers(0, 2**62),
    st.one_of(st.none(), st.just("strict"), st.just(inspection_pb2.Recipe(name="own", maximum_count=3))),
)


def whole(parsed: wire.Parsed[inspection_pb2.InspectRequest]) -> inspection_pb2.InspectRequest:
    """The message with its picture put back."""
    message, picture = parsed
    if picture is not None:
        if message.image.WhichOneof("payload") == "encoded":
            message.image.encoded = bytes(picture)
        else:
            message.image.raw.pixels = bytes(picture)
    return message


@QUICK
@given(request=requests, size=st.sampled_from([0, 1, 127, 128, LARGE, LARGE + 1, 3 * LARGE]), raw=st.booleans())
def test_joined_bytes_are_the_message_and_split_ones_are_again(
    request: inspection_pb2.InspectRequest, size: int, raw: bool
) -> None:
    picture = np.random.default_rng(size).bytes(size)
    if raw:
        request.image.raw.width, request.image.raw.height, request.image.raw.format = 7, 9, 2
    else:
        request.image.encoded = b""
    data = wire.join(request, picture)
    expected = inspection_pb2.InspectRequest.FromString(data)
    seen = expected.image.raw.pixels if raw else expected.image.encoded
    assert seen == picture
    assert (expected.camera, expected.part_id, expected.recipe) == (request.camera, request.part_id, request.recipe)
    for form in (data, expected.SerializeToString()):
        parsed = wire.split(form)
        assert (parsed.picture is not None) == (size >= LARGE)
        assert whole(parsed) == expected


@QUICK
@given(request=requests, tag=st.integers(0, 2**64 - 1))
def test_a_request_of_a_stream_is_split_alike(request: inspection_pb2.InspectRequest, tag: int) -> None:
    request.image.encoded = bytes(LARGE)
    message = inspection_pb2.InspectStreamRequest(request=request, tag=tag)
    parsed = wire.split_stream(message.SerializeToString())
    assert parsed.picture is not None
    assert parsed.message.tag == tag
    assert whole(wire.Parsed(parsed.message.request, parsed.picture)) == request


@QUICK
@given(st.data())
def test_whatever_is_done_to_the_bytes_protobufs_word_counts(data: st.DataObject) -> None:
    pixels = np.zeros((LARGE, 1), np.uint8)
    good = bytearray(pixels_request(pixels, camera="top", recipe="strict").SerializeToString())
    # The framing is at both ends; what lies between is the picture.
    places = st.one_of(st.integers(0, 24), st.integers(len(good) - 24, len(good) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(places)
        if data.draw(st.booleans()):
            good[place] = data.draw(st.integers(0, 255))
        else:
            good[place:place] = data.draw(st.binary(min_size=1, max_size=6))
    form = bytes(good)
    try:
        expected = inspection_pb2.InspectRequest.FromString(form)
    except DecodeError:
        with pytest.raises(DecodeError):
            wire.split(form)
        return
    seen = whole(wire.split(form))
    # Unknown fields are nobody's: they may be lost with the picture that is cut out.
    expected.DiscardUnknownFields()  # type: ignore[attr-defined]
    seen.DiscardUnknownFields()  # type: ignore[attr-defined]
    assert seen == expected


def test_two_pictures_in_one_request_are_left_to_protobuf() -> None:
    one, other = (file_request(bytes([value]) * LARGE).SerializeToString() for value in (1, 2))
    parsed = wire.split(one + other)
    assert parsed.picture is None
    assert parsed.message.image.encoded == b"\2" * LARGE


def test_a_picture_by_shared_memory_cannot_be_joined() -> None:
    request = inspection_pb2.InspectRequest()
    request.image.shared_memory.name = "x"
    with pytest.raises(ValueError, match="the image is shared_memory, expected encoded or raw"):
        wire.join(request, b"")


def test_what_is_no_picture_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match=r"pixels are float32 \(2, 2\), expected uint8"):
        describe(np.zeros((2, 2), np.float32), inspection_pb2.RawImage())  # type: ignore[arg-type]
