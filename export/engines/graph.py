"""What a builder is given: the package's graph, read once, and what its own tensors say about it."""

from __future__ import annotations

import dataclasses
import hashlib

import onnx

from lineside.engines.tensorrt_api import EngineBuildError

_PRECISIONS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """An ONNX graph of our contract: one uint8 input (N, height, width, channels)."""

    data: bytes
    precision: str
    """fp32, fp16, bf16 or int8."""
    input_name: str
    batch: int | None
    """What the batch is fixed to; None: any size."""
    sides: tuple[int, int, int]
    """Height, width, channels."""

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


def read_graph(data: bytes) -> Graph:
    """Reads a graph as far as a builder's settings need it.

    Raises:
        EngineBuildError: it cannot be read, keeps weights in another file, or has not the one input of the contract.
    """
    model = _load(data)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise EngineBuildError(f"model.onnx has the inputs {names}; expected one, uint8 (N, height, width, channels)")
    tensor = inputs[0].type.tensor_type
    dims = tensor.shape.dim
    sides = tuple(side.dim_value for side in dims[1:])
    if tensor.elem_type != onnx.TensorProto.UINT8 or len(sides) != 3 or min(sides) < 1:
        raise EngineBuildError(
            f"model.onnx takes {onnx.TensorProto.DataType.Name(tensor.elem_type)} (N, {', '.join(map(str, sides))});"
            " expected UINT8 (N, height, width, channels) with all but N fixed; export it again"
        )
    return Graph(
        data=data,
        precision=_precision(model),
        input_name=inputs[0].name,
        batch=dims[0].dim_value or None,
        sides=(sides[0], sides[1], sides[2]),
    )


def precision_of(graph: bytes) -> str:
    """What a graph's own tensors say: fp32, fp16, bf16 or int8. Builders without precision flags follow it.

    Raises:
        EngineBuildError: the graph keeps weights in another file, or cannot be read.
    """
    return _precision(_load(graph))


def _load(data: bytes) -> onnx.ModelProto:
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's and onnx's own kinds
        raise EngineBuildError(f"model.onnx cannot be read: {error}") from error
    if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer):
        raise EngineBuildError("model.onnx keeps weights in another file; export it with external_data=False")
    return model


def _precision(model: onnx.ModelProto) -> str:
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    types = {tensor.data_type for tensor in model.graph.initializer} & _PRECISIONS.keys()
    reduced = types - {onnx.TensorProto.FLOAT}
    return _PRECISIONS[min(reduced)] if reduced else "fp32"
