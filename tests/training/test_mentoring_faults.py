"""Bad input: whatever happened to a station's log on its way, it is refused with what to do, or all of it is accounted
for. Every log here was written by the station's own `MentoringLog` and damaged afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.lessons import SIDE, tiny
from support.mentored_line import Line, rewrite, teach_exactly
from support.mentoring import settings as log_settings

from edge.mentoring.log import MentoringLog
from lineside.log_snapshot import read_snapshot
from lineside.mentoring_log import DATABASE_NAME, SCHEMA_VERSION, image_path, pack_areas
from lineside.pixels import encode_lossless
from lineside.reasons import ContractError
from lineside.records import Gesture
from training.data.account import Account, Count, table
from training.data.mentoring import MentoringData, Wanted, read_log, read_logs
from training.losses.classification import ABSENT, UNKNOWN
from training.rescue import rescue

FRAMES = 6
ANSWERS = 14
"""As `written` makes them."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six judged frames and two that nobody judged; the station is closed."""
    folder = tmp_path_factory.mktemp("station")
    with MentoringLog(folder / "log", log_settings(), lambda event, sequence: None) as log:
        line = Line(log, tiny())
        teach_exactly(line, folder)
        for seed in range(FRAMES):
            frame_id = line.keep([[3, 4], [120]], seed=seed)
            line.say(frame_id, 0, Gesture.REJECT)
            line.say(frame_id, 1, Gesture.CONFIRM, operator="bob")
        line.say(frame_id, 0, Gesture.UNSURE, operator="bob")
        line.say(frame_id, 1, Gesture.REJECT, revision=2, operator="bob")
        line.keep([[7]], seed=90)
        line.keep([[7]], seed=91)
    return folder / "log"


@pytest.fixture
def log(written: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(written, tmp_path / "log"))


def reconciles(said: MentoringData, *, answers: int = ANSWERS) -> Account:
    """Totals that were counted apart: rows of the file against fates."""
    account = said.account
    assert account.answers.read == answers
    for count in (account.frames, account.judgements, account.answers):
        assert count.used + sum(count.skipped.values()) + sum(count.disputed.values()) == count.read
    assert account.frames.used == len(said.frames) == len(said.stations)
    return account


def test_a_sound_log_is_accounted_for_to_the_last_answer(written: Path) -> None:
    account = reconciles(read_log(written, tiny()))
    assert account.frames == Count(read=8, used=6, skipped={"nobody has said anything about it": 2})
    assert account.judgements == Count(read=12, used=12)
    assert account.answers == Count(
        read=14,
        used=12,
        skipped={"superseded or taken back by the same operator": 1, "the operator was unsure": 1},
    )
    assert account.stations == {
        "line-1": {"frames": 6, "answers": 12, "first_log_sequence": 1, "last_log_sequence": 14}
    }
    assert account.operators["bob"] == {"used": 6, "skipped": 2, "disputed": 0}
    assert account.notes == ()
    assert account.to_json()["frames"]["used"] == 6


def test_an_account_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="14 records were read and 13"):
        Count(read=14, used=12, skipped={"for no reason": 1})


def test_the_account_is_a_short_table_that_names_every_reason_once(log: Path) -> None:
    frame = next(iter(read_snapshot(log).frames.values()))
    image_path(log, frame.image_sha256, frame.image_suffix).unlink()
    lines = [line.split() for line in table(read_log(log, tiny()).account).splitlines()]
    assert [line for line in lines if line[0] in ("used", "read")] == [
        ["used", "5", "10", "10"],
        ["read", "8", "12", "14"],
    ]
    assert [line[-3:] for line in lines if "cannot" in line] == [["1", "2", "2"]]


