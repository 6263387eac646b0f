"""A log written anew from what somebody else holds: an export that came back, shards of a station.

Never a station's own: it appears under its name when it is whole, and a folder that is there already is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineside.mentoring_log import DATABASE_NAME, SCHEMA, SCHEMA_VERSION, image_path, pack_areas
from lineside.records import FeedbackEvent, RecordedDetection, RecordedFrame

TABLES = ("models", "frames", "detections", "feedback")
"""Of a log, each after those that it refers to."""


class NewLog:
    """A log in the making. Rows come table by table, in the order of `TABLES`.

    Args:
        root: its folder; exists.
        schema: statements that make its tables.
        version: of the schema.
    """

    def __init__(self, root: Path, *, schema: str = SCHEMA, version: int = SCHEMA_VERSION) -> None:
        self.root = root
        self._connection = sqlite3.connect(root / DATABASE_NAME)
        self._connection.executescript(schema)
        self._connection.execute(f"PRAGMA user_version = {version}")

    def close(self) -> None:
        """Everything is on the disk; idempotent."""
        self._connection.commit()
        self._connection.close()

    def rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Rows as a log holds them; one that is there already stays as it is.

        Args:
            table: one of `TABLES`.
            columns: names, of a log's own schema.
            rows: values in that order.
        """
        marks = ", ".join("?" for _ in columns)
        named = ", ".join(columns)
        self._connection.executemany(f"INSERT OR IGNORE INTO {table} ({named}) VALUES ({marks})", rows)  # noqa: S608

    def model(self, row: Mapping[str, Any]) -> None:
        """A model's row."""
        self.rows("models", tuple(row), [tuple(row.values())])

    def frame(self, frame: RecordedFrame, detections: Sequence[RecordedDetection]) -> None:
        """A frame with its detections."""
        row = {field.name: getattr(frame, field.name) for field in dataclasses.fields(frame)}
        self.rows("frames", tuple(row), [tuple(row.values())])
        for detection in detections:
            row = detection_row(frame.frame_id, detection)
            self.rows("detections", tuple(row), [tuple(row.values())])

    def event(self, event: FeedbackEvent) -> None:
        """A feedback event."""
        row = event_row(event)
        self.rows("feedback", tuple(row), [tuple(row.values())])

    def picture(self, frame: RecordedFrame, data: bytes) -> None:
        """A frame's picture."""
        path = image_path(self.root, frame.image_sha256, frame.image_suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextlib.contextmanager
def new_log(out: Path, *, schema: str = SCHEMA, version: int = SCHEMA_VERSION) -> Iterator[NewLog]:
    """A log that appears at `out` when the block ends well, and not at all otherwise.

    Raises:
        FileExistsError: there is something already.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a folder that is not")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        made = NewLog(staging, schema=schema, version=version)
        try:
            yield made
        finally:
            made.close()
        descriptor = os.open(staging / DATABASE_NAME, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        staging.chmod(0o755)
        staging.rename(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def detection_row(frame_id: str, detection: RecordedDetection) -> dict[str, object]:
    """A detection as the table holds it."""
    row: dict[str, object] = {"frame_id": frame_id, "number": int(detection.detection_id.rpartition("/")[2])}
    for field in dataclasses.fields(detection):
        value = getattr(detection, field.name)
        if field.name == "box":
            row |= dict(zip(("x1", "y1", "x2", "y2"), value, strict=True))
        elif field.name == "areas":
            row["areas"] = pack_areas(value)
        else:
            row[field.name] = int(value) if isinstance(value, bool) else value
    return row


def event_row(event: FeedbackEvent) -> dict[str, object]:
    """An event as the table holds it."""
    row: dict[str, object] = {"payload_sha256": event.payload_sha256}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name == "box":
            row |= dict(zip(("x1", "y1", "x2", "y2"), value or (None,) * 4, strict=True))
        else:
            row[field.name] = value.name if field.name == "gesture" else value
    return row
