"""Tensors on the wire and as arrays. Pure: what is wrong with a request is said here, before anything is run.

A tensor's elements come raw (one bytes field an input, little-endian) or typed (a repeated field of their kind); the
answer is given the way the request was.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside.open_inference import inference_pb2
from lineside.open_inference.models import ModelSpec, TensorSpec
from lineside.reasons import ContractError, Reason

Tensor = NDArray[Any] | list[bytes]
"""Elements of BYTES are a flat list."""
Parameters = Mapping[str, inference_pb2.InferParameter]

_LENGTH = struct.Struct("<I")
_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("u1"), "INT32": np.dtype("<i4"), "FP32": np.dtype("<f4")}
_CONTENTS = {
    "UINT8": "uint_contents",
    "INT32": "int_contents",
    "FP32": "fp32_contents",
    "BYTES": "bytes_contents",
}
_NOT_OFFERED = ("shared_memory_region", "classification")
_LONGEST_NAME = 80

if sys.byteorder != "little":  # pragma: no cover - no such machine runs a station
    raise ImportError("tensors travel little-endian, and this machine is not")


def read_tensors(request: inference_pb2.ModelInferRequest, spec: ModelSpec) -> dict[str, Tensor]:
    """A request's inputs by name; arrays lie in the request where they came raw, and are read-only.

    Raises:
        ContractError: REQUEST_MALFORMED, with the input's name, what it is and what it should be.
    """
    raw = request.raw_input_contents
    typed = [item.name for item in request.inputs if item.HasField("contents")]
    if raw and typed:
        raise malformed(
            f"there are raw_input_contents, and input {_shown(typed[0])} has contents too; use one of both for all"
        )
    if raw and len(raw) != len(request.inputs):
        raise malformed(f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs, expected one each")
    specs = {item.name: item for item in spec.inputs}
    tensors: dict[str, Tensor] = {}
    for number, item in enumerate(request.inputs):
        known = specs.get(item.name)
        if known is None:
            raise malformed(f"no input {_shown(item.name)} of model {spec.name}; there are: {', '.join(specs)}")
        if item.name in tensors:
            raise malformed(f"input {item.name} is there twice")
        _refuse_what_is_not_offered(f"input {item.name}", item.parameters)
        shape = tuple(item.shape)
        _check_form(item.name, item.datatype, shape, known, spec)
        tensors[item.name] = (
            _from_raw(item.name, item.datatype, shape, raw[number])
            if raw
            else _from_contents(item.name, item.datatype, shape, item.contents)
        )
    missing = [item.name for item in spec.inputs if not item.optional and item.name not in tensors]
    if missing:
        raise malformed(f"input {missing[0]} of model {spec.name} is missing; it needs: {', '.join(specs)}")
    return tensors


def wanted_outputs(request: inference_pb2.ModelInferRequest, spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """The outputs a request asks for, in its order; all of them where it names none.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """
    if not request.outputs:
        return spec.outputs
    specs = {item.name: item for item in spec.outputs}
    wanted: dict[str, TensorSpec] = {}
    for item in request.outputs:
        if item.name not in specs:
            raise malformed(f"no output {_shown(item.name)} of model {spec.name}; there are: {', '.join(specs)}")
        if item.name in wanted:
            raise malformed(f"output {item.name} is asked for twice")
        _refuse_what_is_not_offered(f"output {item.name}", item.parameters)
        wanted[item.name] = specs[item.name]
    return tuple(wanted.values())


def write_tensors(
    response: inference_pb2.ModelInferResponse,
    tensors: Mapping[str, Tensor],
    wanted: Collection[TensorSpec],
    *,
    raw: bool,
) -> None:
    """Adds outputs to an answer.

    Args:
        response: to add to.
        tensors: by name; each of the datatype its spec says.
        wanted: which, in order.
        raw: whether elements go into raw_output_contents.
    """
    for spec in wanted:
        tensor = tensors[spec.name]
        shape = (len(tensor),) if isinstance(tensor, list) else tensor.shape
        output = response.outputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
        if raw:
            response.raw_output_contents.append(
                b"".join(part for item in tensor for part in (_LENGTH.pack(len(item)), item))
                if isinstance(tensor, list)
                else np.ascontiguousarray(tensor, _DTYPES[spec.datatype]).tobytes()
            )
        else:
            values = tensor if isinstance(tensor, list) else tensor.ravel().tolist()
            getattr(output.contents, _CONTENTS[spec.datatype]).extend(values)


def malformed(text: str) -> ContractError:
    """REQUEST_MALFORMED in these words."""
    return ContractError(Reason.REQUEST_MALFORMED, text)


def _refuse_what_is_not_offered(what: str, parameters: Parameters) -> None:
    for name in _NOT_OFFERED:
        if name in parameters:
            raise malformed(f"{what} asks for {name}, which this station does not offer; send and read tensors inline")


def _check_form(name: str, datatype: str, shape: tuple[int, ...], known: TensorSpec, spec: ModelSpec) -> None:
    if datatype != known.datatype:
        raise malformed(f"input {name} has datatype {_shown(datatype)}, expected {known.datatype}")
    expected = spec.full_shape(known)
    fits = len(shape) == len(expected) and all(
        side >= 1 and wanted in (-1, side) for side, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        raise malformed(f"input {name} has shape {_sides(shape)}, expected {_sides(expected)} (-1: any, at least 1)")
    if spec.max_batch_size and shape[0] > spec.max_batch_size:
        raise malformed(f"input {name} holds {shape[0]} pictures, expected at most {spec.max_batch_size} in a request")


def _from_raw(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    count = math.prod(shape)
    if datatype == "BYTES":
        return _byte_strings(name, data, count)
    dtype = _DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise malformed(
            f"input {name} has {len(data)} bytes of raw contents, expected {count * dtype.itemsize} for {datatype}"
            f" {_sides(shape)}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _byte_strings(name: str, data: bytes, count: int) -> list[bytes]:
    items: list[bytes] = []
    at = 0
    while at < len(data) and len(items) < count:
        end = at + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, at)[0]
        if end > len(data):
            raise malformed(
                f"input {name}: raw contents end inside element {len(items)}; each element is its length, four bytes"
                " little-endian, and so many bytes"
            )
        items.append(data[at + _LENGTH.size : end])
        at = end
    if at != len(data) or len(items) != count:
        more = " and more" if at != len(data) else ""
        raise malformed(f"input {name} has {len(items)} elements{more} in its raw contents, expected {count}")
    return items


def _from_contents(
    name: str, datatype: str, shape: tuple[int, ...], contents: inference_pb2.InferTensorContents
) -> Tensor:
    field = _CONTENTS[datatype]
    others = [item.name for item, _ in contents.ListFields() if item.name != field]
    if others:
        raise malformed(f"input {name} is {datatype} and has {others[0]}, expected {field}")
    values: Sequence[Any] = getattr(contents, field)
    count = math.prod(shape)
    if len(values) != count:
        raise malformed(f"input {name} has {len(values)} {field}, expected {count} for {_sides(shape)}")
    if datatype == "BYTES":
        return list(values)
    array = np.array(values, np.uint32 if datatype == "UINT8" else _DTYPES[datatype])
    if datatype == "UINT8" and array.max(initial=0) > np.iinfo(np.uint8).max:
        raise malformed(f"input {name} has the element {array.max()}, expected 0 to 255")
    return array.astype(_DTYPES[datatype], copy=False).reshape(shape)


def _shown(text: str) -> str:
    return repr(text[:_LONGEST_NAME])


def _sides(shape: Sequence[int]) -> str:
    shown = ", ".join(str(side) for side in shape[:8])
    return f"[{shown}{', ...' if len(shape) > 8 else ''}]"
