"""ONNX Runtime on an NVIDIA GPU: its CUDA execution provider, and its TensorRT one.

Input and outputs stay bound to buffers on the device, one set for each batch size, so a picture is copied there once
and the answer back once. Where the whole graph runs on the GPU it is captured as a CUDA graph, again one for each batch
size; a graph that cannot be captured is run without, and the log says so.

The binding is run in the tests on the processor, which has the same interface; no GPU was at hand, so on a GPU nothing
of this file has been run.
"""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends.contract import Backend, BackendError, BackendMissingError, Images, Outputs
from edge.backends.onnxruntime_session import (
    CPU,
    first_line,
    input_shape,
    load_onnxruntime,
    make_session,
    output_specs,
    require_provider,
    session_options,
)

_LOGGER = logging.getLogger(__name__)

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_MOST_BATCHES = 16
"""Batch sizes that keep buffers and a CUDA graph; the one used longest ago makes room."""


class BoundSession:
    """A session with its buffers on a device. Not thread-safe.

    Args:
        runtime: onnxruntime.
        session: of a graph of our contract.
        device: "cuda" or "cpu".
        captured: the session captures CUDA graphs, which are told apart by a number.
    """

    def __init__(self, runtime: Any, session: Any, device: str, *, captured: bool = False) -> None:
        self._runtime, self._session, self._device, self._captured = runtime, session, device, captured
        self._outputs = output_specs(session)
        self._bound: dict[int, tuple[Any, Any, dict[str, Any]]] = {}

    def run(self, images: Images) -> Outputs:
        """The outputs, which are the caller's."""
        count = len(images)
        bound = self._bound.pop(count, None)
        if bound is None:
            if len(self._bound) >= _MOST_BATCHES:
                self._bound.pop(next(iter(self._bound)))
            bound = self._bind(images)
        self._bound[count] = bound  # last: used most lately
        binding, entry, values = bound
        entry.update_inplace(images)
        options = self._runtime.RunOptions()
        if self._captured:
            options.add_run_config_entry("gpu_graph_id", str(count))
        self._session.run_with_iobinding(binding, options)
        # A copy also where the buffer is host memory: the next run writes into the same one.
        return {name: np.array(value.numpy()) for name, value in values.items()}

    def _bind(self, images: Images) -> tuple[Any, Any, dict[str, Any]]:
        make = self._runtime.OrtValue
        # A copy, because on the processor it would be the caller's own array, and the next picture written into it.
        entry = make.ortvalue_from_numpy(images.copy(), self._device, 0)
        values = {
            name: make.ortvalue_from_shape_and_type((len(images), *spec.shape), spec.dtype.type, self._device, 0)
            for name, spec in self._outputs.items()
        }
        binding = self._session.io_binding()
        binding.bind_ortvalue_input("image", entry)
        for name, value in values.items():
            binding.bind_ortvalue_output(name, value)
        return binding, entry, values


class OnnxRuntimeGpu(Backend):
    """One session on the first GPU.

    Raises:
        BackendMissingError: this onnxruntime, this machine or its driver cannot; says what is missing.
        BackendError: the bytes are no graph, or one that does not keep the contract of model.proto.
    """

    def __init__(self, name: str, graph: bytes, providers: list[Any], *, threads: int) -> None:
        self.name = name
        runtime = load_onnxruntime()
        require_provider(runtime, name, providers[0][0])
        _preload(runtime)
        options = session_options(runtime, threads)
        captured = True
        try:
            session = make_session(runtime, name, graph, options, _capturing(providers))
        except BackendMissingError:
            raise
        except BackendError as error:
            captured = False
            session = _without_capture(runtime, name, graph, options, providers)
            _LOGGER.info("%s runs this graph without CUDA graphs: %s", name, error)
        super().__init__(input_shape=input_shape(session), outputs=output_specs(session))
        self._session: BoundSession | None = BoundSession(runtime, session, "cuda", captured=captured)

    def _infer(self, images: Images) -> Outputs:
        assert self._session is not None
        try:
            return self._session.run(images)
        except Exception as error:
            raise BackendError(f"{self.name} failed: {first_line(error)}") from error

    def _close(self) -> None:
        self._session = None


def open_cuda(graph: bytes, *, threads: int = 1) -> Backend:
    """CUDA, and the processor for operations that it does not know."""
    # HEURISTIC: the exhaustive search for the fastest convolution takes minutes at every start.
    settings = {"cudnn_conv_algo_search": "HEURISTIC"}
    return OnnxRuntimeGpu("onnxruntime-cuda", graph, [(CUDA, settings), CPU], threads=threads)


def open_tensorrt_provider(graph: bytes, *, threads: int = 1, cache: Path | None = None) -> Backend:
    """TensorRT as an execution provider, which builds its engines itself, here and now: minutes on a small board.

    Args:
        cache: folder for those engines. It has to be a model's own: the provider's names for engines say nothing of
            the weights, and a retrained model of the same shape would get the old one's engine.
    """
    settings = {"trt_max_workspace_size": str(1 << 30)}
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
        }
    return OnnxRuntimeGpu("onnxruntime-tensorrt", graph, [(TENSORRT, settings), (CUDA, {}), CPU], threads=threads)


def _without_capture(runtime: Any, name: str, graph: bytes, options: Any, providers: list[Any]) -> Any:
    """A session that captures nothing; raises as `OnnxRuntimeGpu`."""
    try:
        return make_session(runtime, name, graph, options, providers)
    except BackendMissingError:
        raise
    except BackendError as error:
        # The graph may be to blame or the machine; the processor takes every graph that is one.
        make_session(runtime, name, graph, session_options(runtime, 1), [CPU])
        raise BackendMissingError(f"{error}; the processor does: is there a GPU and all its libraries?") from error


def _preload(runtime: Any) -> None:
    """CUDA and cuDNN out of NVIDIA's wheels, where they are; the system's are found without."""
    if hasattr(runtime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()) as said:  # it prints what it does not find
            runtime.preload_dlls()
        _LOGGER.debug("%s", said.getvalue().strip())


def _capturing(providers: list[Any]) -> list[Any]:
    name, settings = providers[0]
    switch = "trt_cuda_graph_enable" if name == TENSORRT else "enable_cuda_graph"
    return [(name, {**settings, switch: "1"}), *providers[1:]]
