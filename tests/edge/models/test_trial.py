"""The first inference happens in another process: whatever it does, we go on and know why it failed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import packages

from edge.models.trial import Trials
from lineside.golden import GoldenCase
from lineside.reasons import ContractError, Reason


def trials(**options: object) -> Trials:
    defaults = {"backend": "onnxruntime-cpu", "threads": 1, "seconds": 60.0, "memory_mb": 2048}
    return Trials(**(defaults | options))  # type: ignore[arg-type]


def refused(folder: Path, reason: Reason, word: str, **options: object) -> None:
    with pytest.raises(ContractError, match=word) as caught:
        trials(**options).run(folder)
    assert caught.value.reason is reason


def with_graph(folder: Path, model: onnx.ModelProto | bytes) -> Path:
    """A package whose graph is this one, and whose golden cases are those of the sound graph."""
    manifest = packages.manifest_for(packages.cell_head())
    frames = packages.golden_frames()
    sound = packages.graph_for(packages.cell_head())
    cases = [GoldenCase(frame=frame, outputs=packages.run_graph(sound, frame, manifest)) for frame in frames]
    raw = model if isinstance(model, bytes) else model.SerializeToString()
    return packages.write(folder, manifest, raw, cases=cases).folder


def heavy(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The sound graph, whose heat is multiplied by `factor`, which the nodes compute; it depends on the picture."""
    model = onnx.load_from_string(packages.graph_for(packages.cell_head()))
    model.graph.node[-1].output[0] = "clean"
    model.graph.node.extend([*nodes, helper.make_node("Mul", ["clean", "factor"], ["heat"])])
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in tensors.items())
    return model


def test_a_sound_package_passes(tmp_path: Path) -> None:
    trials().run(packages.make_anchor_package(tmp_path / "p").folder)


def test_a_graph_that_eats_memory_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["clean"], ["peak"], keepdims=0),
        helper.make_node("Expand", ["peak", "vast"], ["lake"]),
        helper.make_node("ReduceMean", ["lake"], ["factor"], keepdims=0),
    ]
    folder = with_graph(tmp_path / "p", heavy(nodes, {"vast": np.array([3 << 30], np.int64)}))
    refused(folder, Reason.PKG_MALFORMED, "lloc|memory|MB", memory_mb=1024)


def test_a_graph_that_hangs_is_stopped(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Mul", ["value", "value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["clean"], ["peak"], keepdims=0),
        helper.make_node("Loop", ["turns", "yes", "peak"], ["factor"], body=body),
    ]
    tensors = {"turns": np.array(1 << 60, np.int64), "yes": np.array(True)}
    folder = with_graph(tmp_path / "p", heavy(nodes, tensors))
    refused(folder, Reason.PKG_MALFORMED, "longer than 3 s", seconds=3.0)


@pytest.mark.parametrize(
    ("code", "word"),
    [("import os; os.abort()", "SIGABRT"), ("import sys; sys.exit(3)", "code 3"), ("print('[]')", "code 0")],
)
def test_a_runtime_that_crashes_is_told_from_one_that_answers(tmp_path: Path, code: str, word: str) -> None:
    folder = packages.make_cell_package(tmp_path / "p").folder
    refused(folder, Reason.PKG_MALFORMED, word, command=(sys.executable, "-c", code))


def test_each_fault_of_a_graph_has_its_reason(tmp_path: Path) -> None:
    cells = packages.cell_head()
    refused(with_graph(tmp_path / "nan", packages.graph_for(cells, bias=float("nan"))), Reason.PKG_NAN, "NaN")
    refused(with_graph(tmp_path / "other", packages.graph_for(cells, bias=0.1)), Reason.PKG_PARITY, "heat differs")
    refused(with_graph(tmp_path / "rgb", packages.graph_for(cells, channels=3)), Reason.PKG_INPUT, "manifest says")
    refused(with_graph(tmp_path / "three", packages.graph_for(cells, classes=3)), Reason.PKG_CLASSES, "3 classes")
    refused(with_graph(tmp_path / "text", b"\x08\x07not a graph"), Reason.PKG_MALFORMED, "not a readable ONNX")


def test_closing_ends_a_trial_that_runs(tmp_path: Path) -> None:
    folder = packages.make_cell_package(tmp_path / "p").folder
    ready = tmp_path / "ready"
    code = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    running = trials(command=(sys.executable, "-c", code))
    caught: list[ContractError] = []

    def run() -> None:
        try:
            running.run(folder)
        except ContractError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    waiting = threading.Event()
    while not ready.exists():
        waiting.wait(0.01)
    running.close()
    thread.join(30)
    assert [error.reason for error in caught] == [Reason.DRAINING]
    with pytest.raises(ContractError, match="stopping"):
        running.run(folder)
