"""A disk that is full or fails: nothing acknowledged is lost, nothing judged is deleted, and the log goes on after."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mentoring import CHOSEN, feedback, frame, inspection, pictures_in, settings

from edge.frame import Frame
from edge.mentoring import images
from edge.mentoring.database import LogDatabase
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.writer import StorageState
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent

SECONDS = 30
SIDE = 256
PICTURE = SIDE * SIDE + len(b"P5\n256 256\n255\n")
MIB = 1 << 20


def ignore(event: FeedbackEvent, sequence: int) -> None:
    """Nobody listens."""


def offer(log: MentoringLog, seed: int) -> tuple[Frame, bool]:
    shown = frame(seed=seed, side=SIDE)
    taken = log.keep(shown, inspection(shown), CHOSEN)
    log.flush(SECONDS)
    return shown, taken


def judge(log: MentoringLog, shown: Frame, number: int = 0) -> int:
    return log.submit(draft_of(feedback(shown.frame_id, number))).result(SECONDS).log_sequence


def wait_until_well(log: MentoringLog) -> None:
    while log.health().state is not StorageState.OK:  # the test's time limit ends this
        log.flush(SECONDS)


def check_whole(root: Path, judged: list[str]) -> None:
    """The database is sound, judged frames are all there, and every row's picture is what the row says."""
    with sqlite3.connect(root / "log.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with MentoringLog(root, settings(), ignore) as log, log.reader() as reader:
        assert [record.frame.frame_id for record in reader.records(judged_only=True)] == judged
        for record in reader.records():
            reader.image(record.frame)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "small", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a small tmpfs here: needs root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_over_the_budget_the_oldest_unjudged_frames_go_and_judged_ones_stay(tmp_path: Path) -> None:
    budget = 20 * PICTURE / (1 << 30)
    judged = []
    with MentoringLog(tmp_path, settings(budget_gb=budget), ignore) as log:
        for seed in range(60):
            shown, taken = offer(log, seed)
            assert taken
            if seed % 10 == 0:
                judge(log, shown)
                judged.append(shown.frame_id)
        health = log.health()
        assert health.image_bytes <= health.budget_bytes
        assert health.frames_lost == 0
        with log.reader() as reader:
            left = [record.frame.camera_sequence for record in reader.records()]
    # What is left without a judgement is the newest, without a hole.
    unjudged = [seed for seed in left if seed % 10]
    assert unjudged == [seed for seed in range(60) if seed % 10 and seed >= unjudged[0]]
    assert len(pictures_in(tmp_path)) == len(left)
    check_whole(tmp_path, judged)


def test_when_judged_frames_fill_the_budget_frames_are_refused_and_feedback_is_not(tmp_path: Path) -> None:
    budget = 10 * PICTURE / (1 << 30)
    judged = []
    with MentoringLog(tmp_path, settings(budget_gb=budget), ignore) as log:
        for seed in range(30):
            shown, taken = offer(log, seed)
            if taken:
                judge(log, shown)
                judged.append(shown.frame_id)
        health = log.health()
        assert health.state is StorageState.FULL
        assert "budget_gb" in health.trouble
        assert len(judged) == 11  # ten fill the budget, the eleventh is taken before anybody knows
        first = frame(frame_id=judged[0])
        assert judge(log, first, 1) == len(judged) + 1
    check_whole(tmp_path, judged)
    # With a larger budget the same log goes on.
    with MentoringLog(tmp_path, settings(), ignore) as log:
        assert offer(log, 99)[1]


def test_a_picture_that_two_frames_have_stays_as_long_as_one_of_them(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(budget_gb=5 * PICTURE / (1 << 30)), ignore) as log:
        old, _ = offer(log, 0)
        same, _ = offer(log, 0)
        judge(log, same)
        for seed in range(1, 20):
            offer(log, seed)
        with log.reader() as reader:
            assert reader.record(old.frame_id) is None
            record = reader.record(same.frame_id)
            assert record is not None
            reader.image(record.frame)
        assert log.health().image_bytes == sum(len(data) for data in pictures_in(tmp_path).values())


def test_a_reader_leaves_out_frames_that_are_deleted_while_it_reads(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(budget_gb=10 * PICTURE / (1 << 30)), ignore) as log, log.reader() as reader:
        for seed in range(8):
            offer(log, seed)
        records = reader.records()
        assert next(records).frame.camera_sequence == 0
        for seed in range(8, 16):
            offer(log, seed)
        left = list(records)
        assert 0 < len(left) < 7
        for record in left:
            assert len(record.detections) == 2
            reader.image(record.frame)


def test_a_disk_that_fills_up_is_cleaned_and_loses_nothing_judged(small_disk: Path) -> None:
    root = small_disk / "log"
    judged = []
    with MentoringLog(root, settings(), ignore) as log:
        for seed in range(400):  # 26 MB of pictures through 12 MiB of disk
            shown, taken = offer(log, seed)
            if taken and seed % 8 == 0:
                judge(log, shown)
                judged.append(shown.frame_id)
        health = log.health()
        assert health.state is StorageState.OK, health.trouble
        assert health.frames_lost == 0
    assert len(judged) == 50
    check_whole(root, judged)


def test_a_disk_full_of_judged_frames_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    root = small_disk / "log"
    judged = []
    refused = 0
    with MentoringLog(root, settings(), ignore) as log:
        for seed in range(250):
            shown, taken = offer(log, seed)
            if not taken:
                continue
            try:
                judge(log, shown)
                judged.append(shown.frame_id)
            except ContractError as error:
                # Taken, and lost when the disk was full: whoever judges it is told so.
                refused += 1
                assert error.reason in (Reason.DETECTION_UNKNOWN, Reason.STORAGE_FULL)  # noqa: PT017
        assert log.health().state is StorageState.FULL
        assert len(judged) > 100
        assert refused <= 3
        # What people say still fits, and is still acknowledged only when it is there.
        events = [judge(log, frame(frame_id=frame_id), 1) for frame_id in judged]
        assert events == list(range(len(judged) + 1, 2 * len(judged) + 1))
        subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
        wait_until_well(log)
        shown, taken = offer(log, 999)
        assert taken
        judge(log, shown)
        judged.append(shown.frame_id)
    check_whole(root, judged)


def test_somebody_elses_files_fill_the_disk_and_every_acknowledged_event_is_there(small_disk: Path) -> None:
    root = small_disk / "log"
    acknowledged = set()
    with MentoringLog(root, settings(), ignore) as log:
        shown = [offer(log, seed)[0] for seed in range(4)]
        for one in shown:
            acknowledged.add(judge(log, one))
        with open(small_disk / "other", "wb") as other:
            os.posix_fallocate(other.fileno(), 0, os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize)
        refused = 0
        for revision in range(2, 3000):
            future = log.submit(draft_of(feedback(shown[0].frame_id, 0, revision=revision)))
            error = future.exception(SECONDS)
            if error is None:
                acknowledged.add(future.result().log_sequence)
            else:
                assert isinstance(error, ContractError)
                assert error.reason is Reason.STORAGE_FULL
                refused += 1
                if refused == 5:
                    break
        assert refused == 5
        (small_disk / "other").unlink()
        wait_until_well(log)
        acknowledged.add(judge(log, shown[1], 1))
        with log.reader() as reader:
            assert {event.log_sequence for event in reader.feedback()} == acknowledged
    check_whole(root, [one.frame_id for one in shown])


def test_a_full_disk_does_not_keep_a_station_from_starting(small_disk: Path) -> None:
    root = small_disk / "log"
    with MentoringLog(root, settings(), ignore) as log:
        judged, _ = offer(log, 0)
        judge(log, judged)
        for seed in range(1, 20):
            offer(log, seed)
    with open(small_disk / "other", "wb") as other:
        os.posix_fallocate(other.fileno(), 0, os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize)
    with MentoringLog(root, settings(keep_free_mb=1), ignore) as log:
        # The oldest unjudged frames made room for the free space asked for.
        assert log.health().state is StorageState.OK
        assert judge(log, judged, 1) == 2
        with log.reader() as reader:
            assert reader.count()[0] < 20
    check_whole(root, [judged.frame_id])


def test_a_picture_the_disk_refuses_makes_a_fault_and_the_log_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MentoringLog(tmp_path, settings(retry_seconds=3600), ignore) as log:
        first, _ = offer(log, 1)

        def broken(path: Path, data: bytes) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(images, "_write", broken)
        lost, taken = offer(log, 2)
        assert taken
        health = log.health()
        assert (health.state, health.frames_lost) == (StorageState.FAULT, 1)
        assert not offer(log, 3)[1]
        with pytest.raises(ContractError) as caught:
            judge(log, first)
        assert caught.value.reason is Reason.STORAGE_FAULT
    monkeypatch.undo()
    with MentoringLog(tmp_path, settings(), ignore) as log:
        assert judge(log, first) == 1
        with pytest.raises(ContractError) as caught:
            judge(log, lost)
        assert caught.value.reason is Reason.DETECTION_UNKNOWN
    check_whole(tmp_path, [first.frame_id])


def test_a_commit_that_fails_is_never_acknowledged_and_the_same_key_succeeds_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MentoringLog(tmp_path, settings(), ignore) as log:
        shown, _ = offer(log, 1)
        failures = iter([True] * 3)
        honest = LogDatabase.transaction

        def sometimes(self: LogDatabase) -> object:
            if next(failures, False):
                raise sqlite3.OperationalError("disk I/O error")
            return honest(self)

        monkeypatch.setattr(LogDatabase, "transaction", sometimes)
        message = feedback(shown.frame_id, 0)
        answers = []
        while not answers or answers[-1] is not None:
            error = log.submit(draft_of(message)).exception(SECONDS)
            assert error is None or (isinstance(error, ContractError) and error.reason is Reason.STORAGE_FAULT)
            answers.append(error)
        assert len(answers) > 3
        with log.reader() as reader:
            assert [event.key for event in reader.feedback()] == [message.key]
    check_whole(tmp_path, [shown.frame_id])


def test_an_entry_that_cannot_be_written_does_not_hurt_its_neighbours(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), ignore) as log:
        good = [frame(seed=seed) for seed in range(4)]
        poison = frame(seed=9)
        decision = inspection(poison)
        object.__setattr__(decision, "camera_sequence", 1 << 70)  # no integer of SQLite
        for one in good[:2]:
            log.keep(one, inspection(one), CHOSEN)
        log.keep(poison, decision, CHOSEN)
        for one in good[2:]:
            log.keep(one, inspection(one), CHOSEN)
        answers = [log.submit(draft_of(feedback(one.frame_id, 0))) for one in good]
        assert [answer.result(SECONDS).log_sequence for answer in answers] == [1, 2, 3, 4]
        health = log.health()
        assert (health.state, health.frames_kept, health.frames_lost) == (StorageState.OK, 4, 1)
    check_whole(tmp_path, [one.frame_id for one in good])
