"""A real MQTT broker on loopback: Debian's mosquitto, in a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

_SECONDS = 30.0


def find() -> str:
    """Where mosquitto is; skips the test where it is not installed."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A context manager: entering starts it; `stop` and `start` stand for a power cut of its box."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._command = find()
        self._config = folder / "mosquitto.conf"
        # As root it would become another user, who may not read a test's folder.
        self._config.write_text(f"listener {self.port} 127.0.0.1\nuser root\npersistence false\n{extra}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._command, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + _SECONDS
        while not self._answers():
            assert time.monotonic() < until, "the broker did not start"
            assert self._process.poll() is None, "the broker ended at its start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self, signal: int) -> None:
        """Sends it a signal, such as SIGSTOP: it is there and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal)

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
