"""Logs that older versions wrote, kept as they were written: read the same for ever, and not changed by being read."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge.mentoring.database import LogDatabase
from lineside.log.export import export_log
from lineside.log.place import FolderPlace
from lineside.log.pseudonyms import plain
from lineside.log.shards import build_log
from lineside.log.sync import sync
from lineside.log.views import ask
from lineside.log_snapshot import read_snapshot
from lineside.mentoring_log import SCHEMA_VERSION, MentoringLogReader
from lineside.records import Gesture, Outcome

KEPT = Path(__file__).resolve().parents[2] / "data"
SCHEMAS = sorted(int(path.name.rpartition("_")[2]) for path in KEPT.glob("log_schema_*"))


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(params=SCHEMAS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the log that the version of this schema wrote."""
    return Path(shutil.copytree(KEPT / f"log_schema_{request.param}", tmp_path / "log"))


def test_every_schema_before_the_present_one_is_kept() -> None:
    assert set(range(1, SCHEMA_VERSION)) <= set(SCHEMAS), "keep a log of the schema that was, before it is changed"


def check(root: Path) -> None:
    """What was said, frame by frame."""
    with MentoringLogReader(root) as log:
        assert log.count() == (4, 10)
        records = list(log.records())
        said = [
            [(item.gesture, item.outcome, item.class_name, item.operators) for item in record.judgements]
            for record in records
        ]
        for record in records:
            assert hashlib.sha256(log.image(record.frame)).hexdigest() == record.frame.image_sha256
    ada, sure, disputed = ("ada",), Outcome.SAID, Outcome.DISPUTED
    assert said == [
        [
            (Gesture.CONFIRM, sure, None, ada),
            (Gesture.REJECT, sure, None, ada),
            (Gesture.FRAME_COMPLETE, sure, None, ada),
        ],
        [
            (Gesture.REJECT, disputed, None, ("ada", "bob")),
            (Gesture.UNSURE, sure, None, ada),
            (Gesture.MISSED, sure, "dent", ada),
        ],
        [(Gesture.FRAME_HEALTHY, sure, None, ("bob",))],
        [],
    ]
    assert [item.areas.tolist() for item in records[0].detections] == [[0, 7], [1, 8]]
    assert [item.frame.selected_because for item in records] == ["any_detection"] * 4


def test_an_older_log_is_read_as_it_was_meant_and_stays_as_it_is(old: Path) -> None:
    before = content(old)
    check(old)
    snapshot = read_snapshot(old)
    assert (len(snapshot.frames), len(snapshot.events), snapshot.unjudged, snapshot.missing) == (3, 10, 1, 0)
    # Every answer still has the digest that the older version stored.
    assert snapshot.broken == ()
    assert content(old) == before


def test_an_older_log_goes_wherever_a_new_one_goes(old: Path, tmp_path: Path) -> None:
    before = content(old)
    done = export_log(old, tmp_path / "out", "coco", rename=plain)
    assert (done.whole, done.partial, done.left_out) == (2, 1, ())
    for engine in ("sqlite", "duckdb"):
        assert ask([old], "SELECT count(*) FROM answers WHERE standing", engine=engine)[1] == [(8,)]
    sync(old, FolderPlace(tmp_path / "place"), "line-1", rename=plain, pseudonyms=False, all_pictures=True)
    check(build_log(tmp_path / "place", "line-1", tmp_path / "back"))
    assert content(old) == before


def test_a_station_goes_on_with_an_older_log_and_what_was_said_stays(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old / "log.sqlite")) as log:
        before = log.execute("SELECT * FROM feedback ORDER BY log_sequence").fetchall()
    LogDatabase(old).close()
    with contextlib.closing(sqlite3.connect(old / "log.sqlite")) as log:
        assert log.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        after = log.execute("SELECT * FROM feedback ORDER BY log_sequence").fetchall()
    assert [row[: len(before[0])] for row in after] == before
    check(old)
