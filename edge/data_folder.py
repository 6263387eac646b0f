"""The station's data folder: used by one daemon at a time, and the place where it says that it runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

LOCK_NAME = "station.lock"
RUN_FILE_NAME = "run.json"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it; a lock of the kernel's, gone with the process however it ends.

    Raises:
        OSError: it cannot be made, or another daemon holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"another station runs with the data folder {folder}; stop it or choose another") from None
        # What a killed daemon left behind says nothing true any more.
        (folder / RUN_FILE_NAME).unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def run_file(folder: Path, facts: Mapping[str, object]) -> Iterator[None]:
    """While inside, FOLDER/run.json says where the station listens; whole or not there."""
    path = folder / RUN_FILE_NAME
    staging = path.with_suffix(".new")
    staging.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    staging.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
