"""Everything that was said in a mentoring log, as of one moment and row by row: what training reads.

`MentoringLogReader` trusts what the station wrote. This reader trusts nothing: a copied, cut off or damaged log is
either refused as a whole, with what to do about it, or read with each bad row named. Feedback is checked against the
digest the station stored beside it, pictures are not looked at here. All rows come out of one read transaction, so the
station may go on writing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from lineside.areas import Head, head_of
from lineside.mentoring_log import DATABASE_NAME, SCHEMA, SCHEMA_VERSION, detection_of, event_of, open_log
from lineside.reasons import ContractError, Reason
from lineside.records import (
    ABOUT_DETECTION,
    ABOUT_FRAME,
    BoxTuple,
    FeedbackEvent,
    Gesture,
    RecordedDetection,
    RecordedFrame,
)
from lineside.v1 import model_pb2

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"[a-z0-9]{1,8}")
_LARGEST_SIDE = 1 << 20
"""Pixels. No camera has more; a damaged number often does."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRow:
    """A row that is not what a station writes."""

    kind: str
    """"frame", "detection" or "answer"."""
    name: str
    """Frame id, detection id or feedback key, as far as it can be read."""
    frame_id: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogSnapshot:
    """The judged part of one log."""

    root: Path
    frames: Mapping[str, RecordedFrame]
    """By frame id: those that somebody has said something about."""
    detections: Mapping[str, tuple[RecordedDetection, ...]]
    """By frame id, highest score first."""
    events: tuple[FeedbackEvent, ...]
    """In the order they were acknowledged."""
    heads: Mapping[str, Head]
    """By model digest, where the model's manifest says which it has."""
    broken: tuple[BrokenRow, ...]
    unjudged: int
    """Frames that nobody has said anything about."""
    missing: int
    """Events that were acknowledged once, by the numbers around them, and are not in this file."""


def read_snapshot(root: Path) -> LogSnapshot:
    """Reads a log.

    Raises:
        FileNotFoundError: there is no log in the folder.
        ContractError: RECORD_CORRUPT, it cannot be read; the message says what to do.
    """
    try:
        connection = open_log(root)
    except ContractError as error:
        if isinstance(error.__cause__, sqlite3.Error):
            raise _unreadable(root, str(error.__cause__)) from None
        raise ContractError(error.reason, f"{root}: {error.message}") from None
    # Bytes, because a damaged text may be no text.
    connection.text_factory = bytes
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        _check(connection, root)
        return _read(connection, root)
    except (
        sqlite3.Error,
        OverflowError,
        UnicodeDecodeError,
    ) as error:  # sqlite3 names a damaged thing by its damaged name
        raise _unreadable(root, str(error)) from error
    finally:
        connection.close()


def _unreadable(root: Path, what: str) -> ContractError:
    if "unable to open" in what or "readonly" in what:
        return ContractError(
            Reason.RECORD_CORRUPT,
            f"{root / DATABASE_NAME} cannot be opened ({what}): SQLite needs to write beside a log even to read it;"
            " copy the folder, with its -wal file, to where you may write",
        )
    return ContractError(
        Reason.RECORD_CORRUPT,
        f"{root / DATABASE_NAME} is damaged ({what}) and nothing of it was used; take a backup, rescue what can be read"
        f" (lineside train rescue {root} NEW), or leave this log out",
    )


