"""One suite for every engine: whoever serves a graph keeps these promises."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.engines_on_host import HostMachine, stored, stored_for_this_machine
from support.packages import SIZE, TOP_K, anchor_head, cell_head, expected_score, graph_for, picture

from edge.backends import BACKENDS, BackendMissingError, open_backend
from edge.backends.contract import Backend, BackendError, Images, Outputs
from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from edge.backends.onnxruntime_gpu import BoundSession
from edge.backends.onnxruntime_session import load_onnxruntime
from edge.backends.scripted import Scripted
from edge.backends.tensorrt_native import open_native
from lineside.reasons import ContractError, Reason

Open = Callable[[bytes], Backend]


def scripted(graph: bytes) -> Backend:
    """Answers what the real engine answers for this file's picture."""
    with open_backend("onnxruntime-cpu", graph) as engine:
        try:
            outputs = engine.infer(images())
        except ContractError:
            heat = np.full((4, 4, 2), np.nan, np.float32)
            return Scripted([{"heat": heat}])
    return Scripted([{name: values[0] for name, values in outputs.items()}])


class Bound(OnnxRuntimeCpu):
    """The way of the GPU's providers, with buffers bound to a device; the device is the processor."""

    name = "bound"

    def __init__(self, graph: bytes) -> None:
        super().__init__(graph)
        self._bound = BoundSession(load_onnxruntime(), self._session, "cpu")

    def _infer(self, images: Images) -> Outputs:
        return self._bound.run(images)


def on_host(library: str, *, rtx: bool) -> Open:
    """Native TensorRT over a driver that keeps its memory on the host: tests/support says what is real in it."""

    def opened(graph: bytes) -> Backend:
        host = HostMachine(library, rtx=rtx)
        host.knows(graph)
        with tempfile.TemporaryDirectory() as folder:
            store, _ = stored(Path(folder), graph)
            return open_native(graph, store, host.parts)

    return opened


def real_tensorrt(graph: bytes) -> Backend:
    """An engine built now for the GPU of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        return open_native(graph, stored_for_this_machine(Path(folder), graph))


@functools.cache
def missing(name: str) -> str:
    """What this machine lacks for a backend; empty: nothing."""
    try:
        (real_tensorrt if name == "tensorrt" else _named(name))(graph_for(cell_head())).close()
    except BackendMissingError as error:
        return f"{name} needs more than there is here: {error}"
    return ""


def _named(name: str) -> Open:
    return lambda graph: open_backend(name, graph)


ENGINES: dict[str, Open] = {
    **{name: _named(name) for name in BACKENDS if name != "tensorrt"},
    "tensorrt": real_tensorrt,
    "rtx, cuda-python, on the host": on_host("cuda-python", rtx=True),
    "classic, cuda-python, on the host": on_host("cuda-python", rtx=False),
    "classic, pycuda, on the host": on_host("pycuda", rtx=False),
    "bound, on the processor": Bound,
    "scripted": scripted,
}


def images(count: int = 1) -> np.ndarray:
    return np.stack([picture()[:, :, None]] * count)


@pytest.fixture(params=sorted(ENGINES))
def open_engine(request: pytest.FixtureRequest) -> Open:
    if request.param in BACKENDS and (lacking := missing(request.param)):
        pytest.skip(lacking)
    return ENGINES[request.param]


def test_it_answers_with_the_declared_shapes_and_types(open_engine: Open) -> None:
    with open_engine(graph_for(anchor_head())) as engine:
        assert engine.input_shape == (SIZE, SIZE, 1)
        outputs = engine.infer(images())
        assert {name: (values.shape, values.dtype) for name, values in outputs.items()} == {
            "boxes": ((1, TOP_K, 4), np.float32),
            "scores": ((1, TOP_K), np.float32),
            "classes": ((1, TOP_K), np.int32),
            "areas": ((1, TOP_K), np.int32),
        }
        assert outputs["scores"][0, 0] == pytest.approx(expected_score(0.0))


def test_a_batch_answers_for_each_picture(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head())) as engine:
        alone = engine.infer(images())["heat"]
        assert np.array_equal(engine.infer(images(3))["heat"], np.repeat(alone, 3, axis=0))


def test_an_answer_stays_what_it_is_after_the_next_call(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head())) as engine:
        first = engine.infer(images())["heat"]
        kept = first.copy()
        engine.infer(np.zeros_like(images()))
        assert np.array_equal(first, kept)


def test_the_callers_pictures_stay_what_they_are(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head())) as engine:
        mine = images()
        engine.infer(mine)
        engine.infer(np.zeros_like(mine))
        assert np.array_equal(mine, images())


def test_the_same_picture_gives_the_same_bytes(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head())) as engine:
        assert engine.infer(images())["heat"].tobytes() == engine.infer(images())["heat"].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, SIZE, SIZE, 1), np.float32),
        np.zeros((SIZE, SIZE, 1), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, SIZE + 1, 1), np.uint8),
        np.zeros((0, SIZE, SIZE, 1), np.uint8),
    ],
)
def test_a_wrong_picture_is_refused_with_what_is_expected(open_engine: Open, wrong: np.ndarray) -> None:
    with open_engine(graph_for(cell_head())) as engine, pytest.raises(ValueError, match="expected uint8"):
        engine.infer(wrong)


def test_a_picture_that_is_not_contiguous_is_answered_all_the_same(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head())) as engine:
        wide = np.repeat(images(), 2, axis=2)[:, :, ::2]
        assert not wide.flags.c_contiguous
        assert np.array_equal(engine.infer(wide)["heat"], engine.infer(images())["heat"])


def test_an_output_that_is_no_number_never_leaves_the_engine(open_engine: Open) -> None:
    with open_engine(graph_for(cell_head(), bias=float("nan"))) as engine:
        with pytest.raises(ContractError) as error:
            engine.infer(images())
        assert error.value.reason is Reason.PKG_NAN


def test_a_closed_engine_refuses_to_run_and_closes_twice(open_engine: Open) -> None:
    engine = open_engine(graph_for(cell_head()))
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.infer(images())
