"""A real station in a process of its own: writes its station.toml, starts it as a service would, stops it politely."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
CONFIG_FILE = "station.toml"
OUTPUT_FILE = "station.log"
_LOOK_SECONDS = 0.05


class StationFailedError(RuntimeError):
    """The station did not start, or did not stop; says what its output ended with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running station listens, as it wrote it into run.json."""

    boot_id: str
    pid: int
    grpc: str
    """HOST:PORT"""
    stream: str
    """tcp://HOST:PORT"""
    feedback: str
    """tcp://HOST:PORT"""
    panel: str
    """HOST:PORT"""
    metrics: str = ""
    """HOST:PORT; empty: there are none."""


class StationProcess:
    """`python -m edge run station.toml`. A context manager: entering starts it and waits until it is ready.

    Args:
        folder: of the configuration, the station's output and, below it, its data.
        config: the sections of station.toml. `station.data_dir` is "data" unless it says otherwise.
        ready_seconds: how long a start may take.
        stop_seconds: how long a polite stop may take before it is killed.
        module: that is run; it takes the arguments of `edge`.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        ready_seconds: float = 60.0,
        stop_seconds: float = 30.0,
        module: str = "edge",
    ) -> None:
        station = {"data_dir": "data", **config.get("station", {})}
        self.folder = folder
        self.config = {**config, "station": station}
        self.data_dir = folder / station["data_dir"]
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._addresses: Addresses | None = None

    @property
    def addresses(self) -> Addresses:
        """Where it listens.

        Raises:
            RuntimeError: it was not started.
        """
        if self._addresses is None:
            raise RuntimeError("the station was not started")
        return self._addresses

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_folder(self) -> Path:
        """Its mentoring log."""
        return Path(self.data_dir / self.config.get("mentoring", {}).get("folder", "log"))

    def start(self) -> Addresses:
        """Starts it and waits until it is ready.

        Raises:
            StationFailedError: it ended, or was not ready in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CONFIG_FILE
        path.write_text(to_toml(self.config), encoding="utf-8")
        self._output = open(self.folder / OUTPUT_FILE, "ab")  # noqa: SIM115 - closed with the process
        # A session of its own: Ctrl-C in a terminal reaches the caller, who then stops the station in its turn.
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, "run", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"OMP_NUM_THREADS": "1", **os.environ},
        )
        try:
            self._addresses = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self._addresses

    def wait(self) -> int:
        """Waits until it ends by itself; its exit code.

        Raises:
            RuntimeError: it was not started.
        """
        if self._process is None:
            raise RuntimeError("the station was not started")
        return self._process.wait()

    def stop(self) -> int:
        """Asks it to stop and waits; kills it when it does not. Idempotent.

        Returns:
            Its exit code; 0 when it was not running.
        """
        process, self._process = self._process, None
        code = 0
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                logger.error("the station did not stop within %.0f s; it is killed", self._stop_seconds)
                process.kill()
                code = process.wait()
        if self._output is not None:
            self._output.close()
            self._output = None
        return code

    def tail(self, lines: int = 12) -> str:
        """The end of its output."""
        path = self.folder / OUTPUT_FILE
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> StationProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> Addresses:
        until = time.monotonic() + self._ready_seconds
        path = self.data_dir / RUN_FILE
        while time.monotonic() < until:
            addresses = _read(path, process.pid)
            if addresses is not None:
                return addresses
            try:
                code = process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise StationFailedError(f"the station ended with exit code {code} at its start:\n{self.tail()}")
        raise StationFailedError(f"the station was not ready within {self._ready_seconds:.0f} s:\n{self.tail()}")


def _read(path: Path, pid: int) -> Addresses | None:
    """The addresses of the process with this id; None while it has not written them."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if values.get("pid") != pid or not values.get("ready"):
        return None  # left behind by one that was killed
    return Addresses(**{field.name: values.get(field.name, "") for field in dataclasses.fields(Addresses)})


def to_toml(document: Mapping[str, Any]) -> str:
    """Sections, nested sections and lists of them as TOML. Values: text, numbers, truth values, paths, lists of those.

    Raises:
        TypeError: a value is of another kind.
    """
    return "\n".join(_section(document, ())).strip() + "\n"


def _section(values: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if not _holds_sections(value)]
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{'.'.join((*place, name))}]", *_section(value, (*place, name))]
        elif _holds_sections(value):
            for item in value:
                lines += ["", f"[[{'.'.join((*place, name))}]]", *_section(item, (*place, name))]
    return lines


def _holds_sections(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(x, Mapping) for x in value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, Path)):
        # TOML's basic strings are JSON's, escapes included, but for DEL, which TOML wants escaped.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"{value!r} has no form in TOML here; expected text, a number, a truth value, or a list of those")
