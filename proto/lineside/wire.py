"""InspectRequest on the wire without copying its picture: joined by a client, split by a station. Pure.

protobuf copies a bytes field into its message when it parses and once more when the field is read, and a client's
message is copied at every level it is put into; of a picture of some megabytes that is most of what a request costs.
Here the picture stays where it came, and everything else is left to protobuf. Whatever is not as expected (a field
twice, unknown ones, a small picture) is parsed by protobuf alone, so what a message means is decided by protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from lineside.v1 import inspection_pb2

LEAST_BYTES = 1 << 15
"""Smaller pictures are cheaper to copy than to look for."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_IMAGE = 1
_ENCODED, _RAW = 1, 2
_PIXELS = 1
_REQUEST = 1

Message = TypeVar("Message")
Bytes = bytes | bytearray | memoryview


class Parsed(NamedTuple, Generic[Message]):
    """A message, and its picture where that was left out of it."""

    message: Message
    picture: memoryview | None
    """What belongs into `image.encoded` or `image.raw.pixels`, whichever is set (and empty); None: it is all there."""


class _Field(NamedTuple):
    number: int
    wire_type: int
    start: int
    """Of its tag."""
    value: int
    """First byte of its value."""
    end: int


class _UnexpectedError(Exception):
    """Not for us."""


def join(request: inspection_pb2.InspectRequest, picture: Bytes) -> bytes:
    """The bytes of a request with a picture in it; one copy of the picture is made.

    Args:
        request: with the kind of its image set (`image.encoded` empty, or `image.raw` with its size), and no picture.
        picture: contiguous bytes.

    Raises:
        ValueError: the request's image is of another kind.
    """
    kind = request.image.WhichOneof("payload")
    size = picture.nbytes if isinstance(picture, memoryview) else len(picture)
    rest = inspection_pb2.InspectRequest()
    rest.CopyFrom(request)
    rest.ClearField("image")
    if kind == "encoded":
        inner = _tag(_ENCODED, _LENGTH) + _varint(size)
    elif kind == "raw":
        described = request.image.raw.SerializeToString()
        pixels = described + _tag(_PIXELS, _LENGTH) + _varint(size)
        inner = _tag(_RAW, _LENGTH) + _varint(len(pixels) + size) + pixels
    else:
        raise ValueError(f"the image is {kind}, expected encoded or raw")
    head = rest.SerializeToString() + _tag(_IMAGE, _LENGTH) + _varint(len(inner) + size) + inner
    return b"".join((head, picture))


def split(data: bytes) -> Parsed[inspection_pb2.InspectRequest]:
    """A request out of its bytes, its picture left in them.

    Raises:
        google.protobuf.message.DecodeError: they are none.
    """
    if len(data) >= LEAST_BYTES:
        view = memoryview(data)
        try:
            return _split(view, 0, len(data))
        except _UnexpectedError:
            pass
    return Parsed(inspection_pb2.InspectRequest.FromString(data), None)


def split_stream(data: bytes) -> Parsed[inspection_pb2.InspectStreamRequest]:
    """The same for one request of a stream."""
    if len(data) >= LEAST_BYTES:
        view = memoryview(data)
        try:
            return _split_stream(view)
        except _UnexpectedError:
            pass
    return Parsed(inspection_pb2.InspectStreamRequest.FromString(data), None)


def _split_stream(view: memoryview) -> Parsed[inspection_pb2.InspectStreamRequest]:
    field = _the_one(view, 0, len(view), _REQUEST)
    parsed = _split(view, field.value, field.end)
    message = inspection_pb2.InspectStreamRequest.FromString(_without(view, 0, field, len(view)))
    message.request.CopyFrom(parsed.message)
    return Parsed(message, parsed.picture)


def _split(view: memoryview, start: int, end: int) -> Parsed[inspection_pb2.InspectRequest]:
    image = _the_one(view, start, end, _IMAGE)
    payload = _only(view, image.value, image.end)
    message = inspection_pb2.InspectRequest.FromString(_without(view, start, image, end))
    if payload.number == _ENCODED:
        message.image.encoded = b""
        return Parsed(message, view[payload.value : payload.end])
    if payload.number != _RAW:
        raise _UnexpectedError
    pixels = _the_one(view, payload.value, payload.end, _PIXELS)
    message.image.raw.MergeFromString(_without(view, payload.value, pixels, payload.end))
    message.image.raw.SetInParent()
    return Parsed(message, view[pixels.value : pixels.end])


def _without(view: memoryview, start: int, field: _Field, end: int) -> bytes:
    if field.end - field.start + LEAST_BYTES < end - start:
        raise _UnexpectedError  # the rest is large as well: let protobuf have it
    return bytes(view[start : field.start]) + bytes(view[field.end : end])


def _the_one(view: memoryview, start: int, end: int, number: int) -> _Field:
    """The field of that number with a length, which is there once."""
    found = [field for field in _fields(view, start, end) if field.number == number]
    if len(found) != 1 or found[0].wire_type != _LENGTH:
        raise _UnexpectedError
    return found[0]


def _only(view: memoryview, start: int, end: int) -> _Field:
    """The field with a length that is there alone."""
    fields = list(_fields(view, start, end))
    if len(fields) != 1 or fields[0].wire_type != _LENGTH:
        raise _UnexpectedError
    return fields[0]


def _fields(view: memoryview, start: int, end: int) -> Iterator[_Field]:
    position, most = start, 64  # more fields than a request has: let protobuf have it
    while position < end:
        tag, value = _read_varint(view, position, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _LENGTH:
            size, value = _read_varint(view, value, end)
            stop = value + size
        elif wire_type == _VARINT:
            _, stop = _read_varint(view, value, end)
        elif wire_type == _FIXED64:
            stop = value + 8
        elif wire_type == _FIXED32:
            stop = value + 4
        else:
            raise _UnexpectedError
        most -= 1
        if stop > end or number == 0 or most < 0:
            raise _UnexpectedError
        yield _Field(number, wire_type, position, value, stop)
        position = stop


def _read_varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _UnexpectedError


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)
