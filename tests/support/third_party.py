"""Somebody else's client in an environment of its own, made once and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "third_party"
REQUIREMENTS = FOLDER / "requirements.txt"
CLIENT = FOLDER / "triton_client.py"
CACHE_VARIABLE = "LINESIDE_TEST_CACHE"
INSTALL_SECONDS = 240
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def python_with_tritonclient() -> Path:
    """The interpreter of that environment; the test is skipped where it cannot be had.

    The folder's name says what is in it, so another pin makes another environment, and a half-made one is made anew.
    """
    (pin,) = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    name = pin.replace("[grpc]==", "-") + f"-py{sys.version_info.major}.{sys.version_info.minor}"
    cache = os.environ.get(CACHE_VARIABLE) or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(cache) / "lineside-tests" / name
    python, stamp = folder / "bin" / "python", folder / "complete"
    if stamp.exists():
        return python
    for command in (
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)],
        [*PIP, "--python", str(python), "install", "--no-compile", "--retries", "0", "-r", str(REQUIREMENTS)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            _skip(folder, pin, f"not within {INSTALL_SECONDS} s")
        if done.returncode:
            _skip(folder, pin, (done.stderr.strip().splitlines() or ["no word of why"])[-1])
    stamp.touch()
    return python


def _skip(folder: Path, pin: str, why: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    pytest.skip(f"{pin} cannot be installed into an environment of its own ({CACHE_VARIABLE} names the folder): {why}")
