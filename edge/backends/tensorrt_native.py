"""From a graph to a native TensorRT engine: what is installed, which GPU, which engine of the store, may it be loaded.

Nothing is built here. An engine is code: its owner, digest and record are checked, and the library is asked whether it
is an engine of its version at all, before anything of it is deserialised. Whatever keeps one from serving is an
EngineAbsentError in words, and whoever called decides what serves instead.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge.backends.contract import BackendError, BackendMissingError
from edge.backends.device import Device, open_device
from edge.backends.engine_choice import choose
from edge.backends.tensorrt_engine import TensorRtEngine
from lineside.engines.gpu import Gpu, local_gpu
from lineside.engines.store import EngineRefusedError, EngineStore
from lineside.engines.tensorrt_api import BUILDERS, TensorRt, TensorRtMissingError, load_tensorrt

_LOGGER = logging.getLogger(__name__)


class EngineAbsentError(BackendError):
    """The machine could run one, and there is no engine for this graph that may be loaded; one can be built."""


class Parts(NamedTuple):
    """What a machine is made of; a test's own where it has no GPU."""

    tensorrt: Callable[[str], TensorRt] = load_tensorrt
    """By name; raises TensorRtMissingError."""
    gpu: Callable[[], Gpu | None] = local_gpu
    device: Callable[[], Device] = open_device


THIS_MACHINE = Parts()


class Machine(NamedTuple):
    """A machine that can run engines."""

    runtimes: tuple[TensorRt, ...]
    """Those installed, the preferred one first."""
    gpu: Gpu


def machine(parts: Parts = THIS_MACHINE) -> Machine:
    """What there is here.

    Raises:
        BackendMissingError: no TensorRT, or no GPU; says what to install.
    """
    tried = [_loaded(name, parts) for name in BUILDERS]
    runtimes = [found for found in tried if isinstance(found, TensorRt)]
    causes = [found for found in tried if isinstance(found, str)]
    if not runtimes:
        raise BackendMissingError(f"no TensorRT here: {'; '.join(causes)}")
    gpu = parts.gpu()
    if gpu is None:
        raise BackendMissingError(
            f"{runtimes[0].title} is installed and there is no GPU here, or no driver for it; install NVIDIA's driver"
        )
    return Machine(tuple(runtimes), gpu)


def _loaded(name: str, parts: Parts) -> TensorRt | str:
    """The library, or why not."""
    try:
        return parts.tensorrt(name)
    except TensorRtMissingError as error:
        return str(error).removeprefix("no TensorRT here: ")


def open_native(graph: bytes, store: EngineStore, parts: Parts = THIS_MACHINE) -> TensorRtEngine:
    """The engine of a graph, in the calling thread.

    Args:
        graph: a verified model.onnx.
        store: of engines built for this machine.

    Raises:
        BackendMissingError: this machine runs no engines.
        EngineAbsentError: none of the store's may be loaded for this graph.
        BackendError: the one that was chosen does not keep the contract, or the GPU cannot take it.
    """
    here = machine(parts)
    digest = hashlib.sha256(graph).hexdigest()
    entries = store.entries()
    reasons: list[str] = []
    for runtime in here.runtimes:
        choice = choose(entries, graph_sha256=digest, runtime=runtime.title, gpu=here.gpu)
        if choice.why_none:
            reasons.append(choice.why_none)
        for entry in choice.fitting:
            try:
                engine, kernels = _checked(store, entry.path, runtime)
            except EngineRefusedError as error:
                reasons.append(f"engine {entry.name[:12]} is refused: {error}")
                _LOGGER.warning("engine %s is not loaded: %s", entry.path, error)
                continue
            return TensorRtEngine(runtime, engine, parts.device(), kernels=kernels)
    raise EngineAbsentError(f"{'; '.join(dict.fromkeys(reasons))} ({store.folder})")


def _checked(store: EngineStore, path: Path, runtime: TensorRt) -> tuple[bytes, bytes]:
    """An engine and its kernels, after everything that can be known before it is deserialised.

    Raises:
        EngineRefusedError: it must not be loaded.
    """
    engine, record = store.read_file(path)
    fault = runtime.engine_fault(engine)
    if fault is not None:
        raise EngineRefusedError(fault)
    store.touch(path)
    return engine, store.read_runtime(record)
