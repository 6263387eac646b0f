"""fp16 by conversion: the trunk's weights and activations in half precision, everything else as it was.

Half as many bytes, and the form TensorRT builds fp16 engines from. A processor gains nothing by it: ONNX Runtime
turns what it has no kernel for back into float.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.quantise.trunk import trunk_of

LARGEST = float(np.finfo(np.float16).max)

# Operations whose float inputs are all data. Others keep float: their inputs are scales, regions, limits of a type the
# standard fixes, or sums too long for eleven bits.
# fmt: off
_HALF = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Div", "Elu", "Erf",
    "Exp", "Expand", "Flatten", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "MatMul", "MaxPool", "Mish", "Mul", "Neg", "Pad", "PRelu", "Relu",
    "Reshape", "Sigmoid", "Slice", "Softplus", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
))
# fmt: on


def to_fp16(graph: bytes, *, float_nodes: Collection[str] = ()) -> bytes:
    """The graph with its trunk in half precision; inputs and outputs keep their types.

    Args:
        graph: model.onnx in float.
        float_nodes: nodes by name that stay in float.

    Raises:
        ValueError: the graph has no trunk, a weight is beyond 65504, or unknown nodes are named.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), data_prop=True)
    trunk = trunk_of(model)
    unknown = sorted(set(float_nodes) - trunk.between)
    if unknown:
        raise ValueError(f"no such nodes in the trunk to leave in float: {', '.join(unknown)}")
    half = {
        node.name
        for node in model.graph.node
        if node.name in trunk.between and node.name not in float_nodes and node.op_type in _HALF
    }
    _convert(model.graph, half)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _convert(graph: onnx.GraphProto, half: Collection[str]) -> None:
    floats = {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}
    floats |= {item.name for item in [*graph.value_info, *graph.input] if _is_float(item)}
    constants = {item.name: item for item in graph.initializer}
    results = {item.name for item in graph.output}
    made: dict[str, str] = {}
    """Tensors that exist in half precision, by their old name."""
    nodes: list[onnx.NodeProto] = []
    back: set[str] = set()
    """Those of them that a half node made and that exist in float again."""
    halves: set[str] = set()

    def halved(name: str) -> str:
        if name not in made:
            made[name] = f"{name}/half"
            if name in constants:
                values = numpy_helper.to_array(constants[name])
                if values.size and float(np.abs(values).max()) > LARGEST:
                    raise ValueError(
                        f"{name} holds {np.abs(values).max():.3g}, beyond the {LARGEST:g} of half precision;"
                        " leave its layer in float"
                    )
                graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), made[name]))
            else:
                nodes.append(_cast(name, made[name], TensorProto.FLOAT16))
        return made[name]

    for node in list(graph.node):
        if node.name in half:
            for place, name in enumerate(node.input):
                if name in floats:
                    node.input[place] = halved(name)
            nodes.append(node)
            for place, name in enumerate(node.output):
                if name in floats or name in results:
                    made[name] = node.output[place] = f"{name}/half"
                    halves.add(name)
                    if name in results:
                        nodes.append(_cast(made[name], name, TensorProto.FLOAT))
                        back.add(name)
        else:
            for name in node.input:
                if name in halves - back:
                    nodes.append(_cast(made[name], name, TensorProto.FLOAT))
                    back.add(name)
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]


def _is_float(item: onnx.ValueInfoProto) -> bool:
    return bool(item.type.tensor_type.elem_type == TensorProto.FLOAT)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)
