"""Real TensorRT engines in a real store, run without a GPU.

The library is the real `tensorrt_rtx`: it builds the engine and judges its header. Only what needs a driver is
replaced: a deserialised engine. In its place stands one that tells of the engine's tensors and profiles and computes
its outputs by ONNX Runtime, out of the device memory of `HostCuda` and into it, when the stream is waited for.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from support.cuda_on_host import HostCuda

from edge.backends.cuda_python import CudaPythonDevice
from edge.backends.pycuda_device import PycudaDevice
from edge.backends.tensorrt_native import Parts, machine
from export.engines.compile import Compiled, Job, compile_here
from lineside.engines.gpu import Gpu
from lineside.engines.key import ANY, BatchRange, EngineKey, shapes_of
from lineside.engines.store import EngineStore, Origin, Record, new_record
from lineside.engines.tensorrt_api import TensorRt, TensorRtMissingError, load_tensorrt

GPU = Gpu(name="a GPU of the test", capability="SM89", driver="driver 580, CUDA 13.0")
ONE_PROFILE = (BatchRange(smallest=1, best=1, largest=4),)


def real_tensorrt() -> TensorRt:
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")
    return load_tensorrt("tensorrt_rtx")


def compiled(graph: bytes, profiles: tuple[BatchRange, ...] = ONE_PROFILE) -> Compiled:
    """Built by the real library."""
    return compiled_by(real_tensorrt(), graph, profiles, "SM89")


@functools.lru_cache(maxsize=16)
def compiled_by(tensorrt: TensorRt, graph: bytes, profiles: tuple[BatchRange, ...], target: str) -> Compiled:
    """Kept for the tests that follow."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    height, width, channels = session.get_inputs()[0].shape[1:]
    job = Job(
        builder=tensorrt.name,
        target=target,
        input_name="image",
        sides=(height, width, channels),
        profiles=profiles,
        workspace_mb=64,
    )
    return compile_here(tensorrt, job, graph)


def record_of(graph: bytes, profiles: tuple[BatchRange, ...] = ONE_PROFILE, **changes: Any) -> tuple[bytes, Record]:
    """An engine and its record; `changes` are of its key, as if it had been built so."""
    return _recorded(compiled(graph, profiles), graph, profiles, **changes)


def _recorded(made: Compiled, graph: bytes, profiles: tuple[BatchRange, ...], **changes: Any) -> tuple[bytes, Record]:
    key = {
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
        "builder": real_tensorrt().title,
        "target": "SM89",
        "gpu": ANY,
        "driver": ANY,
        "precision": "fp32",
        "profiles": shapes_of(profiles, (64, 64, 1)),
    } | changes
    origin = Origin(model="tiles 1.0.0", package_digest="sha256:1", source_graph_sha256=key["graph_sha256"])
    return made.engine, new_record(made.engine, EngineKey(**key), origin, build_seconds=made.seconds)


def stored(
    folder: Path,
    graph: bytes,
    profiles: tuple[BatchRange, ...] = ONE_PROFILE,
    *,
    kernels: bytes = b"",
    **changes: Any,
) -> tuple[EngineStore, Path]:
    store = EngineStore(folder)
    engine, record = record_of(graph, profiles, **changes)
    return store, store.write(engine, record, kernels)


def stored_for_this_machine(folder: Path, graph: bytes) -> EngineStore:
    """An engine built now for the GPU of this machine. Raises BackendMissingError: there is none."""
    here = machine()
    runtime, gpu = here.runtimes[0], here.gpu
    of_gpu = {"gpu": gpu.name, "driver": gpu.driver} if runtime.times_kernels else {}
    made = compiled_by(runtime, graph, ONE_PROFILE, gpu.capability)
    engine, record = _recorded(made, graph, ONE_PROFILE, builder=runtime.title, target=gpu.capability, **of_gpu)
    store = EngineStore(folder)
    store.write(engine, record, made.runtime_cache)
    return store


class HostEngine:
    """What a deserialised engine tells and does, by the graph it was built from."""

    def __init__(self, trt: Any, cuda: HostCuda, graph: bytes, profiles: tuple[BatchRange, ...]) -> None:
        self.trt, self.cuda, self.profiles = trt, cuda, profiles
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        kinds = {
            "tensor(uint8)": trt.DataType.UINT8,
            "tensor(float)": trt.DataType.FLOAT,
            "tensor(int32)": trt.DataType.INT32,
        }
        modes = trt.TensorIOMode
        self.tensors = {
            item.name: (mode, kinds[item.type], (-1, *item.shape[1:]))
            for mode, items in ((modes.INPUT, self.session.get_inputs()), (modes.OUTPUT, self.session.get_outputs()))
            for item in items
        }
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(profiles)
        self.contexts: list[HostContext] = []

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name][1]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][2]

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        batch = self.profiles[index]
        sides = self.tensors[name][2][1:]
        return [(count, *sides) for count in (batch.smallest, batch.best, batch.largest)]

    def create_execution_context(self, settings: Any = None) -> HostContext:
        self.cuda.calls.append("context")
        self.contexts.append(HostContext(self))
        return self.contexts[-1]


