"""Servers in processes of their own: started once, held still while others are measured, looked at from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

BASELINES = Path(__file__).parent / "baselines"
INSTALL_SECONDS = 900
START_SECONDS = 90
_TICKS = os.sysconf("SC_CLK_TCK")


class NotInstalledError(Exception):
    """A baseline cannot be had here; says why."""


def environment(name: str, packages: Sequence[str], folder: Path, *, seconds: float = INSTALL_SECONDS) -> Path:
    """The interpreter of an environment with these packages, made once.

    Raises:
        NotInstalledError: they do not install.
    """
    place = folder / name
    python, stamp = place / "bin" / "python", place / "complete"
    wanted = "\n".join(packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    for command in (
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(place)],
        [*pip, "install", "--no-compile", "--only-binary", ":all:", *packages],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            shutil.rmtree(place, ignore_errors=True)
            raise NotInstalledError(f"not installed within {seconds:g} s") from None
        if done.returncode:
            shutil.rmtree(place, ignore_errors=True)
            lines = done.stderr.strip().splitlines() or ["no word of why"]
            raise NotInstalledError(next((line for line in reversed(lines) if "ERROR" in line), lines[-1]))
    stamp.write_text(wanted)
    return python


def free_port() -> int:
    """Of this host, at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """A server that listens on a port; gives its process id.

    Raises:
        NotInstalledError: it ended, or does not listen in time; with the end of what it said.
    """
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")},
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(BASELINES),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
    try:
        _wait_for(process, port, log)
        yield process.pid
    finally:
        resume(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise NotInstalledError(f"it does not listen: {lines[-1][:200]}")


def pause(pid: int) -> None:
    """Holds a session's processes still, so that they cost the others nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Lets them go on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGCONT)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and those below it, so far."""
    return sum(map(_cpu_seconds, _tree(pid)))


def rss_mb(pid: int) -> float:
    """Resident memory of a process and those below it; what several of them share is counted in each."""
    return sum(map(_memory_mb, _tree(pid)))


def _tree(pid: int) -> list[int]:
    children = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(word) for word in path.read_text().split()]
    return [pid, *(below for child in children for below in _tree(child))]


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
