"""The one place where TensorRT is imported: `tensorrt_rtx` (industrial RTX cards, builds anywhere) or `tensorrt`.

Both have the same Python API. `tensorrt_rtx` was run here; `tensorrt` (Jetson, data centre) was NOT run here: it needs
its GPU to build. What this program calls of it was compared with the bindings of TensorRT 10.3, 10.16 and 11.4, name by
name and signature by signature (tests/export/engines/test_api.py). Where the two differ it is said in this file.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import importlib
import logging
import re
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


class TensorRtMissingError(EngineBuildError):
    """It is not installed here, or its libraries do not load; the message says how to get it."""


class EngineCancelledError(EngineBuildError):
    """The build was stopped from outside; nothing was stored."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorRt:
    """A loaded builder."""

    name: str
    version: str
    module: Any
    """The vendor's module; untyped."""
    log: BuilderLog

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def builds_for_others(self) -> bool:
        """Whether it builds for a GPU that is not in this machine: RTX does, TensorRT does not."""
        return hasattr(self.module, "ComputeCapability")

    @property
    def times_kernels(self) -> bool:
        """Whether a build times kernels on the GPU, so that a timing cache shortens the next one.

        RTX compiles where it serves and keeps a runtime cache there; its timing cache does nothing (deprecated in 1.2).
        """
        return not self.builds_for_others

    def targets(self) -> tuple[str, ...]:
        """Names of the compute capabilities it builds for; empty where it builds for this machine's GPU alone."""
        if not self.builds_for_others:
            return ()
        return tuple(name for name in self.module.ComputeCapability.__members__ if name.startswith("SM"))

    def engine_fault(self, engine: bytes) -> str | None:
        """Why an engine must not be deserialised, judged from its header alone; None: nothing speaks against it.

        Only RTX can tell, and without a GPU only whether the file is an engine of this version at all. Damage further
        inside is told by the digest in the store's record.
        """
        if not engine:
            return "it is empty"
        runtime = self.module.Runtime(self.log.sink)
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


_FIGURE = re.compile(r"^(Total Weights Memory|Total Activation Memory|Max Scratch Memory): (\d+)(?: bytes)?$")
_LISTINGS = ("Layers:\n", "Engine Layer Information:\n")
_KEPT = 100


class BuilderLog:
    """Keeps what the builder says, so that a failure can be told in its words. One logger per process is allowed."""

    def __init__(self, module: Any) -> None:
        # Bounded: a builder in trouble repeats itself. deque.append is atomic; the builder logs from several threads.
        self.errors: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self.warnings: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self.listing = ""
        """The built engine layer by layer, which is logged at the end of a build with details."""
        self.figures: dict[str, int] = {}
        """Bytes by name, as logged at the end of a build."""
        log = self

        class Sink(module.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Any, text: str) -> None:
                log.take(text, error=severity in severe, warning=severity == module.ILogger.WARNING)

        severe = (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR)
        self.sink: Any = Sink()
        """What the vendor's constructors take."""

    def clear(self) -> None:
        """Before a new deed."""
        self.errors.clear()
        self.warnings.clear()
        self.listing = ""
        self.figures.clear()

    def take(self, text: str, *, error: bool = False, warning: bool = False) -> None:
        """One line of the builder's."""
        if error:
            self.errors.append(text)
        elif warning:
            self.warnings.append(text)
        elif text.startswith(_LISTINGS):
            self.listing = text
        elif (figure := _FIGURE.match(text)) is not None:
            self.figures[figure[1].lower()] = int(figure[2])
        # Not louder: a build that fails raises with these lines, and asking about an engine may be answered no.
        _LOGGER.debug("%s", text)


def load_tensorrt(builder: str | None = None) -> TensorRt:
    """Imports a builder.

    Args:
        builder: one of BUILDERS; None: the first that is installed.

    Raises:
        EngineBuildError: there is no such builder.
        TensorRtMissingError: it is not installed, or its libraries do not load.
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
    raise TensorRtMissingError(f"no TensorRT here: {'; '.join(causes)}")


@functools.cache
def _load(name: str) -> TensorRt:
    module: ModuleType = importlib.import_module(name)
    return TensorRt(name=name, version=str(module.__version__), module=module, log=BuilderLog(module))
