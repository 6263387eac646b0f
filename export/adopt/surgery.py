"""The wrapped graph: uint8 pictures in, the K best candidates with their areas out, the foreign network in between.

    image (N, H, W, C) uint8 ── cast, colours, levels ──▶ foreign network ──▶ boxes, scores of all places
                                                                              └─▶ corners, pixels ─▶ K best ─▶ outputs

Only operations that ONNX Runtime and TensorRT both build, in forms that hold from opset 11 to the newest: slices take
their bounds as inputs, nothing is squeezed. Whole numbers stay whole: an area number is never divided as a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.adopt.cutting import cut
from export.adopt.families import Preprocessing
from export.adopt.foreign import Foreign
from export.adopt.reading import Reading, Table
from export.to_onnx import check_operations
from lineside.golden import ANCHOR_OUTPUTS

INPUT_NAME = "image"
_FOREIGN = "foreign/"
_OURS = "lineside/"


class _Builder:
    """Nodes in order, and constants, under names of our own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self._made = 0

    def constant(self, values: NDArray[Any] | Sequence[int]) -> str:
        """A constant; plain sequences become int64."""
        array = np.ascontiguousarray(values if isinstance(values, np.ndarray) else np.asarray(values, np.int64))
        name = f"{_OURS}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        """A node; gives its first output's name."""
        self._made += 1
        label = f"{_OURS}{kind}_{self._made}"
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs or (label,)), name=label, **attributes))
        return outputs[0] if outputs else label

    def columns(self, tensor: str, first: int, last: int) -> str:
        """Columns first to last (exclusive) of a table (N, rows, columns)."""
        bounds = [self.constant([value]) for value in (first, last, 2, 1)]
        return self.add("Slice", tensor, *bounds)


def wrap(foreign: Foreign, reading: Reading, preprocessing: Preprocessing, *, top_k: int) -> bytes:
    """The deployed graph, one file; the same inputs give the same bytes.

    Args:
        foreign: the network.
        reading: how its raw tensors are read.
        preprocessing: what it wants of a picture.
        top_k: candidates, at most places times classes.

    Raises:
        ValueError: what is left of the foreign graph holds operations that not every runtime builds.
    """
    inner = cut(foreign.model, reading.tensors)
    _plain(inner)
    check_operations(inner)
    inner = onnx.compose.add_prefix(inner, _FOREIGN)
    builder = _Builder()
    picture = _picture(builder, foreign, preprocessing)
    for node in inner.graph.node:
        for place, name in enumerate(node.input):
            if name == _FOREIGN + foreign.picture:
                node.input[place] = picture
    builder.nodes.extend(inner.graph.node)
    _candidates(builder, foreign, reading, top_k)
    graph = helper.make_graph(
        builder.nodes,
        "lineside",
        [
            helper.make_tensor_value_info(
                INPUT_NAME, TensorProto.UINT8, [foreign.batch or "N", foreign.height, foreign.width, foreign.channels]
            )
        ],
        _outputs(foreign, top_k),
        [*inner.graph.initializer, *builder.constants],
    )
    model = helper.make_model(
        graph, opset_imports=inner.opset_import, ir_version=inner.ir_version, producer_name="lineside"
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _plain(model: onnx.ModelProto) -> None:
    """Forgets where and when the file was made, and calls the standard operations' domain by its short name."""
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        if node.domain == "ai.onnx":
            node.domain = ""
    used = {node.domain for node in model.graph.node}
    opset = max(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    others = [item for item in model.opset_import if item.domain in used and item.domain not in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), *others])


def _picture(builder: _Builder, foreign: Foreign, preprocessing: Preprocessing) -> str:
    """From bytes to what the network wants. The cast comes first: TensorRT takes uint8 into a cast only."""
    values = builder.add("Cast", INPUT_NAME, to=TensorProto.FLOAT)
    if preprocessing.order == "bgr" and foreign.channels == 3:
        values = builder.add("Gather", values, builder.constant([2, 1, 0]), axis=3)
    if not foreign.channels_last:
        values = builder.add("Transpose", values, perm=[0, 3, 1, 2])
    per_channel = (1, 1, 1, foreign.channels) if foreign.channels_last else (1, foreign.channels, 1, 1)
    if preprocessing.white == 1.0:
        values = builder.add("Div", values, builder.constant(np.array(255, np.float32)))
    if preprocessing.mean:
        mean = np.array(preprocessing.mean, np.float32).reshape(per_channel)
        values = builder.add("Sub", values, builder.constant(mean))
    if preprocessing.deviation:
        deviation = np.array(preprocessing.deviation, np.float32).reshape(per_channel)
        values = builder.add("Div", values, builder.constant(deviation))
    return values if foreign.dtype == TensorProto.FLOAT else builder.add("Cast", values, to=foreign.dtype)


