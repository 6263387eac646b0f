"""Native TensorRT up to the device: what is loaded, what is refused, in which order the GPU is used, what is left."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cuda_on_host import HostCuda
from support.engines_on_host import GPU, ONE_PROFILE, HostEngine, HostMachine, record_of, stored
from support.packages import anchor_head, cell_head, graph_for, picture

from edge.backends import BackendMissingError, open_backend
from edge.backends.contract import BackendError
from edge.backends.tensorrt_native import EngineAbsentError, open_native
from lineside.engines.key import BatchRange
from lineside.engines.store import EngineStore, new_record

GRAPH = graph_for(cell_head())


def images(*brightness: float) -> np.ndarray:
    return np.stack([picture(brightness=value)[:, :, None] for value in brightness or (0.8,)])


def on(machine: HostMachine, folder: Path, graph: bytes = GRAPH, **engine: Any) -> Any:
    machine.knows(graph)
    store, _ = stored(folder, graph, **engine)
    return open_native(graph, store, machine.parts)


def expected(pictures: np.ndarray) -> np.ndarray:
    with open_backend("onnxruntime-cpu", GRAPH) as engine:
        return engine.infer(pictures)["heat"]


def test_a_picture_costs_two_copies_one_enqueue_and_one_wait_in_that_order(tmp_path: Path) -> None:
    machine = HostMachine()
    with on(machine, tmp_path) as engine:
        machine.cuda.calls.clear()
        assert np.array_equal(engine.infer(images())["heat"], expected(images()))
        assert machine.cuda.calls == ["cudaMemcpyAsync", "enqueue", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])


def test_pycuda_does_the_same_and_gives_its_context_back(tmp_path: Path) -> None:
    machine = HostMachine("pycuda", rtx=False)
    with on(machine, tmp_path) as engine:
        machine.cuda.calls.clear()
        for _ in range(3):
            assert np.array_equal(engine.infer(images())["heat"], expected(images()))
        assert machine.cuda.calls[:4] == ["memcpy_htod_async", "enqueue", "memcpy_dtoh_async", "synchronize"]
        assert machine.cuda.counted["enqueue"] == 3
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])
    assert machine.cuda.calls[-2:] == ["pop", "detach"]


def test_memory_is_had_once_and_not_for_each_picture(tmp_path: Path) -> None:
    machine = HostMachine()
    with on(machine, tmp_path, graph_for(anchor_head())) as engine:
        had = machine.cuda.counted
        for count in (1, 3, 4, 2):
            engine.infer(images(*[0.5] * count))
        assert machine.cuda.counted["cudaMalloc"] == had["cudaMalloc"] == 5
        assert machine.cuda.counted["cudaHostAlloc"] == had["cudaHostAlloc"] == 5


def test_classic_tensorrt_is_captured_once_for_each_batch_size_and_then_launched(tmp_path: Path) -> None:
    machine = HostMachine(rtx=False)
    with on(machine, tmp_path) as engine:
        for brightness in (0.1, 0.9, 0.3, 0.7, 0.5):
            for batch in (images(brightness), images(brightness, 0.2)):
                assert np.array_equal(engine.infer(batch)["heat"], expected(batch))
        assert machine.cuda.counted["cudaGraphInstantiate"] == 2
        assert machine.cuda.counted["cudaGraphLaunch"] == 6
        # Twice run, once recorded, for each size.
        assert machine.cuda.counted["enqueue"] == 6
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])


def test_what_cannot_be_captured_runs_without_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = HostMachine(rtx=False)
    machine.cuda.failing.add("cudaGraphInstantiate")
    with on(machine, tmp_path) as engine, caplog.at_level(logging.INFO):
        for brightness in (0.1, 0.9, 0.3, 0.7):
            assert np.array_equal(engine.infer(images(brightness))["heat"], expected(images(brightness)))
    assert machine.cuda.counted["cudaGraphInstantiate"] == 1
    assert "runs without CUDA graphs: cudaGraphInstantiate: as the driver says" in caplog.text
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])


def test_rtx_captures_by_itself_and_begins_with_the_kernels_of_the_store(tmp_path: Path) -> None:
    machine = HostMachine()
    with on(machine, tmp_path, kernels=b"kernels for this GPU") as engine:
        for _ in range(3):
            engine.infer(images())
        assert machine.cuda.counted["cudaStreamBeginCapture"] == 0
    (loaded,) = machine.loaded
    assert loaded.strategy == loaded.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    assert loaded.kernels == b"kernels for this GPU"


PROFILES = (BatchRange(smallest=2, best=4, largest=4), BatchRange(smallest=1, best=1, largest=1))


@pytest.mark.parametrize("rtx", [True, False])
def test_each_batch_runs_under_the_profile_that_takes_it_and_large_ones_in_pieces(tmp_path: Path, rtx: bool) -> None:
    machine = HostMachine(rtx=rtx, profiles=PROFILES)
    with on(machine, tmp_path, profiles=PROFILES) as engine:
        for count in (1, 2, 4, 5, 7, 11):
            batch = images(*np.linspace(0.1, 0.9, count))
            assert np.array_equal(engine.infer(batch)["heat"], expected(batch))
        used = [(context.profile, context.shape[0]) for context in machine.loaded[0].contexts]
    assert used == [(PROFILES[0], 3), (PROFILES[1], 1)]  # 11 are 4, 4 and 3; 5 were 4 and 1
    assert machine.cuda.faults == []


def test_an_engine_that_takes_no_single_picture_is_given_more_and_answers_for_one(tmp_path: Path) -> None:
    profiles = (BatchRange(smallest=2, best=2, largest=2),)
    machine = HostMachine(profiles=profiles)
    with on(machine, tmp_path, profiles=profiles) as engine:
        assert np.array_equal(engine.infer(images(0.6))["heat"], expected(images(0.6)))


def test_another_thread_than_the_owner_is_refused(tmp_path: Path) -> None:
    machine = HostMachine()
    engine = on(machine, tmp_path)
    said: list[str] = []

    def elsewhere() -> None:
        try:
            engine.infer(images())
        except BackendError as error:
            said.append(str(error))

    thread = threading.Thread(target=elsewhere, name="somebody")
    thread.start()
    thread.join()
    assert said == [
        "tensorrt: called from thread somebody; an engine on a GPU is used and closed by the thread that opened it"
    ]
    engine.close()
    assert machine.cuda.left() == {}


def test_a_picture_that_fails_on_the_gpu_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    machine = HostMachine()
    with on(machine, tmp_path) as engine:
        machine.cuda.failing.add("cudaStreamSynchronize")
        with pytest.raises(BackendError, match="cudaStreamSynchronize: as the driver says"):
            engine.infer(images())
        machine.cuda.failing.clear()
        assert np.array_equal(engine.infer(images())["heat"], expected(images()))
    assert machine.cuda.left() == {}


def test_an_engine_that_does_not_run_says_so_in_the_librarys_words(tmp_path: Path) -> None:
    machine = HostMachine()
    with on(machine, tmp_path) as engine:
        machine.loaded[0].contexts[0].refuses = True
        with pytest.raises(BackendError, match=r"tensorrt_rtx [\d.]+ does not run: it said nothing"):
            engine.infer(images())


STEPS = ["cudaSetDevice", "cudaStreamCreateWithFlags", "cudaMalloc", "cudaHostAlloc", "cudaStreamSynchronize"]


@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_while_it_is_opened_nothing_is_left_on_the_gpu(tmp_path: Path, step: str) -> None:
    machine = HostMachine()
    machine.cuda.failing.add(step)
    with pytest.raises(BackendError, match=f"{step}: as the driver says"):
        on(machine, tmp_path)
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])


@pytest.mark.parametrize("library", ["cuda-python", "pycuda"])
def test_a_gpu_without_room_says_so_and_keeps_nothing(tmp_path: Path, library: str) -> None:
    machine = HostMachine(library, rtx=False)
    machine.cuda.room = 64 * 64 * 4 + 100
    with pytest.raises(BackendError, match=r"driver says \(cudaErrorMemory\)|out of memory"):
        on(machine, tmp_path)
    assert (machine.cuda.left(), machine.cuda.faults) == ({}, [])


def test_ten_engines_one_after_another_leave_nothing(tmp_path: Path) -> None:
    machine = HostMachine(rtx=False)
    for _ in range(10):
        with on(machine, tmp_path) as engine:
            for _ in range(3):
                engine.infer(images())
        assert machine.cuda.left() == {}
    assert machine.cuda.counted["cudaMalloc"] == machine.cuda.counted["cudaFree"] == 20


# Which engine may be loaded


def damaged(store: EngineStore, path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def cut_short(store: EngineStore, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def writable_by_all(store: EngineStore, path: Path) -> None:
    path.chmod(0o666)


def a_link(store: EngineStore, path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def no_engine_at_all(store: EngineStore, path: Path) -> None:
    """Well recorded; only the library can tell."""
    junk = b"no engine at all" * 100
    _, record = store.read_file(path)
    store.write(junk, new_record(junk, record.key, record.origin, build_seconds=0.0))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damaged, "damaged"),
        (cut_short, "damaged"),
        (writable_by_all, "everybody may write"),
        (a_link, "is a link"),
        (no_engine_at_all, "MALFORMED_ENGINE"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_spoilt_engine_is_refused_before_anything_of_it_is_deserialised(
    tmp_path: Path, spoil: Callable[[EngineStore, Path], None], reason: str
) -> None:
    machine = HostMachine()
    machine.knows(GRAPH)
    store, path = stored(tmp_path / "engines", GRAPH)
    spoil(store, path)
    with pytest.raises(EngineAbsentError, match=rf"engine {path.stem[:12]} is refused: .*{reason}"):
        open_native(GRAPH, store, machine.parts)
    assert machine.loaded == []
    assert machine.cuda.calls == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"builder": "tensorrt_rtx 1.6.0"},
            r"foreign: it was built by tensorrt_rtx 1.6.0, installed is tensorrt_rtx 1.7",
        ),
        ({"target": "SM120"}, "foreign: it was built for SM120, this machine's a GPU of the test is SM89"),
        ({"gpu": "NVIDIA Orin"}, "foreign: its kernels were timed on a NVIDIA Orin"),
        ({"gpu": GPU.name, "driver": "driver 1"}, "foreign: its kernels were timed with driver 1"),
        ({"graph_sha256": "0" * 64}, "the 1 engines here are of other models"),
    ],
)
def test_a_foreign_engine_is_refused_in_words(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    machine = HostMachine()
    machine.knows(GRAPH)
    store, _ = stored(tmp_path, GRAPH, **changes)
    with pytest.raises(EngineAbsentError, match=reason):
        open_native(GRAPH, store, machine.parts)
    assert machine.loaded == []


def test_a_retrained_model_of_the_same_shape_never_gets_the_old_ones_engine(tmp_path: Path) -> None:
    machine = HostMachine()
    machine.knows(GRAPH)
    store, _ = stored(tmp_path, GRAPH)
    with pytest.raises(EngineAbsentError, match="of other models"):
        open_native(graph_for(cell_head(), bias=0.1), store, machine.parts)


def test_of_several_engines_the_last_one_built_serves_and_the_next_where_it_is_spoilt(tmp_path: Path) -> None:
    """Another workspace stands for another setting of whoever built it."""
    machine = HostMachine()
    machine.knows(GRAPH)
    store, old = stored(tmp_path, GRAPH, options="workspace 1 MB")
    engine, record = record_of(GRAPH, ONE_PROFILE, options="workspace 2 MB")
    new = store.write(engine, record)
    os.utime(new, (0, 0))
    open_native(GRAPH, store, machine.parts).close()
    assert new.stat().st_mtime > 0  # it is the one that was asked for
    os.utime(old, (0, 0))
    damaged(store, new)
    open_native(GRAPH, store, machine.parts).close()
    assert old.stat().st_mtime > 0


def other_name(engine: HostEngine) -> None:
    engine.tensors = {("input" if name == "image" else name): facts for name, facts in engine.tensors.items()}


def float_input(engine: HostEngine) -> None:
    mode, _, shape = engine.tensors["image"]
    engine.tensors["image"] = (mode, engine.trt.DataType.FLOAT, shape)


def long_output(engine: HostEngine) -> None:
    mode, _, shape = engine.tensors["heat"]
    engine.tensors["heat"] = (mode, engine.trt.DataType.INT64, shape)


def open_output(engine: HostEngine) -> None:
    mode, kind, _ = engine.tensors["heat"]
    engine.tensors["heat"] = (mode, kind, (-1, -1, 4, 2))


@pytest.mark.parametrize("alter", [other_name, float_input, long_output, open_output])
def test_an_engine_that_takes_or_gives_something_else_than_the_contract_is_refused(
    tmp_path: Path, alter: Callable[[HostEngine], None]
) -> None:
    machine = HostMachine()
    machine.alter = alter
    with pytest.raises(BackendError, match=r"the engine's (input|output).*expected"):
        on(machine, tmp_path)
    assert machine.cuda.left() == {}


def test_an_engine_that_the_library_does_not_load_is_told_in_its_words(tmp_path: Path) -> None:
    machine = HostMachine()  # it knows no engine, as a library without memory for one
    store, _ = stored(tmp_path, GRAPH)
    with pytest.raises(BackendError, match="does not load the engine"):
        open_native(GRAPH, store, machine.parts)
    assert machine.cuda.left() == {}


# What serves instead


def test_without_an_engine_onnx_runtime_serves_and_says_for_what_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = HostMachine()
    with open_backend("tensorrt", GRAPH, engines=tmp_path, parts=machine.parts) as engine:
        assert engine.name == "onnxruntime-cpu"
        assert "no engine was built here yet" in engine.stands_in
        assert np.array_equal(engine.infer(images())["heat"], expected(images()))
    assert "onnxruntime-cpu serves meanwhile: no engine was built here yet" in caplog.text


def test_with_its_engine_nothing_stands_in(tmp_path: Path) -> None:
    machine = HostMachine()
    machine.knows(GRAPH)
    stored(tmp_path, GRAPH)
    for name in ("tensorrt", "auto"):
        with open_backend(name, GRAPH, engines=tmp_path, parts=machine.parts) as engine:
            assert (engine.name, engine.stands_in) == ("tensorrt", "")


def test_a_machine_without_a_gpu_is_an_error_where_one_was_asked_for_and_none_where_it_was_not(tmp_path: Path) -> None:
    machine = HostMachine()
    machine.gpu = None
    with pytest.raises(BackendMissingError, match="there is no GPU here, or no driver for it"):
        open_backend("tensorrt", GRAPH, engines=tmp_path, parts=machine.parts)
    with open_backend("auto", GRAPH, engines=tmp_path, parts=machine.parts) as engine:
        assert engine.name == "onnxruntime-cpu"


def test_this_files_driver_objects_to_what_a_gpu_would_not_bear() -> None:
    cuda = HostCuda()
    runtime = cuda.runtime()
    _, device = runtime.cudaMalloc(8)
    _, stream = runtime.cudaStreamCreateWithFlags(1)
    pageable = np.zeros(8, np.uint8)
    runtime.cudaMemcpyAsync(device, pageable.ctypes.data, 8, "there", stream)
    runtime.cudaFree(device)
    runtime.cudaFree(device)
    assert [fault.split(" ")[0] for fault in cuda.faults] == ["a", "cudaFree", "cudaFree", "cudaFree"]
    assert cuda.left() == {"streams": 1}
