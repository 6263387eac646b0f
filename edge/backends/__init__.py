"""Engines that run a deployed graph: one contract, each runtime in its own file, loaded only when it is asked for."""

from __future__ import annotations

from edge.backends.contract import Backend, BackendError

BACKENDS = ("onnxruntime-cpu",)
"""Names `open_backend` knows."""


def open_backend(name: str, graph: bytes, *, threads: int = 1) -> Backend:
    """Makes the engine for a graph.

    Args:
        name: one of BACKENDS.
        graph: a verified model.onnx.
        threads: of the engine; cores - 1 at most on a box that does anything else.

    Raises:
        ValueError: no such backend.
        BackendError: the runtime is not installed, or cannot make an engine out of the graph.
    """
    if name == "onnxruntime-cpu":
        from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu

        return OnnxRuntimeCpu(graph, threads=threads)
    raise ValueError(f"no backend {name!r}; there are {', '.join(BACKENDS)}")


__all__ = ["BACKENDS", "Backend", "BackendError", "open_backend"]
