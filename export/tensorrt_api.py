"""The one place where TensorRT is imported: `tensorrt_rtx` (industrial RTX cards, builds anywhere) or `tensorrt`.

Both have the same Python API. `tensorrt_rtx` was run here; `tensorrt` (Jetson, data centre) was NOT run here: it needs
its GPU to build. Where the two differ it is said in this file and nowhere else.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import subprocess
from types import ModuleType
from typing import Any

_LOGGER = logging.getLogger(__name__)

BUILDERS = ("tensorrt_rtx", "tensorrt")
_HOW = {
    "tensorrt_rtx": "pip install 'lineside[tensorrt-rtx]'",
    "tensorrt": "install it with JetPack, or from NVIDIA's own package index",
}


class EngineBuildError(Exception):
    """No engine came out; the message says why in the builder's own words and what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorRt:
    """A loaded builder."""

    name: str
    version: str
    module: Any
    """The vendor's module; untyped."""
    log: BuilderLog

    @property
    def builds_for_others(self) -> bool:
        """Whether it builds for a GPU that is not in this machine: RTX does, TensorRT does not."""
        return hasattr(self.module, "ComputeCapability")

    def targets(self) -> tuple[str, ...]:
        """Names of the compute capabilities it builds for; empty where it builds for this machine's GPU alone."""
        if not self.builds_for_others:
            return ()
        return tuple(name for name in self.module.ComputeCapability.__members__ if name.startswith("SM"))

    def engine_fault(self, engine: bytes) -> str | None:
        """Why an engine must not be deserialised, judged from its bytes alone; None: nothing speaks against it.

        Only RTX can tell, and without a GPU only whether the file is an engine at all.
        """
        runtime = self.module.Runtime(self.log.sink)
        if not engine:
            return "it is empty"
        if not hasattr(runtime, "get_engine_validity"):
            return None
        validity, diagnostics = runtime.get_engine_validity(engine)
        if validity != self.module.EngineValidity.INVALID:
            return None
        # The other diagnoses are about this machine's GPU and driver, and without a driver there is none at all.
        kinds = self.module.EngineInvalidityDiagnostics
        faults = [
            kind.name for kind in (kinds.MALFORMED_ENGINE, kinds.VERSION_MISMATCH) if int(diagnostics) & int(kind)
        ]
        return f"{self.name} says: {', '.join(faults)}" if faults else None


class BuilderLog:
    """Keeps the builder's own error lines, so that a failure can be told in them. One logger per process is allowed."""

    def __init__(self, module: Any) -> None:
        self.lines: list[str] = []
        lines, severe = self.lines, (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR)

        class Sink(module.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Any, text: str) -> None:
                if severity in severe:
                    lines.append(text)
                # Not louder: a build that fails raises with these lines, and asking about an engine may be answered no.
                _LOGGER.debug("%s", text)

        self.sink: Any = Sink()
        """What the vendor's constructors take."""


def load_tensorrt(builder: str | None = None) -> TensorRt:
    """Imports a builder.

    Args:
        builder: one of BUILDERS; None: the first that is installed.

    Raises:
        EngineBuildError: it is not installed, or its libraries do not load.
    """
    names = BUILDERS if builder is None else (builder,)
    causes = []
    for name in names:
        if name not in BUILDERS:
            raise EngineBuildError(f"no builder {name!r}; there are {', '.join(BUILDERS)}")
        try:
            return _load(name)
        except (ImportError, OSError) as error:
            causes.append(f"{name}: {error} ({_HOW[name]})")
    raise EngineBuildError(f"no TensorRT here: {'; '.join(causes)}")


@functools.cache
def _load(name: str) -> TensorRt:
    module: ModuleType = importlib.import_module(name)
    return TensorRt(name=name, version=str(module.__version__), module=module, log=BuilderLog(module))


def local_gpu() -> str | None:
    """Name and compute capability of this machine's first GPU, for example "NVIDIA Orin, SM87"; None: there is none."""
    command = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    first = said.splitlines()[0] if said.strip() else ""
    name, _, capability = first.rpartition(",")
    return f"{name.strip()}, SM{capability.strip().replace('.', '')}" if name else None
