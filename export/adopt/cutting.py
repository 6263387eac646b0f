"""Small cuts in an ONNX graph: keep what certain tensors need, ask for one picture at a time. Gives copies."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def cut(model: onnx.ModelProto, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """A copy whose outputs are these tensors, without the nodes and weights that they do not need.

    Raises:
        ValueError: the graph has no such tensor.
    """
    graph = model.graph
    made_by = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    given = {item.name for item in graph.input} | {item.name for item in graph.initializer}
    needed: set[int] = set()
    waiting = list(outputs)
    used = set(waiting)
    while waiting:
        name = waiting.pop()
        if name not in made_by:
            if name not in given and name in outputs:
                raise ValueError(f"the graph has no tensor {name!r}")
            continue
        if made_by[name] in needed:
            continue
        needed.add(made_by[name])
        node = graph.node[made_by[name]]
        sources = {source for source in (*node.input, *_captured(node)) if source}
        waiting.extend(sources - used)
        used |= sources
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.output[:], made.graph.initializer[:], made.graph.value_info[:]
    made.graph.node.extend(graph.node[number] for number in sorted(needed))
    made.graph.initializer.extend(item for item in graph.initializer if item.name in used)
    # The type is found by whoever loads the graph.
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return made


def _captured(node: onnx.NodeProto) -> set[str]:
    """Tensors that the node's inner graphs take from outside."""
    names: set[str] = set()
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for child in inner.node:
                names |= set(child.input) | _captured(child)
    return names


def for_one_picture(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with batch 1 and without shapes that were true for another input."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    batch = made.graph.input[0].type.tensor_type.shape.dim[0]
    batch.Clear()
    batch.dim_value = 1
    del made.graph.value_info[:]
    for item in made.graph.output:
        item.type.tensor_type.ClearField("shape")
    return made


def constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Values of the initializers and Constant nodes that hold a tensor, by name."""
    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    values[node.output[0]] = numpy_helper.to_array(attribute.t)
    return values
