"""A graph that names its classes is held to them, and weights that are no numbers are found wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support import packages

from edge.models.graph_facts import check_class_names, refuse_nan_weights
from lineside.package import CLASSES_KEY
from lineside.reasons import ContractError, Reason

GRAPH = packages.graph_for(packages.anchor_head())
MANIFEST = packages.manifest_for(packages.anchor_head())


def named(*classes: str, text: str | None = None) -> bytes:
    model = onnx.load_from_string(GRAPH)
    model.metadata_props.add(key="other", value="x")
    model.metadata_props.add(key=CLASSES_KEY, value=json.dumps(classes) if text is None else text)
    return bytes(model.SerializeToString())


def test_the_manifests_classes_in_their_order_pass_and_so_does_a_graph_that_names_none() -> None:
    check_class_names(GRAPH, MANIFEST)
    check_class_names(named(*packages.CLASSES), MANIFEST)


@pytest.mark.parametrize(
    "graph",
    [
        named("scratch", "dent"),
        named("dent"),
        named("dent", "scratch", "hole"),
        named(text="no JSON"),
        named(text='{"dent": 1}'),
    ],
)
def test_other_classes_or_another_order_are_refused(graph: bytes) -> None:
    with pytest.raises(ContractError, match="another's name") as caught:
        check_class_names(graph, MANIFEST)
    assert caught.value.reason is Reason.PKG_CLASSES


def with_weight(tensor: TensorProto) -> bytes:
    model = onnx.load_from_string(GRAPH)
    model.graph.initializer.append(tensor)
    return bytes(model.SerializeToString())


def bfloat16(*bits: int) -> TensorProto:
    made = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[len(bits)])
    made.raw_data = np.array(bits, "<u2").tobytes()
    return made


@pytest.mark.parametrize(
    ("tensor", "bad"),
    [
        (numpy_helper.from_array(np.array([1, np.nan], np.float32), "w"), True),
        (numpy_helper.from_array(np.array([1, np.nan], np.float16), "w"), True),
        (numpy_helper.from_array(np.array([1, np.nan], np.float64), "w"), True),
        (helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, float("nan")]), True),
        (helper.make_tensor("w", TensorProto.DOUBLE, [2], [1.0, float("nan")]), True),
        (bfloat16(0x3F80, 0x7FC0), True),
        # Infinity is a number that masks are made with; whole numbers may have any bits.
        (numpy_helper.from_array(np.array([-np.inf, np.inf], np.float32), "w"), False),
        (numpy_helper.from_array(np.array([-1, 2143289344], np.int32), "w"), False),
        (bfloat16(0x3F80, 0x7F80, 0xFF80), False),
    ],
)
def test_a_weight_that_is_no_number_is_found_in_any_form(tensor: TensorProto, bad: bool) -> None:
    graph = with_weight(tensor)
    if not bad:
        refuse_nan_weights(graph)
        return
    with pytest.raises(ContractError, match=r"weight 'w' of model\.onnx holds NaN") as caught:
        refuse_nan_weights(graph)
    assert caught.value.reason is Reason.PKG_NAN


def test_a_weight_of_half_a_number_is_torn() -> None:
    tensor = numpy_helper.from_array(np.array([1, 2], np.float32), "w")
    tensor.raw_data = tensor.raw_data[:-1]
    with pytest.raises(ContractError, match="torn"):
        refuse_nan_weights(with_weight(tensor))


@settings(max_examples=100, deadline=None)
@given(end=st.integers(0, len(GRAPH) - 1), place=st.integers(0, len(GRAPH) - 1), flip=st.integers(1, 255))
def test_altered_bytes_pass_or_are_refused_with_a_reason(end: int, place: int, flip: int) -> None:
    altered = bytearray(named(*packages.CLASSES))
    altered[place] ^= flip
    for raw in (GRAPH[:end], bytes(altered)):
        assert outcome(lambda raw=raw: refuse_nan_weights(raw)) in (None, Reason.PKG_MALFORMED, Reason.PKG_NAN)  # type: ignore[misc]
        assert outcome(lambda raw=raw: check_class_names(raw, MANIFEST)) in (  # type: ignore[misc]
            None,
            Reason.PKG_MALFORMED,
            Reason.PKG_CLASSES,
        )


def outcome(check: Callable[[], None]) -> Reason | None:
    try:
        check()
    except ContractError as error:
        return error.reason
    return None
