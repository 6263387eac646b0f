"""TensorRT engines for models that serve on a stand-in: built beside serving, tried apart, then they take over.

A build takes seconds to minutes and belongs to the command that builds engines: it runs here as a process of its own,
at the lowest priority, and nothing waits for it. What comes out is tried as a new package is, in another process of its
own; then the model is loaded anew, has to repeat its golden cases, and serves from the next frame on. An engine that
fails its trial is thrown away, and the stand-in goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from edge.models.audit import STATION
from edge.models.prover import Prover
from edge.models.roster import Roster
from edge.models.settings import ModelsSettings
from edge.models.store import PackageStore
from lineside.engines.store import EngineStore
from lineside.reasons import ContractError

_LOGGER = logging.getLogger(__name__)

ENGINES_FOLDER = "engines"
"""In the station's data folder."""
BUILD_COMMAND = (sys.executable, "-m", "export.build_engine", "build")
Note = Callable[[str, str, str, str], None]
"""Action, actor, digest and message, for the audit."""


class EngineBuilds:
    """One thread, one build at a time; a model is built for once in the life of the station's process.

    Args:
        settings: section [models].
        folder: the store of engines.
        packages: where packages are.
        prover: tries what was built.
        roster: loads the model anew.
        work: held while a model is tried and loaded; one at a time in the whole station.
        note: for the audit.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        folder: Path,
        packages: PackageStore,
        prover: Prover,
        roster: Roster,
        work: threading.Lock,
        note: Note,
    ) -> None:
        self._settings, self._store, self._packages = settings, EngineStore(folder), packages
        self._prover, self._roster, self._work, self._note = prover, roster, work, note
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="engines")

    def look(self) -> None:
        """Begins a build for each loaded model that a stand-in runs; at once."""
        if not self._settings.build_engines:
            return
        for digest in self._roster.standing_in():
            with self._lock:
                if self._closed.is_set() or digest in self._asked:
                    continue
                self._asked.add(digest)
                self._hand.submit(self._build, digest).add_done_callback(_log_failure)

    def forget(self, digests: Collection[str]) -> None:
        """Deletes the engines of packages that are gone."""
        if not digests:
            return
        for entry in self._store.entries():
            if entry.record is not None and entry.record.origin.package_digest in digests:
                self._store.remove(entry.path)

    def close(self) -> None:
        """Ends a build under way; what it had is lost. Idempotent."""
        with self._lock:
            self._closed.set()
            if self._child is not None:
                _end(self._child)
        self._hand.shutdown(wait=True, cancel_futures=True)

    def _build(self, digest: str) -> None:
        _LOGGER.info("a TensorRT engine for model %s is being built; it serves without one meanwhile", digest)
        code, said = self._run(digest)
        if self._closed.is_set():
            return
        if code != 0:
            _LOGGER.error("no TensorRT engine for model %s, it goes on without one: %s", digest, said)
            self._note("engine", STATION, digest, f"not built: {said[:500]}")
            return
        try:
            with self._work:
                if self._closed.is_set():
                    return
                self._prover.try_apart(digest)
                took_over = self._roster.renew(digest)
        except ContractError as error:
            if not self._closed.is_set():
                self._throw_away(digest, error)
            return
        _LOGGER.info("the TensorRT engine of model %s was built and passed its trial", digest)
        use = "taken into use" if took_over else "used when the model is loaded"
        self._note("engine", STATION, digest, f"built, tried and {use}")

    def _run(self, digest: str) -> tuple[int, str]:
        """Exit code and last words of a build."""
        arguments = [str(self._packages.folder(digest).resolve()), "--store", str(self._store.folder.resolve())]
        if self._settings.signature_required:
            for signer in self._settings.all_signers:
                arguments += ["--trusted-key", str(signer.key.resolve())]
        with tempfile.TemporaryFile() as words:
            with self._lock:
                if self._closed.is_set():
                    return -signal.SIGTERM, ""
                self._child = child = subprocess.Popen(
                    [*BUILD_COMMAND, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    start_new_session=True,
                )
            code = child.wait()
            with self._lock:
                self._child = None
            words.seek(0)
            lines = words.read()[-4000:].decode(errors="replace").strip().splitlines()
        return code, " / ".join(lines[-4:]) or f"the build ended with code {code} and said nothing"

    def _throw_away(self, digest: str, error: ContractError) -> None:
        _LOGGER.error("the TensorRT engine of model %s is thrown away, it goes on without: %s", digest, error)
        self.forget([digest])
        self._note("engine", STATION, digest, f"thrown away: {error.message}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """The builder's own child ends when its parent is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _log_failure(future: Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _LOGGER.error("a TensorRT engine could not be taken into use", exc_info=error)