def _check(connection: sqlite3.Connection, root: Path) -> None:
    """Raises where the file's structure, and with it any row, cannot be trusted."""
    lines = [_name(row, "integrity_check") for row in connection.execute("PRAGMA integrity_check")]
    # A value of the wrong kind is one bad row and is told as such; everything else is the file's structure, an index
    # included: a row that it misses would be left out without a word.
    structural = [line for line in lines if line != "ok" and not _ABOUT_ONE_VALUE.match(line)]
    if structural:
        raise _unreadable(root, structural[0].splitlines()[-1][:120])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    there = {row[0].decode(errors="replace") for row in connection.execute("SELECT name FROM sqlite_master")}
    lacking = [name for name in _TABLES if name not in there]
    if lacking:
        raise _unreadable(root, f"it has no table {', '.join(lacking)}")
    for table, columns in _TABLES.items():
        # Names of columns are bytes of the file too, which no check of SQLite's looks at.
        named = {row[1].decode(errors="replace") for row in connection.execute(f"PRAGMA table_info({table})")}
        wanted = columns if version == SCHEMA_VERSION else columns - _ADDED
        if not wanted <= named:
            raise _unreadable(root, f"table {table} has no column {', '.join(sorted(wanted - named))}")


def _tables() -> Mapping[str, frozenset[str]]:
    """Tables of a log by name, with the names of their columns, as SQLite reads the schema."""
    with contextlib.closing(sqlite3.connect(":memory:")) as plain:
        plain.executescript(SCHEMA)
        names = [row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: frozenset(row[1] for row in plain.execute(f"PRAGMA table_info({name})"))
            for name in names
            if not name.startswith("sqlite_")
        }


_TABLES = _tables()
_ADDED = frozenset({"raised", "asked_because", "asked_probability"})
"""Columns that a log of schema 1 does not have."""


_ABOUT_ONE_VALUE = re.compile(
    r"(non-\w+ value in |NULL value in |CHECK constraint failed in |NUMERIC value in |TEXT value in )"
)


def _read(connection: sqlite3.Connection, root: Path) -> LogSnapshot:
    broken: list[BrokenRow] = []
    judged = "frame_id IN (SELECT frame_id FROM feedback)"
    frames: dict[str, RecordedFrame] = {}
    for row in _rows(connection, f"SELECT * FROM frames WHERE {judged} ORDER BY recorded_unix_ns, frame_id"):  # noqa: S608
        frame, why = _frame(row)
        if frame is None:
            broken.append(
                BrokenRow(kind="frame", name=_name(row, "frame_id"), frame_id=_name(row, "frame_id"), why=why)
            )
        else:
            frames[frame.frame_id] = frame
    detections: dict[str, list[RecordedDetection]] = {}
    for row in _rows(connection, f"SELECT * FROM detections WHERE {judged} ORDER BY frame_id, number"):  # noqa: S608
        owner = frames.get(_name(row, "frame_id"))
        detection, why = _detection(row, owner)
        if detection is not None:
            detections.setdefault(_name(row, "frame_id"), []).append(detection)
        elif owner is not None:
            name = _name(row, "detection_id")
            broken.append(BrokenRow(kind="detection", name=name, frame_id=owner.frame_id, why=why))
    events: list[FeedbackEvent] = []
    for row in _rows(connection, "SELECT * FROM feedback ORDER BY log_sequence"):
        event, why = _event(row)
        if event is None:
            broken.append(BrokenRow(kind="answer", name=_name(row, "key"), frame_id=_name(row, "frame_id"), why=why))
        else:
            events.append(event)
    unjudged = connection.execute(f"SELECT COUNT(*) FROM frames WHERE NOT {judged}").fetchone()[0]  # noqa: S608
    given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'feedback'").fetchone()
    highest, count = connection.execute("SELECT MAX(log_sequence), COUNT(*) FROM feedback").fetchone()
    return LogSnapshot(
        root=root,
        frames=frames,
        detections={frame_id: tuple(found) for frame_id, found in detections.items()},
        events=tuple(events),
        heads=dict(_heads(connection)),
        broken=tuple(broken),
        unjudged=int(unjudged),
        missing=max(0, int(highest or 0), int(given[0]) if given else 0) - int(count),
    )


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[dict[str, Any]]:
    """Rows with their texts decoded; a text that is none stays bytes."""
    for row in connection.execute(query):
        values = dict(row)
        for name, value in values.items():
            if isinstance(value, bytes) and name != "areas":
                try:
                    values[name] = value.decode()
                except UnicodeDecodeError:
                    continue
        yield values