@pytest.mark.parametrize("share", [0.0, 0.004, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
def test_a_log_that_was_cut_off_is_refused_with_what_to_do_or_fully_accounted_for(log: Path, share: float) -> None:
    whole = (log / DATABASE_NAME).read_bytes()
    (log / DATABASE_NAME).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ContractError, match=r"take a backup|cannot be read|empty or no mentoring log"):
        read_log(log, tiny())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(place=0.0367099142098124, flip=8)  # a column's name
@example(place=0.0234375, flip=128)  # a name that is no text any more
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_anywhere_never_ends_in_a_traceback(written: Path, log: Path, place: float, flip: int) -> None:
    data = bytearray((written / DATABASE_NAME).read_bytes())
    data[int(place * len(data))] ^= flip
    (log / DATABASE_NAME).write_bytes(data)
    with contextlib.suppress(ContractError):
        said = read_log(log, tiny())
        reconciles(said, answers=said.account.answers.read)
        # An answer is either the one that was given or is known to be another.
        assert said.account.answers.used <= 12


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "RECORD_CORRUPT: a frame's picture cannot be read"),
        (lambda path: path.write_bytes(b""), "RECORD_CORRUPT: a frame's picture is not the one that was kept"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            "RECORD_CORRUPT: a frame's picture is not the one that was kept",
        ),
    ],
)
def test_a_frame_whose_picture_is_gone_or_another_is_skipped(log: Path, damage: object, reason: str) -> None:
    assert callable(damage)
    frame = next(frame for frame in read_snapshot(log).frames.values() if frame.part_id == "part-0")
    damage(image_path(log, frame.image_sha256, frame.image_suffix))
    said = read_log(log, tiny())
    account = reconciles(said)
    assert account.frames.skipped[reason] == 1
    assert account.judgements.skipped[reason] == 2
    assert len(account.examples[reason]) >= 1
    assert len(said.frames) == FRAMES - 1


