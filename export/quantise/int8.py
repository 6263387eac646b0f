"""int8 by QDQ: the graph's trunk in eight bits, written so that ONNX Runtime and TensorRT both run it as such.

Four rules make the form; each was found by measuring or by a refusal, and benchmarks/quantise.py repeats the figures:

- Activations and weights are signed and symmetric (TensorRT takes no other zero point than 0), biases stay float.
- Every reader of a tensor has a QuantizeLinear and DequantizeLinear of its own. On x86 ONNX Runtime turns signed
  tensors into unsigned ones only where one pair has one reader; a shared pair leaves the convolution behind it in
  float, with its weights expanded for each picture. It also merges equal pairs, so the scale of each further one is
  the next float number.
- A convolution is quantised on its output, before a Relu too, with the scale of the tensor behind the Relu: what is
  below zero may clip, the Relu cuts it off anyway. Without that ONNX Runtime does not fuse it.
- Weights use 64 of 127 steps. x86 processors without VNNI add two products in 16 bits and clip the sum; with seven
  bits there is nothing to clip, and the same package gives the same answers on every processor.

`form="cpu"` is the same with unsigned activations that need not be symmetric: one bit more behind a Relu, and faster
on a processor; TensorRT refuses it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.quantise.ranges import Images, Ranges, calibrate
from export.quantise.trunk import readers_of, trunk_of

FORMS = ("portable", "cpu")
WEIGHT_STEPS = 64
_SMALLEST_SCALE = np.float32(1e-8)


def to_int8(
    graph: bytes,
    pictures: Sequence[Images],
    *,
    float_nodes: Collection[str] = (),
    method: str = "minmax",
    form: str = "portable",
) -> bytes:
    """The graph with its trunk in eight bits, calibrated on pictures.

    Args:
        graph: model.onnx in float.
        pictures: model inputs (1, H, W, C) uint8 through the station's letterbox (`export.parity.letterbox_input`).
        float_nodes: heavy nodes by name that stay in float; the heads always do.
        method: of calibration; one of `export.quantise.ranges.METHODS`.
        form: "portable" (ONNX Runtime and TensorRT) or "cpu" (ONNX Runtime alone).

    Raises:
        ValueError: no picture, nothing left to quantise, unknown nodes, method or form.
    """
    return with_ranges(graph, calibrate(graph, pictures, method), float_nodes=float_nodes, form=form)


def quantisable(graph: bytes) -> tuple[str, ...]:
    """The nodes `to_int8` puts into eight bits unless told otherwise, in the graph's order."""
    model = onnx.load_from_string(graph)
    constants = {item.name for item in model.graph.initializer}
    trunk = trunk_of(model)
    return tuple(
        node.name
        for node in model.graph.node
        if node.name in trunk.heavy
        and node.name not in trunk.last
        and (node.op_type == "Conv" or (node.op_type == "MatMul" and node.input[0] not in constants))
        and node.input[1] in constants
    )


def with_ranges(graph: bytes, ranges: Ranges, *, float_nodes: Collection[str] = (), form: str = "portable") -> bytes:
    """`to_int8` with ranges that are known already."""
    if form not in FORMS:
        raise ValueError(f"form is {form!r}, expected one of {', '.join(FORMS)}")
    possible = quantisable(graph)
    unknown = sorted(set(float_nodes) - set(possible))
    if unknown:
        raise ValueError(f"no such layers to leave in float: {', '.join(unknown)}; there are {', '.join(possible)}")
    chosen = [name for name in possible if name not in float_nodes]
    if not chosen:
        raise ValueError("every layer was left in float, nothing is quantised; leave some to int8, or use fp16")
    model = onnx.load_from_string(graph)
    _Writer(model, ranges, frozenset(chosen), signed=form == "portable").write()
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    scale: np.float32
    zero: np.int8 | np.uint8


