"""One build, here and now, in this process: graph in, engine out. TensorRT answers None instead of raising, so every
answer is looked at. Who wants it apart from himself calls export.engines.process, which calls this.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from export.engines.advice import failure
from lineside.engines.gpu import local_gpu
from lineside.engines.key import BatchRange
from lineside.engines.layers import Layer, from_inspector, from_log
from lineside.engines.tensorrt_api import EngineBuildError, EngineCancelledError, TensorRt

_LOGGER = logging.getLogger(__name__)

OnProgress = Callable[[str, "str | None", int, int], bool]
"""Phase, the phase it is part of, steps done, steps in all; False stops the build."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to build, beside the graph."""

    builder: str
    target: str
    """Compute capability; for tensorrt the one of this machine's GPU."""
    input_name: str
    sides: tuple[int, int, int]
    """Height, width, channels of the input."""
    profiles: tuple[BatchRange, ...]
    workspace_mb: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """What came out."""

    engine: bytes
    seconds: float
    layers: tuple[Layer, ...]
    """Empty where the builder lists none."""
    layers_from: str
    """"engine inspector", "builder's log" or ""."""
    figures: dict[str, int]
    """Bytes by name, as the builder logs them."""
    warnings: tuple[str, ...]
    """The builder's own lines."""
    timing_cache: bytes
    """For the next build on this GPU; empty where the builder times nothing."""
    runtime_cache: bytes
    """Kernels compiled for this GPU, so that whoever serves starts at once; empty where there is no such GPU."""


Compile = Callable[[Job, bytes, bytes, OnProgress], Compiled]
"""Job, graph, timing cache (may be empty), progress."""


def compile_here(
    tensorrt: TensorRt, job: Job, graph: bytes, timing_cache: bytes = b"", on_progress: OnProgress = lambda *_: True
) -> Compiled:
    """Builds.

    Args:
        graph: ONNX, one file.
        timing_cache: of an earlier build on this GPU; one of another is ignored by the builder.

    Raises:
        EngineCancelledError: `on_progress` said False.
        EngineBuildError: with the builder's own lines and what to do.
    """
    trt, log = tensorrt.module, tensorrt.log
    log.clear()
    started = time.perf_counter()
    builder = trt.Builder(log.sink)
    # Strongly typed: the precision is what the graph says, in both builders, and no flag second-guesses it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log.sink)
    if not parser.parse(graph):
        raise _failed(tensorrt, "cannot read the graph")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_mb << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    monitor = _monitor(trt, on_progress)
    config.progress_monitor = monitor
    cache = _timing_cache(tensorrt, config, timing_cache)
    if tensorrt.builds_for_others:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, job.target), 0):
            raise _failed(tensorrt, f"does not take the target {job.target}")
    for batch in job.profiles:
        profile = builder.create_optimization_profile()
        shapes = tuple((count, *job.sides) for count in (batch.smallest, batch.best, batch.largest))
        if profile.set_shape(job.input_name, *shapes) is False or config.add_optimization_profile(profile) < 0:
            raise _failed(tensorrt, f"does not take the batch sizes {batch}")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        if monitor.stopped:
            raise EngineCancelledError("the build was stopped; nothing was stored")
        raise _failed(tensorrt, "built nothing")
    data = bytes(engine)
    seconds = time.perf_counter() - started
    kept = bytes(config.get_timing_cache().serialize()) if cache is not None else b""
    warnings, figures = tuple(log.warnings), dict(log.figures)
    loaded = _load(tensorrt, data, job.target)
    layers, layers_from = _layers(tensorrt, loaded)
    return Compiled(
        engine=data,
        seconds=seconds,
        layers=layers,
        layers_from=layers_from,
        figures=figures,
        warnings=warnings,
        timing_cache=kept,
        runtime_cache=_runtime_cache(tensorrt, loaded),
    )


def _failed(tensorrt: TensorRt, what: str) -> EngineBuildError:
    return EngineBuildError(failure(tensorrt.title, what, tuple(tensorrt.log.errors)))


def _timing_cache(tensorrt: TensorRt, config: Any, stored: bytes) -> Any:
    """The cache that a build fills, or None: this builder times nothing."""
    if not tensorrt.times_kernels:
        return None
    cache = config.create_timing_cache(stored)
    # A damaged one is answered with None, one of another GPU with False: begin with an empty one.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            return None
    return cache


def _load(tensorrt: TensorRt, engine: bytes, target: str) -> Any:
    """The engine on this machine's GPU, or None: there is none, or another. Not run here."""
    gpu = local_gpu()
    if gpu is None or gpu.capability != target:
        return None
    return tensorrt.module.Runtime(tensorrt.log.sink).deserialize_cuda_engine(engine)


def _layers(tensorrt: TensorRt, loaded: Any) -> tuple[tuple[Layer, ...], str]:
    """The inspector's where the engine could be loaded, else what the builder logged of it."""
    if loaded is not None:
        form = tensorrt.module.LayerInformationFormat.JSON
        try:
            return from_inspector(loaded.create_engine_inspector().get_engine_information(form)), "engine inspector"
        except ValueError as error:
            _LOGGER.warning("the engine inspector's answer is not understood: %s", error)
    found = from_log(tensorrt.log.listing)
    return found, "builder's log" if found else ""


def _runtime_cache(tensorrt: TensorRt, loaded: Any) -> bytes:
    """RTX compiles kernels for the GPU where it serves; made here, on such a GPU, the first frame need not wait.

    Not run here. A runtime refuses a cache of another GPU, version or driver by itself.
    """
    if loaded is None or tensorrt.times_kernels:
        return b""
    config = loaded.create_runtime_config()
    cache = config.create_runtime_cache()
    if not config.set_runtime_cache(cache) or loaded.create_execution_context(config) is None:
        _LOGGER.warning("no runtime cache: %s", "; ".join(tensorrt.log.errors) or "the builder said nothing")
        return b""
    return bytes(cache.serialize())


def _monitor(trt: Any, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called from the builder's threads; an exception here would end the process, so none leaves."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, tuple[str | None, int]] = {}
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = (parent_phase, num_steps)
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._phases.get(phase_name, (None, 0))[1])
            self._phases.pop(phase_name, None)

        def _tell(self, phase: str, done: int) -> None:
            parent, steps = self._phases.get(phase, (None, 0))
            try:
                self.stopped = not on_progress(phase, parent, done, steps) or self.stopped
            except Exception:
                _LOGGER.exception("the progress of the build cannot be shown")

    return Monitor()
