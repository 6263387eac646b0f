"""What a disk's complaint means: full, or not to be trusted. Pure."""

from __future__ import annotations

import errno
import sqlite3

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
SQLITE_FULL = 13
_SQLITE_IOERR = 10
_SQLITE_NOTADB = 26
_SQLITE_CORRUPT = 11
_SQLITE_MESSAGES = {
    "database or disk is full": SQLITE_FULL,
    "disk I/O error": _SQLITE_IOERR,
    "file is not a database": _SQLITE_NOTADB,
    "database disk image is malformed": _SQLITE_CORRUPT,
}
NOTHING_LEFT = 256 << 10
"""Free bytes below which an I/O error of SQLite is taken for lack of space: that is how it reports a shared-memory
file that cannot grow."""


def is_full(error: BaseException, free_bytes: int) -> bool:
    """Whether an error says that there is no space left.

    Args:
        error: from the file system or SQLite.
        free_bytes: on the disk, now.
    """
    if isinstance(error, OSError):
        return error.errno in _FULL
    if isinstance(error, sqlite3.Error):
        code = sqlite_code(error)
        return code == SQLITE_FULL or (code == _SQLITE_IOERR and free_bytes < NOTHING_LEFT)
    return False


def sqlite_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0: the module itself has complained."""
    # Python 3.10 has no code, only SQLite's words.
    code = getattr(error, "sqlite_errorcode", None)
    return int(code) & 0xFF if code is not None else _SQLITE_MESSAGES.get(str(error), 0)


def is_storage(error: BaseException) -> bool:
    """Whether an error is the disk's or the database's, not the fault of what was to be written."""
    if isinstance(
        error, sqlite3.IntegrityError | sqlite3.InterfaceError | sqlite3.ProgrammingError | sqlite3.DataError
    ):
        return False
    return isinstance(error, OSError | sqlite3.Error)


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is not, or no longer, a database."""
    return sqlite_code(error) in (_SQLITE_NOTADB, _SQLITE_CORRUPT)
