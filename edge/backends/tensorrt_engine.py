"""Native TensorRT: an engine out of the store, run on the GPU. `tensorrt` and `tensorrt_rtx` share this code.

All buffers are made once, for the largest batch, page-locked on the host's side. A picture costs one copy there, one
enqueue, one copy back. Where the shapes are fixed that is a CUDA graph: RTX captures its own; with classic TensorRT the
three steps are captured here, once for each batch size and profile.

One thread owns the engine from its opening to its end; another one is refused, because CUDA's state belongs to threads.
No GPU was at hand: the calls are run in the tests over a driver that keeps its memory on the host, and compared by name
and signature with both libraries (tests/export/engines/test_api.py).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.backends.batches import Piece, pieces
from edge.backends.contract import Backend, BackendError, Images, Outputs, OutputSpec
from edge.backends.device import Device, DeviceError, HostMemory
from edge.backends.engine_choice import batch_ranges
from lineside.engines.tensorrt_api import TensorRt

_LOGGER = logging.getLogger(__name__)

_INPUT = "image"
_MOST_GRAPHS = 16
"""Recordings kept; a batch size beyond that runs without one."""
_HOW_MANY_WORDS = 3


class TensorRtEngine(Backend):
    """One engine, one stream. It owns the device and closes it.

    Args:
        tensorrt: the library that built the engine, in that version.
        engine: bytes out of the store, which has checked them.
        device: of the calling thread.
        kernels: compiled for this GPU before, kept beside the engine; empty: none. RTX alone has them.

    Raises:
        BackendError: TensorRT refuses the engine, with its own words, or it does not keep the contract of model.proto.
        DeviceError: the GPU's memory does not suffice.
    """

    name = "tensorrt"

    def __init__(self, tensorrt: TensorRt, engine: bytes, device: Device, *, kernels: bytes = b"") -> None:
        self._tensorrt, self._device = tensorrt, device
        self._owner = threading.get_ident()
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[tuple[int, int], int] = {}
        self._warm: set[tuple[int, int]] = set()
        with contextlib.ExitStack() as stack:
            stack.callback(device.close)
            stack.callback(self._unload)  # the engine's own memory is on the device too
            self._load(engine, kernels)
            input_shape, outputs = _contract(tensorrt.module, self._engine)
            super().__init__(input_shape=input_shape, outputs=outputs)
            self._profiles = batch_ranges(
                [
                    [tuple(shape) for shape in self._engine.get_tensor_profile_shape(_INPUT, index)]
                    for index in range(self._engine.num_optimization_profiles)
                ]
            )
            largest = max(profile.largest for profile in self._profiles)
            self._addresses: dict[str, int] = {}
            self._hosts: dict[str, HostMemory] = {}
            for name, size in self._sizes(largest).items():
                self._addresses[name] = device.allocate(size)
                stack.callback(device.free, self._addresses[name])
                self._hosts[name] = device.allocate_host(size)
                stack.callback(device.free_host, self._hosts[name])
            # Contexts use the memory, so they go before it.
            stack.callback(self._contexts.clear)
            self._context(0)
            self._stack = stack.pop_all()

    def _load(self, engine: bytes, kernels: bytes) -> None:
        trt, log = self._tensorrt.module, self._tensorrt.log
        log.clear()
        self._runtime = trt.Runtime(log.sink)
        self._engine: Any = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise self._failed("does not load the engine")
        # RTX compiles where it serves, with settings and a cache of kernels; classic TensorRT has done so long ago.
        self._settings: Any = None
        if hasattr(self._engine, "create_runtime_config"):
            self._settings = self._engine.create_runtime_config()
            self._settings.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            cache = self._settings.create_runtime_cache()
            if kernels:
                cache.deserialize(kernels)
            if not self._settings.set_runtime_cache(cache):
                _LOGGER.warning("%s takes no cache of kernels; the first picture waits for them", self.name)
        self._captures = self._settings is None and self._device.captures

    def _sizes(self, count: int) -> dict[str, int]:
        """Bytes of each tensor for a batch."""
        sizes = {_INPUT: count * int(np.prod(self.input_shape))}
        return sizes | {
            name: count * int(np.prod(spec.shape)) * spec.dtype.itemsize for name, spec in self.outputs.items()
        }

    def _context(self, profile: int) -> Any:
        """The execution context of a profile, made when it is first needed; each keeps the profile it was made for."""
        context = self._contexts.get(profile)
        if context is None:
            engine = self._engine
            context = (
                engine.create_execution_context()
                if self._settings is None
                else engine.create_execution_context(self._settings)
            )
            if context is None:
                raise self._failed("makes no execution context")
            if not context.set_optimization_profile_async(profile, self._device.stream):
                raise self._failed(f"does not take its own profile {profile}")
            self._device.synchronize()
            for name, address in self._addresses.items():
                if not context.set_tensor_address(name, address):
                    raise self._failed(f"does not take a buffer for {name}")
            self._contexts[profile] = context
        return context

    def _infer(self, images: Images) -> Outputs:
        self._check_thread()
        outputs: Outputs = {
            name: np.empty((len(images), *spec.shape), spec.dtype) for name, spec in self.outputs.items()
        }
        for piece in pieces(len(images), self._profiles):
            self._run(piece, images[piece.start : piece.start + piece.count], outputs)
        return outputs

    def _run(self, piece: Piece, images: Images, outputs: Mapping[str, Any]) -> None:
        sizes = self._sizes(piece.run)
        entry = self._hosts[_INPUT][: sizes[_INPUT]].reshape(piece.run, *self.input_shape)
        entry[: piece.count] = images
        entry[piece.count :] = images[-1]  # something defined; thrown away
        key = (piece.profile, piece.run)
        context = self._context(piece.profile)
        graph = self._graphs.get(key)
        if graph is not None:
            self._device.launch(graph)
        else:
            if not context.set_input_shape(_INPUT, (piece.run, *self.input_shape)):
                raise self._failed(f"does not take {piece.run} pictures at once")
            self._put(context, sizes)
        self._device.synchronize()
        for name, spec in self.outputs.items():
            flat = self._hosts[name][: sizes[name]].view(spec.dtype)
            outputs[name][piece.start : piece.start + piece.count] = flat.reshape(piece.run, *spec.shape)[: piece.count]
        if graph is None and self._captures:
            self._capture(key, context, sizes)

    def _put(self, context: Any, sizes: Mapping[str, int]) -> None:
        """Copies there, runs, copies back: put on the stream, in that order."""
        self._device.to_device(self._addresses[_INPUT], self._hosts[_INPUT][: sizes[_INPUT]])
        if not context.execute_async_v3(self._device.stream):
            raise self._failed("does not run")
        for name in self.outputs:
            self._device.to_host(self._hosts[name][: sizes[name]], self._addresses[name])

    def _capture(self, key: tuple[int, int], context: Any, sizes: Mapping[str, int]) -> None:
        """Records this batch size for the next time. The first run of a size sets things up and cannot be recorded."""
        if key not in self._warm:
            self._warm.add(key)
            return
        if len(self._graphs) >= _MOST_GRAPHS:
            return
        try:
            graph = self._device.capture(lambda: self._put(context, sizes))
        except BackendError as error:
            self._captures = False
            _LOGGER.info("%s runs without CUDA graphs: %s", self.name, error)
            return
        self._graphs[key] = graph
        self._stack.callback(self._device.forget, graph)

    def _close(self) -> None:
        self._check_thread()
        self._graphs.clear()
        try:
            self._stack.close()
        except DeviceError:
            # After a fault of the GPU everything fails, giving back too; the process keeps nothing that can be used.
            _LOGGER.exception("%s: the GPU did not take back all of the engine's memory", self.name)

    def _unload(self) -> None:
        self._contexts.clear()
        self._engine = self._settings = self._runtime = None

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise BackendError(
                f"{self.name}: called from thread {threading.current_thread().name}; an engine on a GPU is used and"
                " closed by the thread that opened it"
            )

    def _failed(self, what: str) -> BackendError:
        said = [line.splitlines()[0] for line in self._tensorrt.log.errors if line.strip()][-_HOW_MANY_WORDS:]
        return BackendError(f"{self._tensorrt.title} {what}: {'; '.join(said) or 'it said nothing'}")


def _contract(trt: Any, engine: Any) -> tuple[tuple[int, int, int], dict[str, OutputSpec]]:
    """Input and outputs of an engine, by what itself says.

    Raises:
        BackendError: they are not those of model.proto.
    """
    dtypes = {trt.DataType.FLOAT: np.dtype(np.float32), trt.DataType.INT32: np.dtype(np.int32)}
    inputs: dict[str, tuple[Any, tuple[int, ...]]] = {}
    outputs: dict[str, OutputSpec] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape, dtype = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            inputs[name] = (dtype, shape)
            continue
        if dtype not in dtypes or len(shape) < 2 or min(shape[1:]) < 1:
            raise BackendError(
                f"the engine's output {name} is {dtype} {shape}; expected FLOAT or INT32 with all sides but the first"
                " fixed"
            )
        outputs[name] = OutputSpec(shape=shape[1:], dtype=dtypes[dtype])
    seen = ", ".join(f"{name} {dtype} {shape}" for name, (dtype, shape) in inputs.items())
    if list(inputs) != [_INPUT]:
        raise BackendError(f"the engine's inputs are {seen}; expected one: {_INPUT} UINT8 (N, H, W, C)")
    dtype, shape = inputs[_INPUT]
    if dtype != trt.DataType.UINT8 or len(shape) != 4 or min(shape[1:]) < 1:
        raise BackendError(f"the engine's input is {seen}; expected UINT8 (N, H, W, C) with all but N fixed")
    return (shape[1], shape[2], shape[3]), outputs