def test_a_picture_of_another_size_than_the_log_says_is_skipped(log: Path) -> None:
    data = encode_lossless(np.zeros((SIDE, SIDE // 2), np.uint8))
    digest = hashlib.sha256(data).hexdigest()
    path = log / "images" / digest[:2] / f"{digest}.pgm"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    rewrite(log, "UPDATE frames SET image_sha256 = ? WHERE part_id = 'part-0'", digest)
    account = reconciles(read_log(log, tiny()))
    assert account.frames.skipped["the picture is of another size than the log says"] == 1


ONE_DETECTION = "WHERE detection_id = (SELECT MIN(detection_id) FROM detections WHERE number = 0)"
ONE_ANSWER = "WHERE log_sequence = 1"
ONE_FRAME = "WHERE part_id = 'part-0'"


@pytest.mark.parametrize(
    ("statement", "values", "reason", "judgements"),
    [
        (f"UPDATE detections SET score = 1.5 {ONE_DETECTION}", (), "its score is no probability", 1),
        (f"UPDATE detections SET score = 9e999 {ONE_DETECTION}", (), "its score is no probability", 1),
        (f"UPDATE detections SET x2 = x1 {ONE_DETECTION}", (), "its box has no area", 1),
        (f"UPDATE detections SET y1 = -9e999 {ONE_DETECTION}", (), "its box is not finite", 1),
        (f"UPDATE detections SET x1 = 900, x2 = 910 {ONE_DETECTION}", (), "its box lies outside the frame", 1),
        (f"UPDATE detections SET areas = X'010203' {ONE_DETECTION}", (), "its areas are no list of numbers", 1),
        (f"UPDATE detections SET areas = X'' {ONE_DETECTION}", (), "it has no areas", 1),
        (
            f"UPDATE detections SET areas = ? {ONE_DETECTION}",
            (pack_areas(np.array([5, 5], np.int32)),),
            "its areas are not ascending",
            1,
        ),
        (
            f"UPDATE detections SET areas = ? {ONE_DETECTION}",
            (pack_areas(np.array([192], np.int32)),),
            "its areas lie beyond the head",
            1,
        ),
        (f"UPDATE detections SET number = 7 {ONE_DETECTION}", (), "its number is not its own", 1),
        (f"DELETE FROM detections {ONE_DETECTION}", (), "it is not in the log", 1),
        (f"UPDATE feedback SET gesture = 'CONFIRM' {ONE_ANSWER}", (), "its content is not what its digest says", 0),
        (f"UPDATE feedback SET operator = 'eve' {ONE_ANSWER}", (), "its content is not what its digest says", 0),
        (f"UPDATE feedback SET gesture = 'SHRUG' {ONE_ANSWER}", (), "its gesture is not known to this version", 0),
        (f"UPDATE frames SET width = 0 {ONE_FRAME}", (), "the frame is damaged: its size is impossible", 2),
        (f"UPDATE frames SET image_sha256 = 'no' {ONE_FRAME}", (), "the frame is damaged: it names no picture", 2),
        (f"UPDATE frames SET image_suffix = '../../x' {ONE_FRAME}", (), "it names no picture", 2),
        (f"DELETE FROM frames {ONE_FRAME}", (), "the frame is not in the log", 2),
    ],
)
def test_one_bad_row_costs_what_hangs_on_it_and_nothing_else(
    written: Path, log: Path, statement: str, values: tuple[object, ...], reason: str, judgements: int
) -> None:
    rewrite(log, statement, *values)
    said = read_log(log, tiny())
    account = reconciles(said)
    told = {**account.judgements.skipped, **account.answers.skipped}
    (full,) = [text for text in told if reason in text]
    assert account.judgements.skipped.get(full, 0) == judgements
    assert account.answers.skipped[full] == max(judgements, 1)
    sound = read_log(written, tiny())
    untouched = set(said.frame_ids) & set(sound.frame_ids)
    assert len(untouched) >= FRAMES - 1
    by_id = dict(zip(sound.frame_ids, sound.frames, strict=True))
    changed = [
        frame_id
        for frame_id, item in zip(said.frame_ids, said.frames, strict=True)
        if not np.array_equal(item.states, by_id[frame_id].states)
    ]
    assert len(changed) <= 1


def test_nan_in_a_box_or_a_score_is_told_as_such(log: Path) -> None:
    # SQLite keeps a NaN as NULL, and the station's schema refuses it: only damage can bring one in.
    with contextlib.closing(sqlite3.connect(log / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        loose = "replace(replace(sql, 'score REAL NOT NULL', 'score REAL'), 'x1 REAL NOT NULL', 'x1 REAL')"
        connection.execute(f"UPDATE sqlite_master SET sql = {loose} WHERE name = 'detections'")
        connection.commit()
    rewrite(log, f"UPDATE detections SET score = ? {ONE_DETECTION}", float("nan"))
    rewrite(log, "UPDATE detections SET x1 = ? WHERE detection_id = (SELECT MAX(detection_id) FROM detections)", None)
    with contextlib.closing(sqlite3.connect(log / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        strict = "replace(replace(sql, 'score REAL', 'score REAL NOT NULL'), 'x1 REAL', 'x1 REAL NOT NULL')"
        connection.execute(f"UPDATE sqlite_master SET sql = {strict} WHERE name = 'detections'")
        connection.commit()
    account = reconciles(read_log(log, tiny()))
    assert account.judgements.skipped["the detection is damaged: its score or box is NaN"] >= 1


def test_an_answer_that_is_missing_between_others_is_noticed(log: Path) -> None:
    rewrite(log, "DELETE FROM feedback WHERE log_sequence IN (2, 14)")
    said = read_log(log, tiny())
    reconciles(said, answers=ANSWERS - 2)
    assert said.account.notes == (f"{log}: 2 answers that the station once acknowledged are missing in this file",)


def test_a_damaged_confirm_keeps_frame_complete_from_calling_its_place_healthy(tmp_path: Path) -> None:
    with MentoringLog(tmp_path / "log", log_settings(), lambda event, sequence: None) as log:
        line = Line(log, tiny())
        frame_id = line.keep([[3], [120]])
        line.say(frame_id, 0, Gesture.CONFIRM)
        line.say(frame_id, 1, Gesture.REJECT)
        line.say(frame_id, None, Gesture.FRAME_COMPLETE)
    whole = read_log(tmp_path / "log", tiny()).frames[0]
    assert (whole.states == ABSENT).sum() > len(whole.states)
    rewrite(tmp_path / "log", "UPDATE detections SET score = 7 WHERE number = 0")
    said = read_log(tmp_path / "log", tiny())
    assert said.account.judgements.used == 1
    assert (said.frames[0].states[~said.frames[0].spoken] == UNKNOWN).all()


def test_a_drawn_defect_of_an_unknown_class_is_not_called_healthy_by_frame_complete(tmp_path: Path) -> None:
    with MentoringLog(tmp_path / "log", log_settings(), lambda event, sequence: None) as log:
        line = Line(log, tiny())
        frame_id = line.keep([])
        line.say(frame_id, None, Gesture.MISSED, class_name="rust", box=(24.0, 24.0, 36.0, 36.0), missed_index=1)
        line.say(frame_id, None, Gesture.FRAME_COMPLETE)
    said = read_log(tmp_path / "log", tiny())
    assert said.account.judgements.skipped == {"class 'rust' is not one of ['bright', 'dark']": 1}
    (lesson,) = said.frames
    middle = np.flatnonzero((np.abs(line.head.boxes() - [24, 24, 36, 36]) <= 2).all(axis=1))
    assert len(middle)
    assert (lesson.states[middle] == UNKNOWN).all()
    assert (lesson.states == ABSENT).any()


@pytest.mark.parametrize(
    ("version", "advice"), [(SCHEMA_VERSION + 1, "use a newer Lineside"), (0, "name the folder of a station's log")]
)
def test_a_log_of_another_schema_is_refused_with_what_to_do(log: Path, version: int, advice: str) -> None:
    with contextlib.closing(sqlite3.connect(log / DATABASE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ContractError, match=advice):
        read_log(log, tiny())


def test_a_log_that_sqlite_may_not_open_is_not_called_damaged(log: Path) -> None:
    (log / f"{DATABASE_NAME}-wal").unlink(missing_ok=True)
    (log / f"{DATABASE_NAME}-wal").mkdir()
    with pytest.raises(ContractError, match="copy the folder, with its -wal file"):
        read_log(log, tiny())


def test_a_damaged_index_costs_nothing_after_a_rescue(written: Path, log: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(log / DATABASE_NAME)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'frames_by_part'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray((log / DATABASE_NAME).read_bytes())
    data[(page - 1) * size : (page - 1) * size + 8] = bytes(8)
    (log / DATABASE_NAME).write_bytes(data)
    with pytest.raises(ContractError, match="lineside train rescue"):
        read_log(log, tiny())
    assert rescue(log, tmp_path / "rescued") == {"models": 1, "frames": 8, "detections": 14, "feedback": 14}
    assert read_log(tmp_path / "rescued", tiny()).digest == read_log(written, tiny()).digest


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_what_is_left_of_a_cut_off_log_can_be_rescued_and_is_accounted_for(
    written: Path, log: Path, tmp_path: Path, share: float
) -> None:
    whole = (log / DATABASE_NAME).read_bytes()
    (log / DATABASE_NAME).write_bytes(whole[: int(len(whole) * share)])
    counts = rescue(log, tmp_path / "rescued")
    said = read_log(tmp_path / "rescued", tiny())
    reconciles(said, answers=counts["feedback"])
    sound = read_log(written, tiny())
    assert set(said.frame_ids) <= set(sound.frame_ids)


def test_a_rescue_overwrites_nothing(log: Path) -> None:
    with pytest.raises(ValueError, match="is there already"):
        rescue(log, log)


def test_a_log_that_is_being_written_is_read_as_of_one_moment(tmp_path: Path) -> None:
    with MentoringLog(tmp_path / "log", log_settings(), lambda event, sequence: None) as log:
        line = Line(log, tiny())
        line.say(line.keep([[3]], seed=0), 0, Gesture.REJECT)
        stop = threading.Event()

        def work() -> None:
            seed = 1
            while not stop.is_set() and seed < 400:
                line.say(line.keep([[3]], seed=seed), 0, Gesture.REJECT)
                seed += 1

        operator = threading.Thread(target=work)
        operator.start()
        try:
            for _ in range(12):
                seen = read_snapshot(tmp_path / "log")
                assert [event.log_sequence for event in seen.events] == list(range(1, len(seen.events) + 1))
                assert {event.frame_id for event in seen.events} == set(seen.frames)
                assert (seen.broken, seen.missing) == ((), 0)
            reconciles(said := read_logs([tmp_path / "log"], tiny(), Wanted()), answers=said.account.answers.read)
        finally:
            stop.set()
            operator.join()
