"""The mentoring log on disk: its schema, and a reader that any process may use while the station writes.

    ROOT/log.sqlite          frames, detections, feedback, models (SQLite, WAL)
    ROOT/images/ab/SHA.sfx   the pictures, named by the SHA-256 of their bytes, `ab` its first two digits

The station is the only writer (edge/mentoring). Feedback rows are never changed or deleted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from google.protobuf import json_format

from lineside.areas import Indices
from lineside.fold import fold
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from lineside.v1 import model_pb2

SCHEMA_VERSION = 2
DATABASE_NAME = "log.sqlite"
IMAGES_FOLDER = "images"

SCHEMA = """
CREATE TABLE models (
    digest TEXT PRIMARY KEY,            -- "sha256:..." of the package
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    manifest TEXT NOT NULL,             -- manifest.json, as in the package
    first_seen_unix_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE frames (
    frame_id TEXT PRIMARY KEY,          -- UUIDv7
    boot_id TEXT NOT NULL,
    station TEXT NOT NULL,
    camera TEXT NOT NULL,
    part_id TEXT NOT NULL,              -- '' not known
    camera_sequence INTEGER NOT NULL,
    width INTEGER NOT NULL,             -- pixels
    height INTEGER NOT NULL,
    captured_unix_ns INTEGER NOT NULL,
    captured_monotonic_ns INTEGER NOT NULL,
    image_sha256 TEXT NOT NULL,         -- 64 hexadecimal digits
    image_suffix TEXT NOT NULL,         -- jpg, png, webp, bmp, tif, pgm, ppm
    image_bytes INTEGER NOT NULL,
    model_digest TEXT NOT NULL,         -- '' no model ran
    verdict TEXT NOT NULL,              -- PASS, REJECT, NO_VERDICT
    verdict_reason TEXT NOT NULL,
    selected_because TEXT NOT NULL,     -- selection policy
    selection_probability REAL NOT NULL CHECK (selection_probability > 0 AND selection_probability <= 1),
    recorded_unix_ns INTEGER NOT NULL,
    asked_because TEXT NOT NULL DEFAULT '',         -- policy that has the whole frame searched; '' none
    asked_probability REAL NOT NULL DEFAULT 1       -- with which a frame of the line is searched so
) STRICT;
CREATE INDEX frames_by_time ON frames (recorded_unix_ns);
CREATE INDEX frames_by_part ON frames (part_id);
CREATE INDEX frames_by_image ON frames (image_sha256);
CREATE TABLE detections (
    detection_id TEXT PRIMARY KEY,      -- frame_id/number
    frame_id TEXT NOT NULL REFERENCES frames,
    number INTEGER NOT NULL,            -- from 0, highest score first
    class_index INTEGER NOT NULL,
    class_name TEXT NOT NULL,
    score REAL NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,  -- frame pixels
    areas BLOB NOT NULL,                -- ascending area indices, little-endian uint32
    raised INTEGER NOT NULL DEFAULT 1,  -- 0: a question, below its threshold and no part of the verdict
    asked_because TEXT NOT NULL DEFAULT 'frame',    -- policy that puts it to operators; '' none
    asked_probability REAL NOT NULL DEFAULT 1       -- with which, once the frame is kept
) STRICT;
CREATE INDEX detections_by_frame ON detections (frame_id);
CREATE TABLE feedback (
    log_sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    payload_sha256 TEXT NOT NULL,       -- of the event's content: the same key with another payload is refused
    frame_id TEXT NOT NULL REFERENCES frames,
    detection_id TEXT REFERENCES detections,  -- NULL: about the frame
    gesture TEXT NOT NULL,              -- lineside.records.Gesture, by name
    class_name TEXT,
    x1 REAL, y1 REAL, x2 REAL, y2 REAL, -- MISSED only, frame pixels
    missed_index INTEGER NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    operator TEXT NOT NULL,
    seconds REAL NOT NULL,
    client_unix_ns INTEGER NOT NULL,
    received_unix_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_by_frame ON feedback (frame_id);
"""

UPGRADES: Mapping[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE frames ADD COLUMN asked_because TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE frames ADD COLUMN asked_probability REAL NOT NULL DEFAULT 1",
        "ALTER TABLE detections ADD COLUMN raised INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE detections ADD COLUMN asked_because TEXT NOT NULL DEFAULT 'frame'",
        "ALTER TABLE detections ADD COLUMN asked_probability REAL NOT NULL DEFAULT 1",
    ),
}
"""By schema, what makes the next one of it. Only adds: a row that was written stays as it was, and a reader gives the
columns an older log does not have their defaults, so it never has to be changed to be read."""

# What stands of an operator's words about a target is his highest revision, as in lineside.fold; RETRACT: nothing.
_UNDECIDED = """
WITH recent AS (
    SELECT frame_id, recorded_unix_ns FROM frames ORDER BY recorded_unix_ns DESC, frame_id DESC LIMIT :frames
), standing AS (
    SELECT said.frame_id, said.detection_id FROM feedback said JOIN recent USING (frame_id)
    WHERE said.gesture <> 'RETRACT' AND said.missed_index = 0 AND NOT EXISTS (
        SELECT 1 FROM feedback later
        WHERE later.frame_id = said.frame_id AND later.detection_id IS said.detection_id
            AND later.missed_index = 0 AND later.operator = said.operator
            AND (later.revision, later.key) > (said.revision, said.key))
)
SELECT detections.detection_id, detections.frame_id FROM recent JOIN detections USING (frame_id)
WHERE {asked} NOT EXISTS (
    SELECT 1 FROM standing
    WHERE standing.frame_id = detections.frame_id
        AND (standing.detection_id IS NULL OR standing.detection_id = detections.detection_id))
ORDER BY recent.recorded_unix_ns DESC, recent.frame_id DESC, detections.number
"""


_ANSWERED_BY_OTHERS = """
WITH recent AS (
    SELECT frame_id, recorded_unix_ns FROM frames ORDER BY recorded_unix_ns DESC, frame_id DESC LIMIT :frames
)
SELECT detections.detection_id, detections.frame_id FROM recent JOIN detections USING (frame_id)
WHERE EXISTS (
    SELECT 1 FROM feedback said WHERE said.frame_id = recent.frame_id AND said.detection_id = detections.detection_id
        AND said.operator <> :operator AND said.gesture NOT IN ('RETRACT', 'UNSURE')
        AND (:anybody OR said.operator IN (SELECT value FROM json_each(:by))))
AND NOT EXISTS (
    SELECT 1 FROM feedback own WHERE own.frame_id = recent.frame_id AND own.operator = :operator
        AND own.missed_index = 0 AND (own.detection_id IS NULL OR own.detection_id = detections.detection_id))
ORDER BY recent.recorded_unix_ns DESC, recent.frame_id DESC, detections.number LIMIT :limit
"""


def image_path(root: Path, sha256: str, suffix: str) -> Path:
    """Where the picture with this content lies."""
    return root / IMAGES_FOLDER / sha256[:2] / f"{sha256}.{suffix}"


def read_picture(root: Path, frame: RecordedFrame) -> bytes:
    """A picture's bytes as the station received them.

    Raises:
        ContractError: RECORD_CORRUPT, the file is gone or its content is not what the log says.
    """
    try:
        data = image_path(root, frame.image_sha256, frame.image_suffix).read_bytes()
    except OSError as error:
        raise ContractError(
            Reason.RECORD_CORRUPT, f"the picture of frame {frame.frame_id} cannot be read: {error.strerror}"
        ) from error
    if hashlib.sha256(data).hexdigest() != frame.image_sha256:
        raise ContractError(
            Reason.RECORD_CORRUPT, f"the picture of frame {frame.frame_id} does not have the SHA-256 of the log"
        )
    return data


def pack_areas(areas: Indices) -> bytes:
    """Area indices as the log stores them."""
    return np.asarray(areas, "<u4").tobytes()


def unpack_areas(data: bytes) -> Indices:
    """(n,) int32 area indices."""
    return np.frombuffer(data, "<u4").astype(np.int32)


def open_log(root: Path) -> sqlite3.Connection:
    """A connection that can only read, to a log of a schema this version knows.

    Raises:
        FileNotFoundError: there is no log in the folder.
        ContractError: RECORD_CORRUPT, the log is of a newer schema or is not one.
    """
    database = root / DATABASE_NAME
    if not database.is_file():
        raise FileNotFoundError(
            f"no mentoring log in {root}: expected {DATABASE_NAME} there; a station makes it at its first start"
        )
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ContractError(Reason.RECORD_CORRUPT, f"{DATABASE_NAME} cannot be read: {error}") from error
    if 1 <= version <= SCHEMA_VERSION:
        return connection
    connection.close()
    if version == 0:
        raise ContractError(
            Reason.RECORD_CORRUPT, f"{DATABASE_NAME} is empty or no mentoring log; name the folder of a station's log"
        )
    raise ContractError(
        Reason.RECORD_CORRUPT,
        f"the log has schema {version}, this version reads 1 to {SCHEMA_VERSION}; use a newer Lineside",
    )


class MentoringLogReader:
    """Read-only view of a log. One connection; use one reader per thread.

    Args:
        root: the log's folder.

    Raises:
        FileNotFoundError: there is no log in the folder.
        ContractError: RECORD_CORRUPT, the log is of a newer schema or is not one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._connection = open_log(root)
        self._connection.row_factory = sqlite3.Row
        self._schema = int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def __enter__(self) -> MentoringLogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; idempotent."""
        self._connection.close()

    def count(self) -> tuple[int, int]:
        """Number of frames and of feedback events."""
        row = self._connection.execute("SELECT (SELECT COUNT(*) FROM frames), (SELECT COUNT(*) FROM feedback)")
        frames, events = row.fetchone()
        return int(frames), int(events)

    def manifests(self) -> dict[str, model_pb2.PackageManifest]:
        """Manifests of the models that made the log's detections, by digest."""
        return {
            row["digest"]: json_format.Parse(row["manifest"], model_pb2.PackageManifest())
            for row in self._connection.execute("SELECT digest, manifest FROM models")
        }

    def record(self, frame_id: str) -> MentoringRecord | None:
        """One frame's record, all of it as of one moment, or None."""
        # The station may delete a frame that nobody judged between two of these reads.
        self._connection.execute("BEGIN")
        try:
            row = self._connection.execute("SELECT * FROM frames WHERE frame_id = ?", (frame_id,)).fetchone()
            return None if row is None else self._record(row)
        finally:
            self._connection.execute("COMMIT")

    def records(self, *, judged_only: bool = False) -> Iterator[MentoringRecord]:
        """The records there are now, in the order they were kept.

        A frame that the station deletes meanwhile (nobody judged it, and the disk is full) is left out. No transaction
        is held between two records, however long the caller takes: it would keep the station's WAL from shrinking.

        Args:
            judged_only: leave out frames that nobody has said anything about.
        """
        rows = self._connection.execute(
            "SELECT frame_id FROM frames WHERE ? = 0 OR frame_id IN (SELECT frame_id FROM feedback)"
            " ORDER BY recorded_unix_ns, frame_id",
            (int(judged_only),),
        )
        for row in rows.fetchall():
            record = self.record(row["frame_id"])
            if record is not None:
                yield record

    def feedback(self, *, after: int = 0) -> Iterator[FeedbackEvent]:
        """Feedback events with a log sequence above `after`, in that order."""
        for row in self._connection.execute(
            "SELECT * FROM feedback WHERE log_sequence > ? ORDER BY log_sequence", (after,)
        ).fetchall():
            yield event_of(row)

    def events(self, frame_id: str) -> list[FeedbackEvent]:
        """Everything that was ever said about one frame, in the order it was acknowledged."""
        rows = self._connection.execute("SELECT * FROM feedback WHERE frame_id = ? ORDER BY log_sequence", (frame_id,))
        return [event_of(row) for row in rows]

    def undecided(self, *, frames: int, limit: int) -> tuple[list[tuple[RecordedFrame, RecordedDetection]], int]:
        """Detections put to operators that nobody has said anything about that still stands, newest frame first, best
        score first; questions below a threshold among them.

        A word about the whole frame (healthy, complete) decides all of its detections.

        Args:
            frames: how many of the newest frames are looked through; bounds the cost on a long log.
            limit: most detections given back.

        Returns:
            The detections with their frames, and how many there are without the limit.
        """
        asked = "detections.asked_because <> '' AND" if self._schema > 1 else ""
        rows = self._connection.execute(_UNDECIDED.format(asked=asked), {"frames": frames}).fetchall()
        return self._detections(rows[:limit]), len(rows)

    def answered_by_others(
        self, operator: str, *, frames: int, limit: int, by: Sequence[str] = ()
    ) -> list[tuple[RecordedFrame, RecordedDetection]]:
        """Detections that somebody else has judged and this operator has not, newest frame first: hidden repeats.

        Args:
            operator: who is to be asked.
            frames: how many of the newest frames are looked through.
            limit: most detections given back.
            by: only what one of these has judged; empty: anybody.
        """
        wanted = {"operator": operator, "frames": frames, "limit": limit, "by": json.dumps(list(by)), "anybody": not by}
        return self._detections(self._connection.execute(_ANSWERED_BY_OTHERS, wanted).fetchall())

    def _detections(self, rows: Sequence[sqlite3.Row]) -> list[tuple[RecordedFrame, RecordedDetection]]:
        found: list[tuple[RecordedFrame, RecordedDetection]] = []
        for row in rows:
            frame = self._connection.execute("SELECT * FROM frames WHERE frame_id = ?", (row["frame_id"],)).fetchone()
            detection = self._connection.execute(
                "SELECT * FROM detections WHERE detection_id = ?", (row["detection_id"],)
            ).fetchone()
            if frame is not None and detection is not None:  # else deleted since: nobody had judged it
                found.append((RecordedFrame(**dict(frame)), detection_of(detection)))
        return found

    def image(self, frame: RecordedFrame) -> bytes:
        """As `read_picture`."""
        return read_picture(self.root, frame)

    def _record(self, row: sqlite3.Row) -> MentoringRecord:
        detections = self._connection.execute(
            "SELECT * FROM detections WHERE frame_id = ? ORDER BY number", (row["frame_id"],)
        )
        events = self._connection.execute("SELECT * FROM feedback WHERE frame_id = ?", (row["frame_id"],))
        return MentoringRecord(
            frame=RecordedFrame(**dict(row)),
            detections=tuple(detection_of(found) for found in detections),
            judgements=fold(event_of(event) for event in events),
        )


def detection_of(row: Mapping[str, Any] | sqlite3.Row) -> RecordedDetection:
    """A row of `detections` as a value; of schema 1 as well."""
    found = RecordedDetection(
        detection_id=row["detection_id"],
        class_index=row["class_index"],
        class_name=row["class_name"],
        score=row["score"],
        box=(row["x1"], row["y1"], row["x2"], row["y2"]),
        areas=unpack_areas(row["areas"]),
    )
    if "raised" not in row.keys():  # noqa: SIM118 - of a sqlite3.Row `in` asks the values
        return found
    return dataclasses.replace(
        found,
        raised=bool(row["raised"]),
        asked_because=row["asked_because"],
        asked_probability=row["asked_probability"],
    )


def event_of(row: Mapping[str, Any] | sqlite3.Row) -> FeedbackEvent:
    """A row of `feedback` as a value.

    Raises:
        KeyError: its gesture is none that this version knows.
    """
    return FeedbackEvent(
        log_sequence=row["log_sequence"],
        key=row["key"],
        frame_id=row["frame_id"],
        detection_id=row["detection_id"],
        gesture=Gesture[row["gesture"]],
        class_name=row["class_name"],
        box=None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"]),
        missed_index=row["missed_index"],
        revision=row["revision"],
        operator=row["operator"],
        seconds=row["seconds"],
        client_unix_ns=row["client_unix_ns"],
        received_unix_ns=row["received_unix_ns"],
    )
