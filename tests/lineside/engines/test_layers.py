"""The layers of an engine, out of the builder's log and out of the inspector's two dialects."""

from __future__ import annotations

import json

import pytest

from lineside.engines.layers import Layer, as_json, from_inspector, from_log, of_json, share_of_precisions

LISTING = """Layers:
Name: first, LayerType: kgen, Inputs: [ { Name: image, Dimensions: [-1,8,8,1], Strides: [64,8,1,1], \
StrideOrder: [3,2,1,0], Datatype: UInt8, Format: (Linear) Row major linear format }], Constants: [], Outputs: [ \
{ Name: grey, Dimensions: [-1,8,8,1], Strides: [64,8,1,1], StrideOrder: [3,2,1,0], Datatype: Half, Format: (Linear) \
Row major }], TacticName: t_0x1, StreamId: 0, Metadata: [ONNX Layer: cast][ONNX Layer: mean]
Name: second, LayerType: conv, Inputs: [ { Name: grey, Dimensions: [-1,8,8,1], Datatype: Half, Format: x }], \
Constants: [ { Name: w, Dimensions: [4,1,3,3], Datatype: Half, Format: x }, { Name: b, Dimensions: [4], Datatype: \
Float, Format: x }], Outputs: [ { Name: heat, Dimensions: [-1,4,4,2], Datatype: Float, Format: x }, { Name: n, \
Dimensions: [-1,2], Datatype: Int64, Format: x }], TacticName: , StreamId: 0, Metadata:

I/O Tensors:
 Name: image, IOMode: Input, DataType: UInt8, Dimensions: [-1,8,8,1], Location: Device
"""


def test_a_log_is_read_layer_by_layer_and_tensors_of_the_engine_are_none() -> None:
    assert from_log(LISTING) == (
        Layer(
            name="first",
            kind="kgen",
            inputs="uint8",
            outputs="fp16 -1x8x8x1",
            constant_bytes=0,
            nodes=("cast", "mean"),
        ),
        # 4*1*3*3 halves of 2 bytes and 4 floats of 4 bytes
        Layer(
            name="second",
            kind="conv",
            inputs="fp16",
            outputs="fp32 -1x4x4x2, int64 -1x2",
            constant_bytes=36 * 2 + 4 * 4,
            nodes=(),
        ),
    )


@pytest.mark.parametrize("listing", ["", "Layers:\n", "Name: x", "nonsense\nName: a, LayerType: b"])
def test_a_log_without_layers_gives_none(listing: str) -> None:
    assert from_log(listing) == ()


NEW = {"Name": "i", "Dimensions": [-1, 8], "Datatype": "Int8", "Format": "Row major linear format"}
OLD = {"Name": "i", "Location": "Device", "Dimensions": [-1, 8], "Format/Datatype": "Row major linear Int8 format"}


@pytest.mark.parametrize("tensor", [NEW, OLD], ids=["TensorRT 11", "TensorRT 10"])
def test_the_inspectors_dialects_say_the_same(tensor: dict[str, object]) -> None:
    item = {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [tensor], "Outputs": [tensor], "Metadata": ""}
    (layer,) = from_inspector(json.dumps({"Layers": [item], "Bindings": ["image"]}))
    assert (layer.name, layer.kind, layer.inputs, layer.outputs) == ("c", "CaskConvolution", "int8", "int8 -1x8")


def test_an_engine_without_details_names_its_layers_alone() -> None:
    assert [layer.name for layer in from_inspector('{"Layers": ["a", "b"]}')] == ["a", "b"]


@pytest.mark.parametrize("text", ["[]", "{}", "no json"])
def test_another_answer_of_the_inspector_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"list of layers|Expecting value"):
        from_inspector(text)


def test_layers_survive_the_record_and_damage_is_told() -> None:
    layers = from_log(LISTING)
    assert of_json(json.loads(json.dumps(as_json(layers)))) == layers
    for damaged in ({}, [1], [{"name": "a"}]):
        with pytest.raises(ValueError, match="damaged"):
            of_json(damaged)


def test_a_layer_counts_for_its_widest_output() -> None:
    # first gives halves; second floats and whole numbers
    assert share_of_precisions(from_log(LISTING)) == {"fp16": 1, "fp32": 1}
