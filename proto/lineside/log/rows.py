"""Rows of a log as its tables hold them, whatever its schema: for those who carry them elsewhere unchanged."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from lineside.mentoring_log import open_log


def model_rows(root: Path) -> list[dict[str, Any]]:
    """Models in the order in which the station first saw them.

    Raises:
        FileNotFoundError, ContractError: as `open_log`.
    """
    with contextlib.closing(open_log(root)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM models ORDER BY first_seen_unix_ns, digest")
        return [dict(row) for row in rows]


def schema_of(connection: sqlite3.Connection) -> tuple[int, str]:
    """A log's schema: its version, and the statements that make its tables."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    statements = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    )
    return version, "".join(f"{sql};\n" for (sql,) in statements)