class _Writer:
    """One conversion: decides which tensors are quantised, then writes the nodes anew."""

    def __init__(self, model: onnx.ModelProto, ranges: Ranges, chosen: frozenset[str], *, signed: bool) -> None:
        self._graph = model.graph
        self._ranges = ranges
        self._chosen = chosen
        self._signed = signed
        self._constants = {item.name: item for item in model.graph.initializer}
        self._readers = readers_of(model.graph.node)
        self._makers = {output: node for node in model.graph.node for output in node.output}
        self._added: list[onnx.TensorProto] = []
        self._pairs: dict[str, int] = {}

    def write(self) -> None:
        sums = {node.name for node in self._graph.node if self._is_sum(node)}
        after, before = self._wanted(sums)
        nodes: list[onnx.NodeProto] = []
        for node in self._graph.node:
            if node.name in self._chosen:
                nodes.extend(self._weights(node))
            for place, name in enumerate(node.input):
                if name in before and (node.name in self._chosen or node.name in sums):
                    added = self._pair(name, before[name])
                    node.input[place] = added[-1].output[0]
                    nodes.extend(added)
            outputs = [name for name in node.output if name in after]
            nodes.append(node)
            for name in outputs:
                # The node gets another output, and the pair behind it gives the tensor its old name back.
                raw = f"{name}/raw"
                node.output[list(node.output).index(name)] = raw
                nodes.extend(self._pair(raw, after[name], out=name))
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        kept = [item for item in [*self._graph.initializer, *self._added] if item.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        del self._graph.value_info[:]

    def _is_sum(self, node: onnx.NodeProto) -> bool:
        """A residual sum of what a quantised layer gives: it can stay in eight bits."""
        if node.op_type != "Add" or any(name in self._constants or name not in self._ranges for name in node.input):
            return False
        makers = [self._makers.get(name) for name in node.input]
        return any(maker is not None and maker.name in self._chosen for maker in makers)

    def _wanted(self, sums: Collection[str]) -> tuple[dict[str, _Scale], dict[str, _Scale]]:
        """Scales of the tensors quantised where they are made, and of those quantised where they are read."""
        inside = self._chosen | set(sums)
        after: dict[str, _Scale] = {}
        before: dict[str, _Scale] = {}
        for node in self._graph.node:
            if node.name not in inside:
                continue
            read = [node.input[0]] if node.name in self._chosen else list(node.input)
            before.update((name, self._scale(name)) for name in read)
            output = node.output[0]
            readers = self._readers[output]
            if len(readers) == 1 and readers[0].op_type == "Relu":
                relu = readers[0].output[0]
                # Unsigned: ONNX Runtime takes Relu and quantisation in one, where the pair stands behind the Relu.
                after[output if self._signed else relu] = self._scale(relu)
            elif len(readers) != 1 or readers[0].name not in inside:
                after[output] = self._scale(output)
        if not self._signed:
            # Unsigned pairs may be shared, so what has one where it is made needs none where it is read.
            before = {name: scale for name, scale in before.items() if name not in after}
        return after, before

    def _scale(self, tensor: str) -> _Scale:
        low, high = self._ranges[tensor]
        low, high = min(low, 0.0), max(high, 0.0)
        if self._signed:
            return _Scale(scale=np.maximum(np.float32(max(-low, high) / 127), _SMALLEST_SCALE), zero=np.int8(0))
        scale = np.maximum(np.float32((high - low) / 255), _SMALLEST_SCALE)
        return _Scale(scale=scale, zero=np.uint8(round(-low / float(scale))))

    def _pair(self, tensor: str, scale: _Scale, out: str | None = None) -> list[onnx.NodeProto]:
        """Quantise and back, for one reader; no two pairs of a tensor are equal."""
        number = self._pairs.get(tensor, 0)
        self._pairs[tensor] = number + 1
        name = f"{tensor}/{number}"
        value = scale.scale
        for _ in range(number):
            value = np.nextafter(value, np.float32(np.inf))
        self._added.append(numpy_helper.from_array(np.asarray(value, np.float32), f"{name}/scale"))
        self._added.append(numpy_helper.from_array(np.asarray(scale.zero), f"{name}/zero"))
        parameters = [f"{name}/scale", f"{name}/zero"]
        return [
            helper.make_node("QuantizeLinear", [tensor, *parameters], [f"{name}/q"], name=f"{name}/quantise"),
            helper.make_node(
                "DequantizeLinear", [f"{name}/q", *parameters], [out or f"{name}/dq"], name=f"{name}/dequantise"
            ),
        ]

    def _weights(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Per output channel: axis 0 of a convolution's kernel, axis 1 of a matrix."""
        source = node.input[1]
        axis = 0 if node.op_type == "Conv" else numpy_helper.to_array(self._constants[source]).ndim - 1
        weights = numpy_helper.to_array(self._constants[source]).astype(np.float32)
        steps, scales = quantised_weights(weights, axis)
        name = f"{node.name}/weight"
        for suffix, values in (("q", steps), ("scale", scales), ("zero", np.zeros(len(scales), np.int8))):
            self._added.append(numpy_helper.from_array(values, f"{name}/{suffix}"))
        node.input[1] = f"{name}/dq"
        return [
            helper.make_node(
                "DequantizeLinear",
                [f"{name}/q", f"{name}/scale", f"{name}/zero"],
                [f"{name}/dq"],
                name=f"{name}/dequantise",
                axis=axis,
            )
        ]


def quantised_weights(weights: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers -64 to 64 of the weights' shape, and the scale (channels,) along the axis."""
    rest = tuple(place for place in range(weights.ndim) if place != axis)
    scales = np.maximum(np.abs(weights).max(axis=rest) / np.float32(WEIGHT_STEPS), _SMALLEST_SCALE).astype(np.float32)
    shape = [1] * weights.ndim
    shape[axis] = -1
    steps = np.clip(np.rint(weights / scales.reshape(shape)), -WEIGHT_STEPS, WEIGHT_STEPS).astype(np.int8)
    return steps, scales
