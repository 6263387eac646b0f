"""What a disk's complaint is taken for, with SQLite's codes and, where Python has none, with its words."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from edge.mentoring.faults import NOTHING_LEFT, is_corrupt, is_full, is_storage, sqlite_code

PLENTY = 1 << 40


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), PLENTY, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), PLENTY, True),
        (OSError(errno.EIO, "Input/output error"), 0, False),
        (sqlite3.OperationalError("database or disk is full"), PLENTY, True),
        (sqlite3.OperationalError("disk I/O error"), PLENTY, False),
        (sqlite3.OperationalError("disk I/O error"), NOTHING_LEFT - 1, True),
        (sqlite3.OperationalError("database is locked"), 0, False),
        (ValueError("something else"), 0, False),
    ],
)
def test_full_is_told_from_broken(error: Exception, free: int, full: bool) -> None:
    assert is_full(error, free) is full


def test_a_real_full_database_is_full_by_its_code() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.close()
    assert is_full(caught.value, PLENTY)


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"words, and not pages of a database" * 100)
    connection = sqlite3.connect(tmp_path / "file")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("SELECT * FROM sqlite_master")
    connection.close()
    assert is_corrupt(caught.value)
    assert is_corrupt(sqlite3.DatabaseError("database disk image is malformed"))
    assert not is_corrupt(sqlite3.OperationalError("disk I/O error"))


def test_what_is_wrong_with_a_row_is_not_blamed_on_the_disk() -> None:
    assert is_storage(sqlite3.OperationalError("disk I/O error"))
    assert is_storage(sqlite3.DatabaseError("database disk image is malformed"))
    assert is_storage(OSError(errno.EIO, "Input/output error"))
    assert not is_storage(sqlite3.IntegrityError("UNIQUE constraint failed"))
    assert not is_storage(sqlite3.ProgrammingError("type 'object' is not supported"))
    assert not is_storage(OverflowError("Python int too large"))
    assert sqlite_code(sqlite3.OperationalError("words nobody knows")) == 0