def _candidates(builder: _Builder, foreign: Foreign, reading: Reading, top_k: int) -> None:
    """From raw tables to the contract's outputs."""
    family = reading.family
    boxes, scores = _table(builder, reading.boxes), _table(builder, reading.scores)
    corners = _corners(builder, builder.columns(boxes, 0, 4), foreign, reading)
    heads = builder.columns(scores, reading.first_class, reading.first_class + reading.classes)
    if family.scores == "logit":
        heads = builder.add("Sigmoid", heads)
    if family.objectness:
        objectness = builder.columns(scores, reading.first_class - 1, reading.first_class)
        if family.scores == "logit":
            objectness = builder.add("Sigmoid", objectness)
        heads = builder.add("Mul", heads, objectness)
    flat = builder.add("Reshape", heads, builder.constant([0, reading.rows * reading.classes]))
    place = f"{_OURS}place"
    builder.add("TopK", flat, builder.constant([top_k]), outputs=("scores", place), axis=1, largest=1, sorted=1)
    count = builder.constant([reading.classes])
    row = builder.add("Div", place, count)
    kind = builder.add("Sub", place, builder.add("Mul", row, count))
    builder.add("Cast", kind, outputs=("classes",), to=TensorProto.INT32)
    one = builder.add("Reshape", row, builder.constant([0, top_k, 1]))
    four = builder.add("Concat", one, one, one, one, axis=2)
    builder.add("GatherElements", corners, four, outputs=("boxes",), axis=1)
    areas = row
    if reading.queries:
        areas = builder.add("GatherElements", _FOREIGN + reading.queries, row, axis=1)
    elif reading.order is not None:
        areas = builder.add("Gather", builder.constant(reading.order), row, axis=0)
    builder.add("Cast", areas, outputs=("areas",), to=TensorProto.INT32)


def _table(builder: _Builder, table: Table) -> str:
    """(N, rows, columns) float32."""
    values = builder.add("Cast", _FOREIGN + table.name, to=TensorProto.FLOAT)
    return builder.add("Transpose", values, perm=[0, 2, 1]) if table.turned else values


def _corners(builder: _Builder, boxes: str, foreign: Foreign, reading: Reading) -> str:
    """(N, rows, 4) x1 y1 x2 y2 in model pixels."""
    family = reading.family
    if family.unit == "sides":
        sides = np.array([foreign.width, foreign.height] * 2, np.float32)
        boxes = builder.add("Mul", boxes, builder.constant(sides))
    if family.box == "corners":
        return boxes
    middle, sides_ = builder.columns(boxes, 0, 2), builder.columns(boxes, 2, 4)
    if family.box == "cell":
        grid = reading.grid.boxes()
        strides = np.concatenate([np.full((level.count, 1), level.stride, np.float32) for level in reading.grid.levels])
        # The areas' middles are half a stride from the corners that offsets are measured from.
        corner = (grid[:, :2] + grid[:, 2:]) / 2 / strides - np.float32(0.5)
        middle = builder.add("Mul", builder.add("Add", middle, builder.constant(corner)), builder.constant(strides))
        sides_ = builder.add("Mul", builder.add("Exp", sides_), builder.constant(strides))
    half = builder.add("Mul", sides_, builder.constant(np.array(0.5, np.float32)))
    return builder.add("Concat", builder.add("Sub", middle, half), builder.add("Add", middle, half), axis=2)


def _outputs(foreign: Foreign, top_k: int) -> list[onnx.ValueInfoProto]:
    """All sides but the first are numbers, so that a station can check them before the first picture."""
    batch = foreign.batch or "N"
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT32)
    shapes = ([batch, top_k, 4], [batch, top_k], [batch, top_k], [batch, top_k])
    return [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(ANCHOR_OUTPUTS, kinds, shapes, strict=True)
    ]
