"""A picture in each of its forms, and what is no picture, over real gRPC."""

from __future__ import annotations

import contextlib
import multiprocessing.shared_memory
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.packages import expected_score, picture
from support.station import Listening, png, refusal

from lineside.client.inspection import file_request, pixels_request
from lineside.reasons import Reason
from lineside.v1 import inspection_pb2


def test_a_file_and_raw_pixels_of_the_same_picture_get_the_same_answer(line: Listening) -> None:
    answers = [line.client.inspect_file(png(picture())), line.client.inspect_pixels(picture())]
    for answer in answers:
        assert answer.verdict == inspection_pb2.VERDICT_REJECT
        assert answer.detections[0].score == pytest.approx(expected_score(0.0), abs=1e-6)
    assert answers[0].detections[0].box == answers[1].detections[0].box


def test_the_file_is_kept_as_it_came_and_raw_pixels_have_none(line: Listening) -> None:
    line.client.inspect_file(png(picture()))
    line.client.inspect_pixels(picture())
    (file, _, _), (raw, _, _) = line.serving.kept.frames
    assert (file.source, file.source_suffix) == (png(picture()), "png")
    assert (raw.source, raw.source_suffix) == (None, "")


def test_colour_orders_are_told_apart(line: Listening) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 200
    line.client.inspect_pixels(red, camera="rgb")
    request = pixels_request(np.ascontiguousarray(red[:, :, ::-1]), camera="bgr")
    request.image.raw.format = inspection_pb2.PIXEL_FORMAT_BGR8
    line.client.inspect(request)
    for camera in ("rgb", "bgr"):
        latest = line.serving.pipeline.pictures.get(camera)
        assert latest is not None
        assert np.array_equal(latest[0].pixels, red)


@contextlib.contextmanager
def shared(data: bytes) -> Iterator[str]:
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=len(data))
    try:
        memory.buf[: len(data)] = data
        yield memory.name
    finally:
        memory.close()
        memory.unlink()


def shared_request(name: str, **fields: int) -> inspection_pb2.InspectRequest:
    values = {"width": 64, "height": 64, "format": inspection_pb2.PIXEL_FORMAT_MONO8, "offset": 0, **fields}
    image = inspection_pb2.Image(shared_memory=inspection_pb2.SharedMemoryImage(name=name, **values))
    return inspection_pb2.InspectRequest(image=image)


def test_pixels_are_read_from_shared_memory_at_their_offset(line: Listening) -> None:
    with shared(b"\xff" * 100 + picture().tobytes()) as name:
        for spelled in (name, f"/{name}"):
            answer = line.client.inspect(shared_request(spelled, offset=100))
            assert [item.areas[0] for item in answer.detections] == [5]


def test_shared_memory_that_is_too_small_or_not_there_is_refused(line: Listening) -> None:
    with shared(bytes(64 * 64)) as name:
        # The system rounds the object up to whole pages, which is what can be read.
        beyond = refusal(lambda: line.client.inspect(shared_request(name, offset=1 << 20)))
        assert (beyond.reason, "holds 0 bytes" in beyond.message) == (Reason.IMAGE_SHAPE, True)
        far = refusal(lambda: line.client.inspect(shared_request(name, offset=(1 << 64) - 1)))
        assert far.reason is Reason.IMAGE_SHAPE
        huge = refusal(lambda: line.client.inspect(shared_request(name, width=32768, height=32768)))
        assert huge.reason is Reason.IMAGE_SHAPE
    gone = refusal(lambda: line.client.inspect(shared_request(name)))
    assert (gone.reason, "cannot be opened" in gone.message) == (Reason.IMAGE_DECODE, True)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "..", ".", "x" * 129, "a\0b"])
def test_a_name_that_is_none_never_reaches_the_file_system(line: Listening, name: str) -> None:
    assert refusal(lambda: line.client.inspect(shared_request(name))).reason is Reason.REQUEST_MALFORMED


def test_a_link_in_shared_memory_is_not_followed(line: Listening, tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(bytes(64 * 64))
    link = Path("/dev/shm") / f"lineside-test-{os.getpid()}"
    link.symlink_to(target)
    try:
        assert refusal(lambda: line.client.inspect(shared_request(link.name))).reason is Reason.IMAGE_DECODE
    finally:
        link.unlink()


RAW = {"pixels": bytes(64 * 64), "width": 64, "height": 64, "format": inspection_pb2.PIXEL_FORMAT_MONO8}


def raw_request(**fields: object) -> inspection_pb2.InspectRequest:
    raw = inspection_pb2.RawImage(**{**RAW, **fields})  # type: ignore[arg-type]
    return inspection_pb2.InspectRequest(image=inspection_pb2.Image(raw=raw))


def sixteen_bit_png() -> bytes:
    import cv2

    return cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    ("request_", "reason", "says"),
    [
        (inspection_pb2.InspectRequest(), Reason.IMAGE_DECODE, "holds no image"),
        (inspection_pb2.InspectRequest(image={}), Reason.IMAGE_DECODE, "holds no image"),
        (file_request(b""), Reason.IMAGE_DECODE, "empty (0 bytes)"),
        (file_request(b"hello"), Reason.IMAGE_DECODE, "like no known picture"),
        (file_request(png(picture())[:60]), Reason.IMAGE_DECODE, "cannot be decoded"),
        (file_request(sixteen_bit_png()), Reason.IMAGE_SHAPE, "uint16"),
        (raw_request(pixels=bytes(5)), Reason.IMAGE_SHAPE, "5 bytes of pixels, expected 4096"),
        (raw_request(pixels=bytes(5000)), Reason.IMAGE_SHAPE, "5000 bytes"),
        (raw_request(width=0), Reason.IMAGE_SHAPE, "0x64"),
        (raw_request(width=32769), Reason.IMAGE_SHAPE, "32769x64"),
        (raw_request(width=32768, height=32768), Reason.IMAGE_SHAPE, "32768x32768"),
        (raw_request(width=4294967295, height=4294967295), Reason.IMAGE_SHAPE, "4294967295"),
        (raw_request(format=0), Reason.IMAGE_SHAPE, "pixel format is 0"),
        (raw_request(format=77), Reason.IMAGE_SHAPE, "pixel format is 77"),
        (file_request(png(picture()), camera="a b"), Reason.REQUEST_MALFORMED, "camera is 'a b'"),
        (file_request(png(picture()), camera="x" * 65), Reason.REQUEST_MALFORMED, "camera"),
        (file_request(png(picture()), part_id="x" * 257), Reason.REQUEST_MALFORMED, "257 characters"),
        (file_request(png(picture()), frame_id="7"), Reason.REQUEST_MALFORMED, "UUIDv7"),
        (file_request(png(picture()), captured_unix_ns=-1), Reason.REQUEST_MALFORMED, "captured_unix_ns is -1"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_the_contracts_words(
    line: Listening, request_: inspection_pb2.InspectRequest, reason: Reason, says: str
) -> None:
    error = refusal(lambda: line.client.inspect(request_))
    assert error.reason is reason
    assert says in error.message
    assert line.serving.kept.frames == []


def test_a_picture_that_claims_to_be_huge_is_refused_without_taking_memory_for_it(line: Listening) -> None:
    header = bytearray(png(picture()))
    header[16:24] = (30000).to_bytes(4, "big") * 2  # width and height of the PNG's first chunk
    assert refusal(lambda: line.client.inspect_file(bytes(header))).reason is Reason.IMAGE_DECODE
