"""The log's rows: one SQLite connection, owned by the writer's thread.

WAL with synchronous=FULL: a commit that came back is on the disk. Nothing here knows about pictures, threads or time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.mentoring.faults import is_corrupt
from edge.mentoring.feedback import FeedbackDraft, check_target
from lineside.mentoring_log import DATABASE_NAME, SCHEMA, SCHEMA_VERSION, UPGRADES, pack_areas
from lineside.reasons import ContractError, Reason
from lineside.records import Gesture, RecordedDetection, RecordedFrame

BUSY_SECONDS = 2.0
"""How long a checkpoint waits for readers."""

_FRAME_COLUMNS = tuple(field.name for field in dataclasses.fields(RecordedFrame))
_INSERT_FRAME = f"INSERT INTO frames ({', '.join(_FRAME_COLUMNS)}) VALUES ({', '.join('?' for _ in _FRAME_COLUMNS)})"  # noqa: S608


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The log's answer to a feedback event that is durable."""

    log_sequence: int
    """Its place in the log, growing from 1."""
    duplicate: bool
    """This key had been accepted before; the place is the first one's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnjudgedFrame:
    """A frame that nobody said anything about, and its picture."""

    frame_id: str
    image_sha256: str
    image_suffix: str
    image_bytes: int


class LogDatabase:
    """The rows of a log, made if there are none.

    Opening settles what a dead process left: what its WAL holds is fsynced and brought into the database before
    anything is answered. A row that was written but not yet fsynced when the process died would otherwise be visible
    now, acknowledged again as a duplicate, and gone after the next power cut.

    Args:
        root: the log's folder; exists.

    Raises:
        OSError, sqlite3.Error: the database cannot be opened or written.
        ContractError: RECORD_CORRUPT, it is not a mentoring log, or one of a newer schema.
    """

    def __init__(self, root: Path) -> None:
        for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
            with contextlib.suppress(FileNotFoundError):
                _sync_file(root / name)
        self._connection = sqlite3.connect(root / DATABASE_NAME, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._settle_schema()
            self.checkpoint()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error) and is_corrupt(error):
                raise ContractError(
                    Reason.RECORD_CORRUPT,
                    f"{DATABASE_NAME} cannot be used: {error}; move the log's folder away and keep it",
                ) from error
            raise

    def close(self) -> None:
        """Closes the connection; idempotent."""
        self._connection.close()

    def checkpoint(self) -> bool:
        """Brings the WAL's rows into the database, fsyncs them and empties the WAL.

        Returns:
            False: a reader in the middle of a read kept a part of it from happening.

        Raises:
            sqlite3.Error: the disk is full or does not obey.
        """
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable at the end, or undone.

        Raises:
            sqlite3.Error: the commit failed.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, and then says that nothing is open.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def add_model(self, *, digest: str, name: str, version: str, manifest: str, first_seen_unix_ns: int) -> None:
        """Remembers a model; no change where it is known."""
        self._connection.execute(
            "INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, ?)",
            (digest, name, version, manifest, first_seen_unix_ns),
        )

    def add_frame(self, frame: RecordedFrame, detections: Sequence[RecordedDetection]) -> None:
        """Adds a frame and its detections, numbered in the order given."""
        self._connection.execute(_INSERT_FRAME, [getattr(frame, name) for name in _FRAME_COLUMNS])
        self._connection.executemany(
            "INSERT INTO detections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    item.detection_id,
                    frame.frame_id,
                    number,
                    item.class_index,
                    item.class_name,
                    item.score,
                    *item.box,
                    pack_areas(item.areas),
                    item.raised,
                    item.asked_because,
                    item.asked_probability,
                )
                for number, item in enumerate(detections)
            ],
        )

    def has_frame(self, frame_id: str) -> bool:
        """Whether there is a frame of this id."""
        return self._one("SELECT 1 FROM frames WHERE frame_id = ?", frame_id) is not None

    def addressed(self, draft: FeedbackDraft) -> FeedbackDraft:
        """The same, about a frame where it named a part: its newest, and the operator's next missed defect on it.

        A key that is known keeps the frame, the number and the client's time of the first time, so that saying it again
        is no other event although the part may have been seen anew since, and another process may say it.

        Raises:
            ContractError: DETECTION_UNKNOWN, no frame of this part is in the log.
        """
        if not draft.part_id:
            return draft
        known = self._one(
            "SELECT frame_id, missed_index, client_unix_ns FROM feedback JOIN frames USING (frame_id)"
            " WHERE key = ? AND part_id = ?",
            draft.key,
            draft.part_id,
        )
        if known is not None:
            return dataclasses.replace(
                draft, part_id="", frame_id=str(known[0]), missed_index=int(known[1]), client_unix_ns=int(known[2])
            )
        frame = self._one(
            "SELECT frame_id FROM frames WHERE part_id = ? ORDER BY recorded_unix_ns DESC LIMIT 1", draft.part_id
        )
        if frame is None:
            raise ContractError(
                Reason.DETECTION_UNKNOWN,
                f"no frame of part {draft.part_id[:80]!r} is in the log: of parts that passed only an audit's share is"
                " kept (mentoring.policies), and what nobody judged may be deleted by now",
            )
        index = draft.missed_index
        if draft.gesture is Gesture.MISSED and index == 0:
            row = self._one(
                "SELECT MAX(missed_index) FROM feedback WHERE frame_id = ? AND operator = ?", frame[0], draft.operator
            )
            index = 1 + int((row[0] if row else 0) or 0)
        return dataclasses.replace(draft, part_id="", frame_id=str(frame[0]), missed_index=index)

    def add_feedback(self, draft: FeedbackDraft, received_unix_ns: int) -> Accepted:
        """Adds one event, or finds that it is there.

        Raises:
            ContractError: KEY_REUSED, DETECTION_UNKNOWN, FEEDBACK_MALFORMED or FEEDBACK_CONFLICT; nothing was changed.
        """
        known = self._one("SELECT log_sequence, payload_sha256 FROM feedback WHERE key = ?", draft.key)
        if known is not None:
            if known[1] != draft.payload_sha256:
                raise ContractError(
                    Reason.KEY_REUSED, f"key {draft.key} belongs to an event with other content; make a new key"
                )
            return Accepted(log_sequence=int(known[0]), duplicate=True)
        self._check_target(draft)
        rival = self._one(
            "SELECT key FROM feedback WHERE frame_id = ? AND detection_id IS ? AND missed_index = ? AND operator = ?"
            " AND revision = ?",
            draft.frame_id,
            draft.detection_id,
            draft.missed_index,
            draft.operator,
            draft.revision,
        )
        if rival is not None:
            raise ContractError(
                Reason.FEEDBACK_CONFLICT,
                f"{draft.operator} has said something else about this as revision {draft.revision} (key {rival[0]});"
                " read what is there and send a higher revision",
            )
        inserted = self._connection.execute(
            "INSERT INTO feedback (key, payload_sha256, frame_id, detection_id, gesture, class_name, x1, y1, x2, y2,"
            " missed_index, revision, operator, seconds, client_unix_ns, received_unix_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                draft.key,
                draft.payload_sha256,
                draft.frame_id,
                draft.detection_id,
                draft.gesture.name,
                draft.class_name,
                *(draft.box or (None, None, None, None)),
                draft.missed_index,
                draft.revision,
                draft.operator,
                draft.seconds,
                draft.client_unix_ns,
                received_unix_ns,
            ),
        )
        assert inserted.lastrowid is not None
        return Accepted(log_sequence=inserted.lastrowid, duplicate=False)

    def has_image(self, sha256: str, suffix: str) -> bool:
        """Whether a frame has this picture."""
        found = self._one("SELECT 1 FROM frames WHERE image_sha256 = ? AND image_suffix = ?", sha256, suffix)
        return found is not None

    def image_bytes(self) -> int:
        """Bytes of all pictures, each counted once however many frames have it."""
        row = self._one(
            "SELECT SUM(image_bytes) FROM (SELECT DISTINCT image_sha256, image_suffix, image_bytes FROM frames)"
        )
        return int(row[0] or 0) if row else 0

    def latest_unix_ns(self) -> int:
        """When the last frame was recorded; 0: never."""
        row = self._one("SELECT MAX(recorded_unix_ns) FROM frames")
        return int(row[0] or 0) if row else 0

    def counts(self) -> tuple[int, int]:
        """Number of frames and of feedback events."""
        row = self._one("SELECT (SELECT COUNT(*) FROM frames), (SELECT COUNT(*) FROM feedback)")
        assert row is not None
        return int(row[0]), int(row[1])

    def oldest_unjudged(self, limit: int) -> list[UnjudgedFrame]:
        """The frames longest in the log that nobody said anything about."""
        rows = self._connection.execute(
            "SELECT frame_id, image_sha256, image_suffix, image_bytes FROM frames"
            " WHERE NOT EXISTS (SELECT 1 FROM feedback WHERE feedback.frame_id = frames.frame_id)"
            " ORDER BY recorded_unix_ns, frame_id LIMIT ?",
            (limit,),
        )
        return [
            UnjudgedFrame(frame_id=row[0], image_sha256=row[1], image_suffix=row[2], image_bytes=row[3])
            for row in rows.fetchall()
        ]

    def remove_frames(self, frame_ids: Sequence[str]) -> None:
        """Removes frames and their detections.

        Raises:
            sqlite3.IntegrityError: somebody has judged one of them; such frames are not removed.
        """
        for frame_id in frame_ids:
            self._connection.execute("DELETE FROM detections WHERE frame_id = ?", (frame_id,))
            self._connection.execute("DELETE FROM frames WHERE frame_id = ?", (frame_id,))

    def _check_target(self, draft: FeedbackDraft) -> None:
        frame = self._one("SELECT width, height FROM frames WHERE frame_id = ?", draft.frame_id)
        if frame is None:
            raise ContractError(
                Reason.DETECTION_UNKNOWN,
                f"frame {draft.frame_id} is not in the log: it was not chosen for mentoring, or is deleted by now",
            )
        predicted: str | None = None
        if draft.detection_id is not None:
            detection = self._one("SELECT class_name FROM detections WHERE detection_id = ?", draft.detection_id)
            if detection is None:
                raise ContractError(Reason.DETECTION_UNKNOWN, f"the frame has no detection {draft.detection_id}")
            predicted = str(detection[0])
        check_target(draft, width=int(frame[0]), height=int(frame[1]), predicted=predicted)

    def _settle_schema(self) -> None:
        row = self._one("PRAGMA user_version")
        version = int(row[0]) if row else 0
        if version > SCHEMA_VERSION:
            raise ContractError(
                Reason.RECORD_CORRUPT,
                f"the log has schema {version}, this version writes {SCHEMA_VERSION}; use a newer Lineside",
            )
        if version == SCHEMA_VERSION:
            return
        if version > 0:
            with self.transaction():
                for older in range(version, SCHEMA_VERSION):
                    for statement in UPGRADES[older]:
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            return
        if self._one("SELECT 1 FROM sqlite_master") is not None:
            raise ContractError(
                Reason.RECORD_CORRUPT, f"{DATABASE_NAME} is a database, and not a mentoring log; name another folder"
            )
        with self.transaction():
            for statement in SCHEMA.split(";\n"):
                if statement.strip():
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else tuple(row)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
