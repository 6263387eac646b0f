"""Pictures in shared memory of one host: how the objects are named, and how those of the dead are found. Pure files.

An object is a file in /dev/shm called "lineside-" and 16 hexadecimal digits. Its owner holds a lock (flock) on it as
long as he lives, killed or not: the kernel lets go of it. So an object whose lock can be had belongs to nobody. It is
locked before it gets its name, under which alone others look for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux shows POSIX shared memory
_NAME = re.compile(r"lineside-[0-9a-f]{16}(\.new)?")
_NEW_SECONDS = 60.0


def create(size: int, *, mode: int = 0o600, folder: Path = FOLDER) -> tuple[str, int]:
    """A new object of `size` bytes, its memory reserved and its lock held.

    Args:
        size: bytes.
        mode: permissions; the station has to be able to read it.
        folder: where.

    Returns:
        Its name, and the descriptor that holds the lock: whoever closes it gives the object up.

    Raises:
        OSError: there is no shared memory here, or not that much.
    """
    import fcntl  # here, because line PCs that are no Linux load this file as well

    name = f"lineside-{secrets.token_hex(8)}"
    new = folder / f"{name}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Reserved, not only sized: memory that is not there is told now, not by a signal while a picture is written.
        os.posix_fallocate(descriptor, 0, size)
        new.rename(folder / name)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return name, descriptor


def sweep(folder: Path = FOLDER) -> int:
    """Removes the objects whose owners are dead; how many. Those of other users are left alone where they must be."""
    removed = 0
    try:
        names = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    except OSError:
        return 0
    for name in names:
        with contextlib.suppress(OSError):
            removed += _remove_if_dead(folder / name)
    return removed


def _remove_if_dead(path: Path) -> bool:
    import fcntl

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if path.suffix == ".new" and time.time() - os.fstat(descriptor).st_mtime < _NEW_SECONDS:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True
    finally:
        os.close(descriptor)
