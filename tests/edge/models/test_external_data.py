"""External data is found wherever it hides in a graph, and torn bytes never pass."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support import packages

from edge.models.external_data import refuse_external_data
from lineside.reasons import ContractError, Reason

GRAPH = packages.graph_for(packages.anchor_head())


def tensor(*, outside: bool) -> TensorProto:
    made = helper.make_tensor("weights", TensorProto.FLOAT, [1], [1.0])
    if outside:
        made.ClearField("float_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="/etc/shadow")
    return made


def in_initializer(value: TensorProto) -> onnx.ModelProto:
    model = onnx.load_from_string(GRAPH)
    model.graph.initializer.append(value)
    return model


def in_constant(value: TensorProto) -> onnx.ModelProto:
    model = onnx.load_from_string(GRAPH)
    model.graph.node.append(helper.make_node("Constant", [], ["extra"], value=value))
    return model


def in_branch(value: TensorProto) -> onnx.ModelProto:
    branch = helper.make_graph([helper.make_node("Constant", [], ["inner"], value=value)], "branch", [], [])
    model = onnx.load_from_string(GRAPH)
    model.graph.node.append(helper.make_node("If", ["yes"], ["extra"], then_branch=branch, else_branch=branch))
    return model


def in_function(value: TensorProto) -> onnx.ModelProto:
    model = onnx.load_from_string(GRAPH)
    node = helper.make_node("Constant", [], ["inner"], value=value)
    model.functions.append(helper.make_function("own", "f", [], ["inner"], [node], [helper.make_opsetid("", 20)]))
    return model


def in_sparse(value: TensorProto) -> onnx.ModelProto:
    model = onnx.load_from_string(GRAPH)
    model.graph.sparse_initializer.add().values.CopyFrom(value)
    return model


@pytest.mark.parametrize("place", [in_initializer, in_constant, in_branch, in_function, in_sparse])
def test_weights_in_another_file_are_refused_wherever_they_are(place: object) -> None:
    refuse_external_data(place(tensor(outside=False)).SerializeToString())  # type: ignore[operator]
    with pytest.raises(ContractError, match="external data") as caught:
        refuse_external_data(place(tensor(outside=True)).SerializeToString())  # type: ignore[operator]
    assert caught.value.reason is Reason.PKG_MALFORMED


def test_an_engine_made_elsewhere_is_refused() -> None:
    model = onnx.load_from_string(GRAPH)
    model.graph.node.append(helper.make_node("EPContext", [], ["extra"], domain="com.microsoft"))
    with pytest.raises(ContractError, match="EPContext"):
        refuse_external_data(model.SerializeToString())


def test_a_graph_nested_without_end_is_refused() -> None:
    graph = helper.make_graph([], "inner", [], [])
    for _ in range(25):
        graph = helper.make_graph([helper.make_node("If", ["yes"], ["x"], then_branch=graph)], "outer", [], [])
    with pytest.raises(ContractError, match="levels deep"):
        refuse_external_data(onnx.ModelProto(graph=graph).SerializeToString())


@settings(max_examples=200, deadline=None)
@given(end=st.integers(0, len(GRAPH) - 1), place=st.integers(0, len(GRAPH) - 1), flip=st.integers(1, 255))
def test_torn_or_altered_bytes_pass_or_are_refused_with_the_reason(end: int, place: int, flip: int) -> None:
    altered = bytearray(GRAPH)
    altered[place] ^= flip
    for raw in (GRAPH[:end], bytes(altered)):
        try:
            refuse_external_data(raw)
            seen = Reason.PKG_MALFORMED
        except ContractError as error:
            seen = error.reason
        assert seen is Reason.PKG_MALFORMED
