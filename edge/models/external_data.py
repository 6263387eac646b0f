"""Finds out whether an ONNX graph wants to read other files, without an ONNX library and without loading it.

A graph that points at files beside it could make the runtime open any file of the station. So every tensor of the
graph is looked at in the protobuf bytes themselves (onnx.proto: the numbers below are its field numbers); contents are
skipped, so it is quick however large the weights are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lineside.reasons import ContractError, Reason

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAXIMUM_DEPTH = 64

# Message -> field number -> the message inside that may hold tensors.
_TENSOR = "TensorProto"
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_OP_TYPE = 4


def refuse_external_data(graph: bytes) -> None:
    """Looks through a whole ModelProto.

    Raises:
        ContractError: PKG_MALFORMED, a tensor's data is outside the file, or the bytes are no protobuf message.
    """
    _walk(memoryview(graph), "ModelProto", 0)


def _walk(data: memoryview, kind: str, depth: int) -> None:
    if depth > _MAXIMUM_DEPTH:
        raise ContractError(Reason.PKG_MALFORMED, f"model.onnx is nested more than {_MAXIMUM_DEPTH} levels deep")
    for field, value in fields(data):
        if kind == _TENSOR:
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0):
                raise ContractError(
                    Reason.PKG_MALFORMED,
                    "model.onnx keeps weights in another file (ONNX external data); save it with external_data=False",
                )
        elif kind == "NodeProto" and field == _OP_TYPE and not isinstance(value, int) and bytes(value) == b"EPContext":
            raise ContractError(
                Reason.PKG_MALFORMED,
                "model.onnx holds an engine made elsewhere (EPContext), which may name other files; export plain ONNX",
            )
        elif field in _INSIDE[kind]:
            if isinstance(value, int):
                raise _torn()
            _walk(value, _INSIDE[kind][field], depth + 1)


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value of one message: an int for varints, the bytes for strings and messages."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        field, wire = key >> 3, key & 7
        if field == 0:
            raise _torn()
        if wire == _VARINT:
            number, place = _varint(data, place)
            yield field, number
            continue
        if wire == _BYTES:
            length, place = _varint(data, place)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise _torn()
        if length > end - place:
            raise _torn()
        yield field, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _torn()
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _torn()


def _torn() -> ContractError:
    return ContractError(Reason.PKG_MALFORMED, "model.onnx is not a readable ONNX file")
