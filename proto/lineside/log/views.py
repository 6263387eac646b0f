"""The log as tables to ask questions of, in SQLite, in DuckDB, or from pandas through either.

The views below are written in the SQL that both understand. In SQLite they are temporary, of the connection alone: the
log is opened to be read and nothing in it changes. DuckDB gets the rows as tables in memory, so that several stations'
logs are one, and so that nothing has to be fetched to read SQLite's files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineside.log.new_log import TABLES
from lineside.mentoring_log import open_log

if TYPE_CHECKING:
    import duckdb

_TARGET = """coalesce(feedback.detection_id, CASE WHEN feedback.gesture = 'MISSED' OR feedback.missed_index > 0
    THEN 'missed/' || feedback.operator || '/' || feedback.missed_index ELSE 'frame' END)"""

VIEWS: Mapping[str, str] = {
    # Every event, with what it is about. `standing`: it is this operator's last word about this.
    "answers": f"""
SELECT feedback.log_sequence, feedback.key, feedback.frame_id, {_TARGET} AS target, feedback.detection_id,
    feedback.gesture, feedback.class_name AS said_class, feedback.operator, feedback.revision, feedback.seconds,
    feedback.received_unix_ns / 1000000000 AS received_unix, frames.station, frames.camera, frames.part_id,
    frames.model_digest, frames.selected_because, frames.selection_probability,
    detections.class_name AS raised_class, detections.score,
    row_number() OVER (PARTITION BY feedback.frame_id, {_TARGET}, feedback.operator
        ORDER BY feedback.revision DESC, feedback.key DESC) = 1 AND feedback.gesture <> 'RETRACT' AS standing
FROM feedback JOIN frames ON frames.frame_id = feedback.frame_id
LEFT JOIN detections ON detections.detection_id = feedback.detection_id
""",  # noqa: S608
    # What all standing answers about one thing amount to: lineside.fold, as a table.
    "judgements": """
SELECT frame_id, target, max(detection_id) AS detection_id,
    CASE WHEN count(DISTINCT meaning) FILTER (WHERE sure = any_sure) = 1 THEN 'SAID' ELSE 'DISPUTED' END AS outcome,
    max(meaning) FILTER (WHERE sure = any_sure) AS meaning,
    count(*) FILTER (WHERE sure = any_sure) AS operators, sum(seconds) FILTER (WHERE sure = any_sure) AS seconds,
    max(raised_class) AS raised_class, max(score) AS score, max(part_id) AS part_id, max(station) AS station,
    max(camera) AS camera, max(model_digest) AS model_digest, max(selection_probability) AS selection_probability
FROM (
    SELECT *, max(sure) OVER (PARTITION BY frame_id, target) AS any_sure FROM (
        SELECT *, CASE WHEN gesture = 'UNSURE' THEN 0 ELSE 1 END AS sure,
            CASE WHEN gesture IN ('CONFIRM', 'POOR_BOX') THEN 'DEFECT AS NAMED'
                WHEN said_class IS NULL THEN gesture ELSE gesture || ' ' || said_class END AS meaning
        FROM answers WHERE standing) AS told) AS weighed
GROUP BY frame_id, target
""",
    # A line for each class and model: how many detections were judged, and how many of these were right.
    "precision_by_class": """
SELECT model_digest, raised_class, count(*) AS judged,
    sum(CASE WHEN meaning = 'DEFECT AS NAMED' THEN 1 ELSE 0 END) AS confirmed,
    avg(CASE WHEN meaning = 'DEFECT AS NAMED' THEN 1.0 ELSE 0.0 END) AS share
FROM judgements WHERE detection_id IS NOT NULL AND outcome = 'SAID' AND meaning <> 'UNSURE'
GROUP BY model_digest, raised_class
""",
    # A line for each operator: answers, seconds, and how often others contradict him.
    "operators": """
SELECT answers.operator, count(*) AS answers, sum(answers.seconds) AS seconds,
    avg(answers.seconds) AS seconds_an_answer,
    sum(CASE WHEN judgements.outcome = 'DISPUTED' THEN 1 ELSE 0 END) AS disputed
FROM answers LEFT JOIN judgements ON judgements.frame_id = answers.frame_id AND judgements.target = answers.target
GROUP BY answers.operator
""",
    # Where each picture lies below the log's folder, and whether somebody has said something about it.
    "pictures": """
SELECT frame_id, station, camera, part_id, width, height, model_digest, verdict,
    'images/' || substr(image_sha256, 1, 2) || '/' || image_sha256 || '.' || image_suffix AS path, image_bytes,
    EXISTS (SELECT 1 FROM feedback WHERE feedback.frame_id = frames.frame_id) AS judged
FROM frames
""",
}
"""By name; each may ask those before it."""


def open_sqlite(root: Path) -> sqlite3.Connection:
    """A log with the views, to be read only.

    Raises:
        FileNotFoundError, ContractError: as `open_log`.
    """
    connection = open_log(root)
    for name, query in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
    return connection


def open_duckdb(roots: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """One or several logs as tables of a DuckDB in memory, with the views; what is in two logs is there once.

    Raises:
        FileNotFoundError, ContractError: as `open_log`.
        ModuleNotFoundError: duckdb or pyarrow is not installed.
    """
    import duckdb
    import pyarrow

    connection = duckdb.connect()
    for table, key in zip(TABLES, ("digest", "frame_id", "detection_id", "key"), strict=True):
        kinds: dict[str, str] = {}
        columns: dict[str, list[Any]] = {}
        known: set[Any] = set()
        for root in roots:
            log = open_log(root)
            try:
                for _, name, kind, *_ in log.execute(f"PRAGMA table_info({table})"):
                    # A log of an older schema has fewer columns: its rows have nothing there.
                    if name not in columns:
                        columns[name] = [None] * len(known)
                        kinds[name] = kind
                cursor = log.execute(f"SELECT * FROM {table}")  # noqa: S608
                names = [item[0] for item in cursor.description]
                for row in cursor:
                    values = dict(zip(names, row, strict=True))
                    if values[key] not in known:
                        known.add(values[key])
                        for name, column in columns.items():
                            column.append(values.get(name))
            finally:
                log.close()
        types = {
            "TEXT": pyarrow.string(),
            "INTEGER": pyarrow.int64(),
            "REAL": pyarrow.float64(),
            "BLOB": pyarrow.binary(),
        }
        arrow = pyarrow.table({name: pyarrow.array(values, types[kinds[name]]) for name, values in columns.items()})
        connection.register(f"{table}_rows", arrow)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {table}_rows")  # noqa: S608
        connection.unregister(f"{table}_rows")
    for name, query in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {query}")
    return connection


def ask(roots: Sequence[Path], query: str, *, engine: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns, and the rows.

    Args:
        roots: of the logs; SQLite takes one.
        query: SQL.
        engine: "sqlite" or "duckdb".

    Raises:
        ValueError: several logs for SQLite, or the query is wrong.
        FileNotFoundError, ContractError: as `open_log`.
    """
    if engine == "sqlite":
        if len(roots) != 1:
            raise ValueError(f"{len(roots)} logs at once are for DuckDB: --engine duckdb")
        connection = open_sqlite(roots[0])
        try:
            cursor = connection.execute(query)
            return [item[0] for item in cursor.description or ()], cursor.fetchall()
        except sqlite3.Error as error:
            raise ValueError(f"the query cannot be answered: {error}") from None
        finally:
            connection.close()
    import duckdb

    with open_duckdb(roots) as opened:
        try:
            result = opened.execute(query)
            return [item[0] for item in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise ValueError(f"the query cannot be answered: {error}") from None
