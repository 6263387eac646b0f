"""One builder of an engine at a time, also among processes. The kernel drops the lock of a process that dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_WAIT_SECONDS = 0.2


class LockBusyError(Exception):
    """Another process holds the lock; the message names it."""


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = True, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Holds a lock file for a block and removes it afterwards.

    Args:
        path: made if it does not exist; its folder too.
        wait: until whoever holds it is done; else it is an error.
        on_wait: told once who holds it, before waiting.

    Raises:
        LockBusyError: held by another, and not to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            who = f"process {holder}" if holder else "another process"
            if not wait:
                raise LockBusyError(f"{who} is at it already") from None
            if not told:
                on_wait(who)
                told = True
            time.sleep(_WAIT_SECONDS)  # flock with a limit does not exist; a build takes seconds to minutes
            continue
        # The one before us may have removed the file between our open and our lock: then we hold a file nobody sees.
        if _is_same(handle, path):
            break
        os.close(handle)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
