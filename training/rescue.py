"""What can still be read of a damaged mentoring log, as a new one: every row is asked for by itself.

The damaged log is only read. Rows that cannot be read are counted by what they leave behind: a number missing between
the log sequences, a frame that answers speak of. What came out is read as any other log, so answers are checked against
their digests and pictures against their hashes; a detection has no digest, and one that still makes sense is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lineside.mentoring_log import DATABASE_NAME, IMAGES_FOLDER, SCHEMA, SCHEMA_VERSION
from lineside.reasons import ContractError, Reason

HELP = "a damaged mentoring log's readable rows as a new log"

TABLES = ("models", "frames", "detections", "feedback")
_HEADER = 100
"""Bytes of SQLite's file header: the page's size at 16, the number of pages at 28."""
_LONGEST = 1 << 40
"""Bytes. A damaged header may claim anything; what is padded takes no room on the disk."""
_SMALLEST_ROW = 24
"""Bytes. No row of the log is shorter, so a file has at most its size divided by this many."""


def describe(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("log", type=Path, help="folder of the damaged log; it is not changed")
    parser.add_argument("out", type=Path, help="folder for the new one; must not be there")


def run(options: argparse.Namespace) -> int:
    """The command."""
    counts = rescue(options.log, options.out)
    print(", ".join(f"{number} {table}" for table, number in counts.items()))  # noqa: T201
    return 0


def rescue(root: Path, out: Path) -> dict[str, int]:
    """Writes what can be read of a log into a new one, which shares the pictures.

    Args:
        root: the damaged log's folder.
        out: a folder that is not there yet.

    Returns:
        Rows by table.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: `out` is there already.
        ContractError: RECORD_CORRUPT, not even the list of tables can be read.
    """
    if out.exists():
        raise ValueError(f"{out} is there already; name a folder that is not")
    if not (root / DATABASE_NAME).is_file():
        raise FileNotFoundError(f"no mentoring log in {root}: expected {DATABASE_NAME} there")
    out.mkdir(parents=True)
    (out / IMAGES_FOLDER).symlink_to(os.path.relpath((root / IMAGES_FOLDER).resolve(), out.resolve()))
    with tempfile.TemporaryDirectory(dir=out) as folder, contextlib.closing(_opened(root, Path(folder))) as damaged:
        try:
            there = {name for (name,) in damaged.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise ContractError(
                Reason.RECORD_CORRUPT, f"not even the list of tables can be read ({error}); take a backup"
            ) from None
        with contextlib.closing(sqlite3.connect(out / DATABASE_NAME)) as new:
            new.executescript(SCHEMA)
            new.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            bound = (root / DATABASE_NAME).stat().st_size // _SMALLEST_ROW + 1
            counts = {name: _copy(damaged, new, name, bound) if name in there else 0 for name in TABLES}
            new.commit()
    return counts


def _opened(root: Path, folder: Path) -> sqlite3.Connection:
    """A copy of the damaged database, as long as it says it is: SQLite refuses a file that was cut off."""
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / name)
    with open(folder / DATABASE_NAME, "r+b") as file:
        header = file.read(_HEADER)
        if len(header) == _HEADER and header.startswith(b"SQLite format 3"):
            page = int.from_bytes(header[16:18], "big")
            length = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
            file.truncate(max(file.seek(0, os.SEEK_END), min(length, _LONGEST)))
    return sqlite3.connect(folder / DATABASE_NAME)


def _copy(damaged: sqlite3.Connection, new: sqlite3.Connection, table: str, bound: int) -> int:
    taken = 0
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    for row in _rows(damaged, table, bound):
        # A log of an older schema has fewer columns; new ones were added at the end and have defaults.
        names = columns[: len(row)]
        marks = ", ".join("?" for _ in row)
        # A row that the log's own rules refuse is no row of it.
        with contextlib.suppress(sqlite3.IntegrityError, sqlite3.InterfaceError):
            new.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", row)  # noqa: S608
            taken += 1
    return taken


def _rows(damaged: sqlite3.Connection, table: str, bound: int) -> Iterator[tuple[object, ...]]:
    """Rows by their number, none through an index; those that cannot be read are left out."""
    last = _last(damaged, table, bound)
    for number in range(1, last + 1):
        with contextlib.suppress(sqlite3.DatabaseError):
            query = f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?"  # noqa: S608
            row = damaged.execute(query, (number,)).fetchone()
            if row is not None:
                yield row


def _last(damaged: sqlite3.Connection, table: str, bound: int) -> int:
    """The highest row number, or what it is at most where the end of the table cannot be read."""
    try:
        (last,) = damaged.execute(f"SELECT MAX(rowid) FROM {table} NOT INDEXED").fetchone()  # noqa: S608
    except sqlite3.DatabaseError:
        return bound
    return int(last or 0)
