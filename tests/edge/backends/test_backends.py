"""What is special to one engine, and how engines are found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.packages import cell_head, graph_for

from edge.backends import open_backend
from edge.backends.contract import BackendError
from edge.backends.scripted import Scripted


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no backend 'tpu'; there are onnxruntime-cpu, .*, tensorrt, auto"):
        open_backend("tpu", b"")


@pytest.mark.parametrize("graph", [b"", b"not a graph", graph_for(cell_head())[:200]])
def test_bytes_that_are_no_graph_are_refused_in_one_line(graph: bytes) -> None:
    with pytest.raises(BackendError) as error:
        open_backend("onnxruntime-cpu", graph)
    assert "\n" not in str(error.value)


def graph_with(name: str, kind: int, shape: list[object]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Cast", [name], ["heat"], to=TensorProto.FLOAT)],
        "odd",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info("heat", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "graph",
    [
        graph_with("input", TensorProto.UINT8, ["N", 8, 8, 1]),
        graph_with("image", TensorProto.FLOAT, ["N", 8, 8, 1]),
        graph_with("image", TensorProto.UINT8, [8, 8, 1]),
        graph_with("image", TensorProto.UINT8, ["N", "H", 8, 1]),
    ],
)
def test_a_graph_with_another_input_than_the_contract_says_is_refused(graph: bytes) -> None:
    with pytest.raises(BackendError, match="input"):
        open_backend("onnxruntime-cpu", graph)


def test_a_script_gives_its_answers_and_faults_in_turn() -> None:
    heat = {"heat": np.zeros((1, 1, 1), np.float32)}
    with Scripted([heat, BackendError("the device fell off")], input_shape=(8, 8, 1)) as engine:
        picture = np.zeros((1, 8, 8, 1), np.uint8)
        assert engine.infer(picture)["heat"].shape == (1, 1, 1, 1)
        with pytest.raises(BackendError, match="fell off"):
            engine.infer(picture)
        assert engine.infer(picture)["heat"].shape == (1, 1, 1, 1)


def test_a_script_that_changes_its_shape_is_caught() -> None:
    answers = [{"heat": np.zeros((1, 1, 1), np.float32)}, {"heat": np.zeros((2, 1, 1), np.float32)}]
    with Scripted(answers, input_shape=(8, 8, 1)) as engine:
        picture = np.zeros((1, 8, 8, 1), np.uint8)
        engine.infer(picture)
        with pytest.raises(BackendError, match="output heat is"):
            engine.infer(picture)


def test_a_script_takes_its_time() -> None:
    spent: list[float] = []
    heat = {"heat": np.zeros((1, 1, 1), np.float32)}
    with Scripted([heat], input_shape=(8, 8, 1), seconds=0.002, wait=spent.append) as engine:
        engine.infer(np.zeros((1, 8, 8, 1), np.uint8))
    assert spent == [0.002]
