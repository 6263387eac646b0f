"""From a name in station.toml to an engine. What cannot serve is told in words, and so is what serves instead."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from edge.backends.contract import Backend, BackendError, BackendMissingError
from edge.backends.tensorrt_native import THIS_MACHINE, EngineAbsentError, Parts, machine, open_native
from lineside.engines.store import EngineStore

_LOGGER = logging.getLogger(__name__)

BACKENDS = ("onnxruntime-cpu", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt")
"""Names `open_backend` knows."""
AUTO = "auto"
"""The fastest that works on this machine: native TensorRT, ONNX Runtime on CUDA, ONNX Runtime on the processor."""
AUTO_ORDER = ("tensorrt", "onnxruntime-cuda", "onnxruntime-cpu")
"""Not ONNX Runtime's own TensorRT: it builds at every first start on the path to serving, which may take minutes."""
STAND_INS = ("onnxruntime-cuda", "onnxruntime-cpu")
"""What serves, in this order, while a native engine is missing."""


def open_backend(
    name: str, graph: bytes, *, threads: int = 1, engines: Path | None = None, parts: Parts = THIS_MACHINE
) -> Backend:
    """Makes the engine for a graph, in the calling thread, which owns it from then on.

    A native TensorRT engine that is missing, foreign or refused is replaced by ONNX Runtime: the log says so, and the
    backend's `stands_in` says why. A machine that cannot run what was asked for at all is an error, never a
    replacement: its owner believes in a GPU that is not there.

    Args:
        name: one of BACKENDS, or AUTO.
        graph: a verified model.onnx.
        threads: of the engine; cores - 1 at most on a box that does anything else.
        engines: the store of TensorRT engines; None: there is none.
        parts: what native engines run on.

    Raises:
        ValueError: no such backend.
        BackendMissingError: this machine cannot run it.
        BackendError: the runtime cannot make an engine out of the graph.
    """
    if name == AUTO:
        return _fastest(graph, threads, engines, parts)
    if name not in BACKENDS:
        raise ValueError(f"no backend {name!r}; there are {', '.join((*BACKENDS, AUTO))}")
    if name == "onnxruntime-cpu":
        from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu

        return OnnxRuntimeCpu(graph, threads=threads)
    if name == "tensorrt":
        return _native(graph, threads, engines, parts)
    from edge.backends import onnxruntime_gpu

    if name == "onnxruntime-cuda":
        return onnxruntime_gpu.open_cuda(graph, threads=threads)
    cache = None if engines is None else engines / "onnxruntime" / hashlib.sha256(graph).hexdigest()[:32]
    return onnxruntime_gpu.open_tensorrt_provider(graph, threads=threads, cache=cache)


def _native(graph: bytes, threads: int, engines: Path | None, parts: Parts) -> Backend:
    if engines is None:
        machine(parts)
        why = "no folder of engines was named"
    else:
        try:
            return open_native(graph, EngineStore(engines), parts)
        except EngineAbsentError as error:
            why = str(error)
    return stand_in(why, lambda name: open_backend(name, graph, threads=threads))


def stand_in(why: str, opener: Callable[[str], Backend]) -> Backend:
    """The first of STAND_INS that opens, for a native engine that cannot serve.

    Args:
        why: it cannot.
        opener: makes one by name.

    Raises:
        BackendError: none opens.
    """
    for name in STAND_INS:
        try:
            backend = opener(name)
        except BackendMissingError as error:
            _LOGGER.debug("%s cannot stand in: %s", name, error)
            continue
        backend.stands_in = why
        _LOGGER.warning("tensorrt has no engine for this model, %s serves meanwhile: %s", name, why)
        return backend
    raise BackendError(f"tensorrt has no engine for this model ({why}), and ONNX Runtime cannot serve meanwhile")


def _fastest(graph: bytes, threads: int, engines: Path | None, parts: Parts) -> Backend:
    causes = []
    for name in AUTO_ORDER:
        try:
            backend = open_backend(name, graph, threads=threads, engines=engines, parts=parts)
        except BackendMissingError as error:
            causes.append(f"{name}: {error}")
            continue
        _LOGGER.info("backend auto is %s here%s", backend.name, f" ({'; '.join(causes)})" if causes else "")
        return backend
    raise BackendMissingError(f"no backend works here: {'; '.join(causes)}")