def _name(row: Mapping[str, Any] | sqlite3.Row, field: str) -> str:
    value = row[field]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _not_text(row: Mapping[str, Any]) -> str | None:
    wrong = [name for name, value in row.items() if isinstance(value, bytes) and name != "areas"]
    return f"its {wrong[0]} is no text" if wrong else None


def _frame(row: Mapping[str, Any]) -> tuple[RecordedFrame | None, str]:
    why = _not_text(row)
    if why is not None:
        return None, why
    frame = RecordedFrame(**row)
    if not (1 <= frame.width <= _LARGEST_SIDE and 1 <= frame.height <= _LARGEST_SIDE):
        return None, "its size is impossible"
    if not _SHA256.fullmatch(frame.image_sha256) or not _SUFFIX.fullmatch(frame.image_suffix):
        return None, "it names no picture"
    if not (0 < frame.selection_probability <= 1 and 0 < frame.asked_probability <= 1):
        return None, "its selection probability is impossible"
    return frame, ""


def _detection(row: Mapping[str, Any], frame: RecordedFrame | None) -> tuple[RecordedDetection | None, str]:
    why = _not_text(row)
    if why is not None or frame is None:
        return None, why or "its frame is damaged"
    if not isinstance(row["areas"], bytes) or len(row["areas"]) % 4:
        return None, "its areas are no list of numbers"
    if any(row[name] is None for name in ("score", "x1", "y1", "x2", "y2")):  # SQLite has no NaN and stores NULL
        return None, "its score or box is NaN"
    found = detection_of(row)
    if not (math.isfinite(found.score) and 0 <= found.score <= 1):
        return None, "its score is no probability"
    if not 0 < found.asked_probability <= 1:
        return None, "its selection probability is impossible"
    trouble = box_trouble(found.box, frame)
    if trouble is not None:
        return None, trouble
    if len(found.areas) == 0:
        return None, "it has no areas"
    if found.areas[0] < 0 or (np.diff(found.areas.astype(np.int64)) <= 0).any():
        return None, "its areas are not ascending"
    if found.detection_id != f"{frame.frame_id}/{row['number']}":
        return None, "its number is not its own"
    return found, ""


def box_trouble(box: BoxTuple, frame: RecordedFrame) -> str | None:
    """What is impossible about a box in frame pixels, or None."""
    if not all(math.isfinite(value) for value in box):
        return "its box is not finite"
    x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2):
        return "its box has no area"
    if x2 <= 0 or y2 <= 0 or x1 >= frame.width or y1 >= frame.height:
        return "its box lies outside the frame"
    return None


def _event(row: Mapping[str, Any]) -> tuple[FeedbackEvent | None, str]:
    why = _not_text(row)
    if why is not None:
        return None, why
    if row["gesture"] not in Gesture.__members__:
        return None, "its gesture is not known to this version; use a newer Lineside"
    event = event_of(row)
    if event.payload_sha256 != row["payload_sha256"]:
        return None, "its content is not what its digest says"
    if event.gesture not in (ABOUT_FRAME if event.detection_id is None else ABOUT_DETECTION):
        return None, "its gesture does not fit what it is about"
    if event.gesture is Gesture.MISSED and (event.box is None or event.class_name is None):
        return None, "a missed defect without box or class"
    return event, ""


def _heads(connection: sqlite3.Connection) -> Iterator[tuple[str, Head]]:
    """Heads of the models; one that cannot be read is left out, and its areas are found anew from the boxes."""
    for row in _rows(connection, "SELECT digest, manifest FROM models"):
        head = _head(_name(row, "manifest"))
        if head is not None:
            yield _name(row, "digest"), head


def _head(manifest: str) -> Head | None:
    try:
        return head_of(json_format.Parse(manifest, model_pb2.PackageManifest()))
    except (json_format.ParseError, ValueError):
        return None
