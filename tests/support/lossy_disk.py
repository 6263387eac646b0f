"""A folder on a disk whose power can be cut (power_cut.py), for tests; skipped where the machine does not allow it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parent


@dataclasses.dataclass
class Disk:
    """A disk whose power can be cut, mounted at a folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    def wait_until_mounted(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def cut(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"!")
        self.process.stdin.flush()
        self.wait_until_mounted()


@contextlib.contextmanager
def disk(folder: Path, seed: int) -> Iterator[Disk]:
    folder.mkdir()
    command = [sys.executable, str(SUPPORT / "power_cut.py"), str(folder), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        opened = Disk(folder, process)
        opened.wait_until_mounted()
        yield opened
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def why_no_disk(folder: Path) -> str:
    """Why a disk cannot be mounted on this machine; empty: it can. `folder` is for the try."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "a disk whose power can be cut needs root and /dev/fuse"
    try:
        with disk(folder / "disk", 0):
            return ""
    except AssertionError:
        return "this machine does not let us mount a FUSE file system"


def skip_without_fuse(folder: Path) -> None:
    """Skips the calling test where a disk cannot be mounted; `folder` is for the try."""
    why = why_no_disk(folder)
    if why:
        pytest.skip(why)
