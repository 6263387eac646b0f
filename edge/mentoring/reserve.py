"""Space put by, so that a full disk can still be cleaned: deleting rows needs space for the WAL."""

from __future__ import annotations

import os
from pathlib import Path

from edge.mentoring.faults import is_full

NAME = "reserve"


class Reserve:
    """A file of real blocks that can be given up.

    Args:
        root: the log's folder.
        size: bytes.
    """

    def __init__(self, root: Path, size: int) -> None:
        self._path = root / NAME
        self._size = size

    def hold(self) -> bool:
        """Takes the space, or finds it taken. False: the disk has not that much.

        Raises:
            OSError: the disk does not obey.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size == self._size:
                return True
            os.ftruncate(descriptor, 0)
            try:
                # Blocks, not a hole: the file system has to find them now.
                os.posix_fallocate(descriptor, 0, self._size)
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, 0)
                if is_full(error, 0):
                    return False
                raise
        finally:
            os.close(descriptor)
        return True

    def give_up(self) -> None:
        """Frees the space; idempotent.

        Raises:
            OSError: the disk does not obey.
        """
        self._path.unlink(missing_ok=True)
