"""int8 and fp16 graphs: fused where they serve, read by both runtimes, near the float graph, refused with reasons."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.checkpoints import frames
from support.quantised import exported

from export.parity import letterbox_input
from export.quantise import to_fp16, to_int8
from export.quantise.int8 import quantisable, quantised_weights, with_ranges
from export.quantise.ranges import calibrate
from export.quantise.trunk import trunk_of
from lineside.v1 import model_pb2

Outputs = Mapping[str, NDArray[np.generic]]
PICTURES = [
    letterbox_input(frame, model_pb2.ModelInput(width=96, height=64, channels=1, padding=114))
    for frame in frames((64, 96), (128, 192), (96, 64), (64, 96))
]


@pytest.fixture(params=["anchors", "cells"])
def graph(request: pytest.FixtureRequest) -> bytes:
    return exported(request.param)


def run(
    graph: bytes, picture: NDArray[np.uint8], *, optimised: bool = True, written: Path | None = None
) -> dict[str, NDArray[np.generic]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if written is not None:
        options.optimized_model_filepath = str(written)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": picture}), strict=True))


def scores(outputs: Outputs) -> NDArray[np.float64]:
    return np.asarray(outputs["heat" if "heat" in outputs else "scores"], np.float64)


def kinds(path: Path) -> collections.Counter[str]:
    return collections.Counter(node.op_type for node in onnx.load(path).graph.node)


def test_weights_are_rounded_per_channel_to_64_steps() -> None:
    """Channel 0: largest 1.28, so a step is 0.02; -0.5 is -25 steps, 0.031 is 1.55, rounded 2. Channel 1 is empty."""
    weights = np.array([[1.28, -0.5, 0.031], [0.0, 0.0, 0.0]], np.float32)
    steps, scales = quantised_weights(weights, 0)
    assert steps.tolist() == [[64, -25, 2], [0, 0, 0]]
    assert scales[0] == pytest.approx(0.02)
    across, _ = quantised_weights(weights.T.copy(), 1)
    assert across.tolist() == steps.T.tolist()


def test_seven_bits_of_weights_leave_nothing_to_clip_in_sixteen_bits() -> None:
    assert 2 * 255 * 64 <= np.iinfo(np.int16).max < 2 * 255 * 127


@pytest.mark.parametrize("form", ["portable", "cpu"])
def test_every_layer_is_an_eight_bit_one_where_it_serves(graph: bytes, form: str, tmp_path: Path) -> None:
    made = to_int8(graph, PICTURES, form=form)
    run(made, PICTURES[0], written=tmp_path / "optimised.onnx")
    found = kinds(tmp_path / "optimised.onnx")
    layers = len(quantisable(graph))
    heads = len(trunk_of(onnx.load_from_string(graph)).last)
    assert layers == 4
    assert (found["QLinearConv"], found["Conv"] + found["FusedConv"]) == (layers, heads)
    assert found["QLinearAdd"] == 1
    assert found["ConvInteger"] == 0


@pytest.mark.parametrize("form", ["portable", "cpu"])
@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_the_answers_stay_near_the_float_graphs(graph: bytes, form: str, method: str) -> None:
    made = to_int8(graph, PICTURES, method=method, form=form)
    for picture in PICTURES:
        expected, seen = scores(run(graph, picture)), scores(run(made, picture))
        assert expected.std() > 0.02
        assert np.abs(np.sort(expected, axis=None) - np.sort(seen, axis=None)).mean() < 0.03


def test_the_fused_graph_computes_what_is_written_down(graph: bytes) -> None:
    """Whole numbers on this processor against the same steps written out in float: rounding alone differs."""
    made = to_int8(graph, PICTURES)
    for picture in PICTURES:
        fused, written = scores(run(made, picture)), scores(run(made, picture, optimised=False))
        assert np.abs(np.sort(fused, axis=None) - np.sort(written, axis=None)).mean() < 0.005


def test_layers_named_stay_in_float_and_the_heads_always_do(graph: bytes, tmp_path: Path) -> None:
    first = quantisable(graph)[0]
    ranges = calibrate(graph, PICTURES)
    made = onnx.load_from_string(with_ranges(graph, ranges, float_nodes=[first]))
    float_weights = {item.name for item in made.graph.initializer if item.data_type == TensorProto.FLOAT}
    in_float = {node.name for node in made.graph.node if node.op_type == "Conv" and node.input[1] in float_weights}
    assert in_float == {first, *trunk_of(onnx.load_from_string(graph)).last}


def test_activations_are_signed_and_symmetric_and_every_pair_has_one_reader(graph: bytes) -> None:
    """What TensorRT asks for, and what lets ONNX Runtime fuse."""
    made = onnx.load_from_string(to_int8(graph, PICTURES))
    constants = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    readers = collections.Counter(name for node in made.graph.node for name in node.input)
    pairs = [node for node in made.graph.node if node.op_type == "QuantizeLinear"]
    assert len(pairs) >= 8
    for node in pairs:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
        assert readers[node.output[0]] == 1
    dequantised = [node.output[0] for node in made.graph.node if node.op_type == "DequantizeLinear"]
    assert {readers[name] for name in dequantised} == {1}
    scales = collections.defaultdict(list)
    for node in pairs:
        scales[node.input[0]].append(float(constants[node.input[1]]))
    assert all(len(set(values)) == len(values) for values in scales.values())


def test_tensorrt_reads_the_portable_forms() -> None:
    pytest.importorskip("tensorrt_rtx")
    from lineside.engines.tensorrt_api import load_tensorrt

    tensorrt = load_tensorrt("tensorrt_rtx")
    trt = tensorrt.module
    graph = exported("anchors")

    def reads(made: bytes) -> bool:
        builder = trt.Builder(tensorrt.log.sink)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        return bool(trt.OnnxParser(network, tensorrt.log.sink).parse(made))

    assert reads(to_int8(graph, PICTURES))
    assert reads(to_fp16(graph))
    assert not reads(to_int8(graph, PICTURES, form="cpu"))


def test_half_precision_is_the_trunks_alone_and_changes_little(graph: bytes) -> None:
    made = to_fp16(graph)
    model = onnx.load_from_string(made)
    assert [item.type.tensor_type.elem_type for item in model.graph.input] == [TensorProto.UINT8]
    before = onnx.load_from_string(graph)
    assert [item.type.tensor_type.elem_type for item in model.graph.output] == [
        item.type.tensor_type.elem_type for item in before.graph.output
    ]
    weights = [item for item in model.graph.initializer if len(item.dims) == 4]
    assert {item.data_type for item in weights} == {TensorProto.FLOAT16}
    assert len(made) < 0.75 * len(graph)
    for picture in PICTURES:
        difference = np.abs(scores(run(graph, picture)) - scores(run(made, picture)))
        assert 0 < difference.max() < 5e-3


def test_a_weight_beyond_half_precision_is_named() -> None:
    node = helper.make_node("Conv", ["image", "w"], ["y"], name="only")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        [numpy_helper.from_array(np.full((1, 1, 1, 1), 1e6, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(ValueError, match="w holds 1e\\+06, beyond the 65504"):
        to_fp16(model.SerializeToString())
    assert to_fp16(model.SerializeToString(), float_nodes=["only"])


def test_the_same_pictures_give_the_same_bytes(graph: bytes) -> None:
    assert to_int8(graph, PICTURES) == to_int8(graph, PICTURES)
    assert to_fp16(graph) == to_fp16(graph)


def test_what_cannot_be_is_said(graph: bytes) -> None:
    with pytest.raises(ValueError, match="no calibration picture"):
        to_int8(graph, [])
    with pytest.raises(ValueError, match="expected one of minmax, percentile, entropy"):
        to_int8(graph, PICTURES, method="luck")
    with pytest.raises(ValueError, match="expected one of portable, cpu"):
        to_int8(graph, PICTURES, form="small")
    ranges = calibrate(graph, PICTURES[:1])
    with pytest.raises(ValueError, match="nose; there are node_"):
        with_ranges(graph, ranges, float_nodes=["nose"])
    with pytest.raises(ValueError, match="nothing is quantised"):
        with_ranges(graph, ranges, float_nodes=quantisable(graph))
    with pytest.raises(ValueError, match="leave in float: nose"):
        to_fp16(graph, float_nodes=["nose"])
