"""A package's first inference, in a process of its own: a graph that crashes, hangs or eats memory hurts nobody.

The parent starts `python -m edge.models.trial` and waits with a time limit; the child limits its own memory and
processor time, then loads the graph and runs the golden cases. The child's answer is one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lineside.package import GOLDEN_NAME, GRAPH_NAME, read_package
from lineside.reasons import ContractError, Reason

_LOGGER = logging.getLogger(__name__)

_FILE_BYTES = 16 << 20


class Trials:
    """Runs trials, one at a time or many; `close` ends those under way.

    Args:
        backend: name of the runtime that will serve.
        threads: of the engine.
        seconds: time limit.
        memory_mb: memory limit of the process.
        engines: the store of TensorRT engines; None: there is none.
        command: what to start; the arguments are appended. For tests.
    """

    def __init__(
        self,
        *,
        backend: str,
        threads: int,
        seconds: float,
        memory_mb: int,
        engines: Path | None = None,
        command: Sequence[str] = (sys.executable, "-m", "edge.models.trial"),
    ) -> None:
        self._backend, self._threads, self._seconds, self._memory_mb = backend, threads, seconds, memory_mb
        self._engines = engines
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = threading.Event()

    def run(self, folder: Path) -> None:
        """Tries a verified package; returns if it passed.

        Raises:
            ContractError: why it did not: PKG_MALFORMED, PKG_INPUT, PKG_CLASSES, PKG_NAN, PKG_PARITY, PKG_HASH;
                DRAINING, the station is stopping.
        """
        arguments = [str(folder.resolve()), self._backend, str(self._threads), str(self._memory_mb)]
        arguments.append(str(max(1, round(self._seconds))))
        if self._engines is not None:
            arguments.append(str(self._engines.resolve()))
        with tempfile.TemporaryDirectory(prefix="lineside-trial-") as empty, _scratch() as answer, _scratch() as log:
            with self._lock:
                if self._closed.is_set():
                    raise ContractError(Reason.DRAINING, "the station is stopping")
                process = subprocess.Popen(
                    [*self._command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=answer,
                    stderr=log,
                    cwd=empty,
                    env=_environment(),
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                code: int | None = process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _kill(process)
                with self._lock:
                    self._running.discard(process)
            if self._closed.is_set() and code != 0:
                raise ContractError(Reason.DRAINING, "the station is stopping")
            self._judge(code, _tail(answer), _tail(log))

    def _judge(self, code: int | None, answer: str, log: str) -> None:
        if code is None:
            raise _broken(f"its trial took longer than {self._seconds:g} s (models.trial_seconds) and was stopped")
        try:
            said = json.loads(answer)
            reason = said["reason"]
        except (ValueError, KeyError, TypeError):
            _LOGGER.warning("a trial ended without an answer, exit code %s: %s", code, log[-2000:])
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            raise _broken(
                f"its trial {how}; the graph crashes the runtime or needs more than {self._memory_mb} MB"
            ) from None
        if reason is not None:
            raise ContractError(Reason[reason], said["message"])

    def close(self) -> None:
        """Ends trials under way and refuses new ones. Idempotent."""
        with self._lock:
            self._closed.set()
            for process in self._running:
                _kill(process, wait=False)


def _broken(message: str) -> ContractError:
    return ContractError(Reason.PKG_MALFORMED, f"the graph cannot be run: {message}")


def _scratch() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _tail(stream: IO[bytes]) -> str:
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - (1 << 16)))
    return stream.read().decode(errors="replace")


def _kill(process: subprocess.Popen[bytes], *, wait: bool = True) -> None:
    """Ends the process and what it may have started; it leads a process group of its own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if wait:
        process.wait()


def _environment() -> dict[str, str]:
    """Few threads and arenas, so that the memory limit speaks about the graph; modules from where ours come from."""
    names = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    return {
        **kept,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _limit(memory_mb: int, seconds: int) -> None:
    # RLIMIT_DATA counts private writable memory (Linux 4.7 and later): what a graph can eat, and not address space
    # that a runtime merely reserves.
    for kind, value in (
        (resource.RLIMIT_DATA, memory_mb << 20),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


def try_package(folder: Path, backend_name: str, threads: int, engines: Path | None = None) -> None:
    """What the child does: load the graph, run the golden cases.

    Raises:
        ContractError: why the package must not serve.
    """
    from edge.backends import BackendError, BackendMissingError, open_backend
    from edge.models.checks import check_engine, check_golden
    from edge.models.external_data import refuse_external_data
    from edge.models.graph_facts import check_class_names, refuse_nan_weights
    from lineside import golden

    package = read_package(folder)
    graph = package.read(GRAPH_NAME)
    refuse_external_data(graph)
    check_class_names(graph, package.manifest)
    refuse_nan_weights(graph)
    cases = golden.unpack(package.read(GOLDEN_NAME), package.manifest)
    try:
        with open_backend(backend_name, graph, threads=threads, engines=engines) as backend:
            check_engine(package.manifest, backend)
            check_golden(package.manifest, cases, backend.infer)
    except BackendMissingError as error:
        raise ContractError(Reason.PKG_GPU, f"this station's backend cannot run: {error}") from error
    except (BackendError, MemoryError) as error:
        raise _broken(str(error) or type(error).__name__) from error


def main(arguments: Sequence[str]) -> int:
    """The child: FOLDER BACKEND THREADS MEMORY_MB SECONDS [ENGINES]; the answer goes to standard output."""
    folder, backend, threads, memory_mb, seconds, *engines = arguments
    # Libraries that print must not garble the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    _limit(int(memory_mb), int(seconds))
    said: dict[str, str | None] = {"reason": None}
    try:
        try_package(Path(folder), backend, int(threads), Path(engines[0]) if engines else None)
    except ContractError as error:
        said = {"reason": error.reason.value, "message": error.message}
    os.write(answer, json.dumps(said).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
