"""The reader: what rows become, and what it says of logs that are not what they claim."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lineside.mentoring_log import SCHEMA, SCHEMA_VERSION, MentoringLogReader, image_path, pack_areas, unpack_areas
from lineside.reasons import ContractError, Reason
from lineside.records import Gesture

PICTURE = b"P5\n1 1\n255\n\x07"
SHA = hashlib.sha256(PICTURE).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "log.sqlite")
    connection.executescript(SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    for number in (1, 2):
        connection.execute(
            "INSERT INTO frames VALUES (?, 'boot', 'station', 'top', 'part', ?, 1, 1, 10, 11, ?, 'pgm', ?, '',"
            " 'REJECT', '', 'any_detection', 0.5, ?, '', 1)",
            (f"frame{number}", number, SHA, len(PICTURE), 100 - number),
        )
        connection.execute(
            "INSERT INTO detections VALUES (?, ?, 0, 1, 'dent', 0.75, 1, 2, 3, 4, ?, 1, 'frame', 1)",
            (f"frame{number}/0", f"frame{number}", pack_areas(np.array([3, 70000], np.int32))),
        )
    connection.execute(
        "INSERT INTO feedback (key, payload_sha256, frame_id, detection_id, gesture, missed_index, revision, operator,"
        " seconds, client_unix_ns, received_unix_ns)"
        " VALUES ('k', '', 'frame1', 'frame1/0', 'REJECT', 0, 1, 'ada', 1.5, 5, 6)"
    )
    connection.commit()
    connection.close()
    path = image_path(tmp_path, SHA, "pgm")
    path.parent.mkdir(parents=True)
    path.write_bytes(PICTURE)
    return tmp_path


def test_rows_become_records_in_the_order_they_were_kept(root: Path) -> None:
    with MentoringLogReader(root) as log:
        first, second = log.records()
        assert [first.frame.frame_id, second.frame.frame_id] == ["frame2", "frame1"]
        assert log.count() == (2, 1)
        assert (first.frame.selected_because, first.frame.selection_probability) == ("any_detection", 0.5)
        (found,) = second.detections
        assert (found.class_name, found.score, found.box, found.areas.tolist()) == (
            "dent",
            0.75,
            (1, 2, 3, 4),
            [3, 70000],
        )
        (judgement,) = second.judgements
        assert (judgement.gesture, judgement.detection_id, judgement.events) == (Gesture.REJECT, "frame1/0", (1,))
        assert first.judgements == ()
        assert [item.frame.frame_id for item in log.records(judged_only=True)] == ["frame1"]
        assert [item.key for item in log.feedback()] == ["k"]
        assert list(log.feedback(after=1)) == []
        assert log.record("nobody") is None
        assert log.image(first.frame) == PICTURE


def test_a_changed_or_missing_picture_is_data_loss_not_a_wrong_picture(root: Path) -> None:
    with MentoringLogReader(root) as log:
        frame = next(log.records()).frame
        image_path(root, SHA, "pgm").write_bytes(PICTURE[:-1] + b"\x08")
        with pytest.raises(ContractError, match="SHA-256") as caught:
            log.image(frame)
        assert caught.value.reason is Reason.RECORD_CORRUPT
        image_path(root, SHA, "pgm").unlink()
        with pytest.raises(ContractError, match="cannot be read"):
            log.image(frame)


def test_a_folder_without_a_log_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"log\.sqlite"):
        MentoringLogReader(tmp_path)


def test_a_newer_schema_and_a_file_that_is_no_database_are_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "log.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ContractError, match="schema 99"):
        MentoringLogReader(tmp_path)
    (tmp_path / "log.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 50)
    with pytest.raises(ContractError, match="cannot be read"):
        MentoringLogReader(tmp_path)


def test_areas_survive_the_blob() -> None:
    areas = np.array([0, 1, 2**31 - 1], np.int32)
    assert unpack_areas(pack_areas(areas)).tolist() == areas.tolist()
