"""What a graph's own bytes say, read without an ONNX library: its classes' names, and weights that are no numbers.

Golden cases show NaN where it reaches an answer; a weight that no golden frame uses shows here. The numbers below are
field numbers of onnx.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from edge.models.external_data import fields
from lineside.package import CLASSES_KEY
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_GRAPH, _METADATA = 7, 14  # of ModelProto
_INITIALIZER = 5  # of GraphProto
_DATA_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES = 2, 4, 8, 9, 10  # of TensorProto
_FLOAT, _FLOAT16, _DOUBLE, _BFLOAT16 = 1, 10, 11, 16  # values of TensorProto.data_type
_DTYPES: Mapping[int, str] = {_FLOAT: "<f4", _FLOAT16: "<f2", _DOUBLE: "<f8", _BFLOAT16: "<u2"}


def check_class_names(graph: bytes, manifest: model_pb2.PackageManifest) -> None:
    """The classes are those of the manifest, in its order; a graph that names none is believed.

    Args:
        graph: ONNX, known to keep its data inside.
        manifest: of the package.

    Raises:
        ContractError: PKG_CLASSES; PKG_MALFORMED, the graph cannot be read.
    """
    said = _metadata(graph).get(CLASSES_KEY)
    if said is None:
        return
    names = [item.name for item in manifest.classes]
    try:
        known = json.loads(said)
    except ValueError:
        known = said
    if known != names:
        raise ContractError(
            Reason.PKG_CLASSES,
            f"the graph's classes are {said[:200]}, the manifest's {json.dumps(names, ensure_ascii=False)[:200]}; a"
            " detection would get another's name",
        )


def refuse_nan_weights(graph: bytes) -> None:
    """Looks at every stored weight.

    Args:
        graph: ONNX, known to keep its data inside.

    Raises:
        ContractError: PKG_NAN; PKG_MALFORMED, the graph cannot be read.
    """
    for number, value in fields(memoryview(graph)):
        if number == _GRAPH:
            for inner, tensor in fields(_message(value)):
                if inner == _INITIALIZER:
                    _check_tensor(_message(tensor))


def _check_tensor(tensor: memoryview) -> None:
    kind, name = 0, ""
    data: list[tuple[int, memoryview]] = []
    for number, value in fields(tensor):
        if number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME and not isinstance(value, int):
            name = bytes(value[:80]).decode(errors="replace")
        elif number in (_FLOATS, _RAW, _DOUBLES) and not isinstance(value, int):
            data.append((number, value))
    for number, block in data:
        dtype = {_FLOATS: "<f4", _DOUBLES: "<f8"}.get(number, _DTYPES.get(kind))
        if dtype is None:
            continue  # whole numbers
        if len(block) % np.dtype(dtype).itemsize:
            raise ContractError(Reason.PKG_MALFORMED, f"weight {name!r} of model.onnx is torn")
        values = np.frombuffer(block, dtype)
        if kind == _BFLOAT16:
            wrong = bool(((values & 0x7F80 == 0x7F80) & (values & 0x7F != 0)).any())
        else:
            wrong = bool(np.isnan(values).any())
        if wrong:
            raise ContractError(Reason.PKG_NAN, f"weight {name!r} of model.onnx holds NaN; train again from the parent")


def _metadata(graph: bytes) -> dict[str, str]:
    found = {}
    for number, value in fields(memoryview(graph)):
        if number == _METADATA:
            entry = dict(_texts(_message(value)))
            found[entry.get(1, "")] = entry.get(2, "")
    return found


def _texts(message: memoryview) -> Iterator[tuple[int, str]]:
    for number, value in fields(message):
        if not isinstance(value, int):
            yield number, bytes(value).decode(errors="replace")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ContractError(Reason.PKG_MALFORMED, "model.onnx is not a readable ONNX file")
    return value