class RtxEngine(HostEngine):
    """RTX's, which is set up where it serves."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kernels = b""
        self.strategy: Any = None

    def create_runtime_config(self) -> Any:
        engine = self

        class Settings:
            cuda_graph_strategy: Any = None

            def create_runtime_cache(self) -> Any:
                return SimpleNamespace(deserialize=lambda kernels: setattr(engine, "kernels", kernels))

            def set_runtime_cache(self, cache: Any) -> bool:
                return True

            def __setattr__(self, name: str, value: Any) -> None:
                assert name == "cuda_graph_strategy"
                engine.strategy = value

        return Settings()


class HostContext:
    """Objects where the real one would read or write what it must not."""

    def __init__(self, engine: HostEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.profile: BatchRange | None = None
        self.shape: tuple[int, ...] = ()
        self.refuses = False

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = self.engine.profiles[index]
        return stream in self.engine.cuda.streams

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None
        self.shape = shape
        return name == "image" and self.profile.smallest <= shape[0] <= self.profile.largest

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return HostCuda.holds(self.engine.cuda.memory, address, 1)

    def execute_async_v3(self, stream: int) -> bool:
        engine, cuda = self.engine, self.engine.cuda
        cuda.calls.append("enqueue")
        if self.refuses or set(self.addresses) != set(engine.tensors) or stream not in cuda.streams:
            return False
        shape = self.shape
        cuda.put(lambda: self._compute(shape))
        return True

    def _compute(self, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape))
        images = np.frombuffer(ctypes.string_at(self.addresses["image"], size), np.uint8).reshape(shape)
        names = [name for name in self.addresses if name != "image"]
        for name, values in zip(names, self.engine.session.run(names, {"image": images}), strict=True):
            if not HostCuda.holds(self.engine.cuda.memory, self.addresses[name], values.nbytes):
                self.engine.cuda.faults.append(f"{name} is written beyond its memory")
            ctypes.memmove(self.addresses[name], np.ascontiguousarray(values).ctypes.data, values.nbytes)


class HostMachine:
    """A machine with a GPU, as far as the station can tell.

    Args:
        library: cuda-python or pycuda.
        rtx: whether the installed library is RTX; else it answers as classic TensorRT does.
        profiles: of every engine that is loaded.
    """

    def __init__(
        self, library: str = "cuda-python", *, rtx: bool = True, profiles: tuple[BatchRange, ...] = ONE_PROFILE
    ) -> None:
        self.cuda = HostCuda()
        self.gpu: Gpu | None = GPU
        self.loaded: list[HostEngine] = []
        """Engines that were deserialised."""
        self.alter: Callable[[HostEngine], None] = lambda _: None
        """Done to each engine that is deserialised."""
        self.built_here: bytes | None = None
        """The graph of engines that others build while the test runs: two builds of one graph differ."""
        self._graphs: dict[str, bytes] = {}
        self._library, self._rtx, self._profiles = library, rtx, profiles
        self._tensorrt = self._replaced(real_tensorrt())

    def knows(self, graph: bytes) -> None:
        """An engine of this graph can be run."""
        self._graphs[hashlib.sha256(compiled(graph, self._profiles).engine).hexdigest()] = graph

    @property
    def parts(self) -> Parts:
        makers: dict[str, Callable[[], Any]] = {
            "cuda-python": lambda: CudaPythonDevice(self.cuda.runtime()),
            "pycuda": lambda: PycudaDevice(self.cuda.pycuda()),
        }
        return Parts(tensorrt=self._load, gpu=lambda: self.gpu, device=makers[self._library])

    def _load(self, name: str) -> TensorRt:
        if name != "tensorrt_rtx":
            raise TensorRtMissingError(f"no TensorRT here: {name}: not in this test")
        return self._tensorrt

    def _replaced(self, real: TensorRt) -> TensorRt:
        host = self

        class Runtime:
            def __init__(self, logger: object) -> None:
                self._real = real.module.Runtime(logger)

            def get_engine_validity(self, engine: bytes) -> Any:
                return self._real.get_engine_validity(engine)

            def deserialize_cuda_engine(self, engine: bytes) -> HostEngine | None:
                graph = host._graphs.get(hashlib.sha256(engine).hexdigest(), host.built_here)
                if graph is None:
                    return None
                kind = RtxEngine if host._rtx else HostEngine
                host.loaded.append(kind(real.module, host.cuda, graph, host._profiles))
                host.alter(host.loaded[-1])
                return host.loaded[-1]

        names = {name: getattr(real.module, name) for name in dir(real.module) if not name.startswith("__")}
        return TensorRt(
            name=real.name,
            version=real.version,
            module=SimpleNamespace(**{**names, "Runtime": Runtime}),
            log=real.log,
        )
