"""The log as the station uses it: what is acknowledged is on the disk, and the rules of keys and revisions."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.mentoring import CHOSEN, feedback, frame, inspection, pictures_in, settings
from support.packages import make_cell_package

from edge.frame import Frame
from edge.mentoring.database import Accepted
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.selection import Selection
from lineside.fold import fold
from lineside.ids import new_frame_id
from lineside.package import MANIFEST_NAME
from lineside.pixels import decode, encode_png
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent, Gesture
from lineside.v1 import mentoring_pb2

SECONDS = 30


def ignore(event: FeedbackEvent, sequence: int) -> None:
    """Nobody listens."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MentoringLog]:
    with MentoringLog(tmp_path / "log", settings(), ignore, boot_id="boot-1") as opened:
        yield opened


def kept(log: MentoringLog, **how: object) -> Frame:
    """A frame with two detections of class dent, on the disk."""
    shown = frame(**how)  # type: ignore[arg-type]
    assert log.keep(shown, inspection(shown), CHOSEN)
    log.flush(SECONDS)
    return shown


def say(log: MentoringLog, message: mentoring_pb2.Feedback) -> Accepted:
    return log.submit(draft_of(message)).result(SECONDS)


def refusal(log: MentoringLog, message: mentoring_pb2.Feedback) -> ContractError:
    with pytest.raises(ContractError) as caught:
        say(log, message)
    return caught.value


def test_a_frame_comes_back_with_everything_the_station_knew(log: MentoringLog) -> None:
    shown = frame(seed=5, side=16)
    decision = inspection(shown, detections=3)
    assert log.keep(shown, decision, Selection(because="audit", probability=0.25))
    log.flush(SECONDS)
    with log.reader() as reader:
        (record,) = reader.records()
        row = record.frame
        assert (row.boot_id, row.station, row.camera, row.part_id) == ("boot-1", "line-1", "top", "part-5")
        assert (row.frame_id, row.camera_sequence, row.width, row.height) == (shown.frame_id, 5, 16, 16)
        assert (row.captured_unix_ns, row.captured_monotonic_ns) == (
            shown.captured_unix_ns,
            shown.captured_monotonic_ns,
        )
        assert (row.verdict, row.verdict_reason, row.model_digest) == (
            "REJECT",
            "any defect rejects",
            "sha256:" + "1" * 64,
        )
        assert (row.selected_because, row.selection_probability) == ("audit", 0.25)
        for ours, theirs in zip(decision.detections, record.detections, strict=True):
            assert (ours.detection_id, ours.class_name, ours.score, ours.box) == (
                theirs.detection_id,
                theirs.class_name,
                theirs.score,
                theirs.box,
            )
            np.testing.assert_array_equal(ours.areas, theirs.areas)


@pytest.mark.parametrize(("colour", "suffix"), [(False, "pgm"), (True, "ppm")])
def test_raw_pixels_are_kept_without_loss(log: MentoringLog, colour: bool, suffix: str) -> None:
    shown = kept(log, seed=1, colour=colour)
    with log.reader() as reader:
        record = reader.record(shown.frame_id)
        assert record is not None
        assert record.frame.image_suffix == suffix
        np.testing.assert_array_equal(decode(reader.image(record.frame)), shown.pixels)


def test_a_picture_file_is_kept_exactly_as_it_came(log: MentoringLog) -> None:
    pixels = frame(seed=2).pixels
    source = encode_png(pixels) + b"a camera's own words behind the picture"
    shown = kept(log, seed=2, source=source)
    with log.reader() as reader:
        record = reader.record(shown.frame_id)
        assert record is not None
        assert reader.image(record.frame) == source


def test_the_same_picture_is_stored_once_whatever_shows_it(log: MentoringLog) -> None:
    for _ in range(3):
        kept(log, seed=7)
    assert len(pictures_in(log.root)) == 1
    assert log.health().image_bytes == len(b"P5\n8 8\n255\n") + 64
    with log.reader() as reader:
        assert reader.count() == (3, 0)


def test_a_second_frame_of_the_same_id_does_not_replace_the_first(log: MentoringLog) -> None:
    frame_id = new_frame_id()
    kept(log, frame_id=frame_id, seed=1)
    kept(log, frame_id=frame_id, seed=2)
    with log.reader() as reader:
        (record,) = reader.records()
        assert record.frame.camera_sequence == 1
    assert len(pictures_in(log.root)) == 1


def test_an_acknowledged_event_is_there_and_is_told_once(tmp_path: Path) -> None:
    told: list[tuple[FeedbackEvent, int, str]] = []

    def listen(event: FeedbackEvent, sequence: int) -> None:
        told.append((event, sequence, threading.current_thread().name))

    with MentoringLog(tmp_path, settings(), listen) as log:
        shown = kept(log)
        message = feedback(shown.frame_id, 1, Gesture.REJECT)
        assert say(log, message) == Accepted(log_sequence=1, duplicate=False)
        assert say(log, message) == Accepted(log_sequence=1, duplicate=True)
        with log.reader() as reader:
            (event,) = reader.feedback()
        log.flush(SECONDS)
    assert told == [(event, 1, "mentoring-log")]
    assert (event.key, event.gesture, event.detection_id) == (
        message.key,
        Gesture.REJECT,
        f"{shown.frame_id}/1",
    )


def test_a_listener_that_fails_does_not_hurt_the_log(tmp_path: Path) -> None:
    def listen(event: FeedbackEvent, sequence: int) -> None:
        raise RuntimeError("a listener's own trouble")

    with MentoringLog(tmp_path, settings(), listen) as log:
        shown = kept(log)
        assert say(log, feedback(shown.frame_id, 0)).log_sequence == 1
        assert say(log, feedback(shown.frame_id, 1)).log_sequence == 2


def test_a_key_with_other_content_is_refused_and_the_first_stays(log: MentoringLog) -> None:
    shown = kept(log)
    say(log, feedback(shown.frame_id, 0, Gesture.CONFIRM, key="the-same-key"))
    for other in (
        feedback(shown.frame_id, 0, Gesture.REJECT, key="the-same-key"),
        feedback(shown.frame_id, 0, Gesture.CONFIRM, key="the-same-key", operator="bob"),
        feedback(new_frame_id(), 0, Gesture.CONFIRM, key="the-same-key"),
    ):
        assert refusal(log, other).reason is Reason.KEY_REUSED
    with log.reader() as reader:
        assert [event.gesture for event in reader.feedback()] == [Gesture.CONFIRM]


def test_what_was_never_seen_is_unknown(log: MentoringLog) -> None:
    shown = kept(log)
    assert refusal(log, feedback(new_frame_id(), 0)).reason is Reason.DETECTION_UNKNOWN
    assert refusal(log, feedback(new_frame_id(), None, Gesture.FRAME_HEALTHY)).reason is Reason.DETECTION_UNKNOWN
    assert refusal(log, feedback(shown.frame_id, 2)).reason is Reason.DETECTION_UNKNOWN


def test_one_revision_of_one_operator_on_one_target_is_one_event(log: MentoringLog) -> None:
    shown = kept(log)
    say(log, feedback(shown.frame_id, 0, Gesture.CONFIRM))
    assert refusal(log, feedback(shown.frame_id, 0, Gesture.REJECT)).reason is Reason.FEEDBACK_CONFLICT
    assert refusal(log, feedback(shown.frame_id, 0, Gesture.CONFIRM)).reason is Reason.FEEDBACK_CONFLICT
    # Another target, operator or revision is another event.
    say(log, feedback(shown.frame_id, 1, Gesture.REJECT))
    say(log, feedback(shown.frame_id, 0, Gesture.REJECT, operator="bob"))
    say(log, feedback(shown.frame_id, 0, Gesture.REJECT, revision=2))
    say(log, feedback(shown.frame_id, None, Gesture.FRAME_COMPLETE))
    missed = {"class_name": "dent", "box": (1.0, 1.0, 2.0, 2.0)}
    say(log, feedback(shown.frame_id, None, Gesture.MISSED, missed_index=1, **missed))
    say(log, feedback(shown.frame_id, None, Gesture.MISSED, missed_index=2, **missed))
    again = feedback(shown.frame_id, None, Gesture.RETRACT, missed_index=2)
    assert refusal(log, again).reason is Reason.FEEDBACK_CONFLICT


def test_a_lower_revision_that_comes_late_is_kept_and_does_not_count(log: MentoringLog) -> None:
    shown = kept(log)
    say(log, feedback(shown.frame_id, 0, Gesture.REJECT, revision=2))
    assert not say(log, feedback(shown.frame_id, 0, Gesture.CONFIRM, revision=1)).duplicate
    with log.reader() as reader:
        record = reader.record(shown.frame_id)
        assert record is not None
        (judgement,) = record.judgements
        assert (judgement.gesture, judgement.events) == (Gesture.REJECT, (1,))
        assert reader.count() == (1, 2)


def test_the_wrong_class_cannot_be_the_class_it_has(log: MentoringLog) -> None:
    shown = kept(log)
    same = feedback(shown.frame_id, 0, Gesture.WRONG_CLASS, class_name="dent")
    assert refusal(log, same).reason is Reason.FEEDBACK_MALFORMED
    outside = feedback(shown.frame_id, None, Gesture.MISSED, class_name="dent", box=(0, 0, 99, 9), missed_index=1)
    assert refusal(log, outside).reason is Reason.FEEDBACK_MALFORMED


def test_feedback_handed_over_right_after_its_frame_finds_it(log: MentoringLog) -> None:
    answers: list[Future[Accepted]] = []
    for seed in range(200):
        shown = frame(seed=seed)
        assert log.keep(shown, inspection(shown), CHOSEN)
        answers.append(log.submit(draft_of(feedback(shown.frame_id, 0))))
    assert [answer.result(SECONDS).log_sequence for answer in answers] == list(range(1, 201))


def test_models_are_remembered_with_the_manifest_of_the_package(log: MentoringLog, tmp_path: Path) -> None:
    package = make_cell_package(tmp_path / "package")
    log.model_seen(package)
    log.model_seen(package)
    log.flush(SECONDS)
    with log.reader() as reader:
        assert reader.manifests() == {package.digest: package.manifest}
        row = reader._connection.execute("SELECT manifest FROM models").fetchone()
        assert row["manifest"] == (package.folder / MANIFEST_NAME).read_text()


GESTURES = (Gesture.CONFIRM, Gesture.REJECT, Gesture.UNSURE, Gesture.RETRACT, Gesture.POOR_BOX)


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[int, str, int, Gesture]]:
    """(detection, operator, revision, gesture): what people say about one frame, each revision once."""
    places = draw(
        st.sets(st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(1, 4)), min_size=1, max_size=12)
    )
    return [(*place, draw(st.sampled_from(GESTURES))) for place in sorted(places)]


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=conversations(), order=st.randoms(use_true_random=False), repeats=st.integers(1, 3))
def test_any_order_and_repetition_of_messages_folds_to_the_same(
    log: MentoringLog, said: list[tuple[int, str, int, Gesture]], order: random.Random, repeats: int
) -> None:
    shown = frame()
    log.keep(shown, inspection(shown), CHOSEN)
    messages = [
        feedback(
            shown.frame_id,
            number,
            gesture,
            operator=operator,
            revision=revision,
            key=f"{shown.frame_id[:24]}-{number}-{operator}-{revision}",
        )
        for number, operator, revision, gesture in said
    ]
    arrivals = messages * repeats
    order.shuffle(arrivals)
    futures = [log.submit(draft_of(message)) for message in arrivals]
    acks = [future.result(SECONDS) for future in futures]
    assert sum(not ack.duplicate for ack in acks) == len(messages)
    places = {message.key: ack.log_sequence for message, ack in zip(arrivals, acks, strict=True)}
    expected = fold(draft_of(message).event(places[message.key], 1) for message in messages)
    with log.reader() as reader:
        record = reader.record(shown.frame_id)
    assert record is not None
    assert record.judgements == expected


def test_a_thousand_events_with_a_third_repeated_in_any_order_are_stored_once_each(log: MentoringLog) -> None:
    chance = random.Random(11)
    shown = [frame(seed=seed) for seed in range(100)]
    for one in shown:
        assert log.keep(one, inspection(one, detections=5), CHOSEN)
    messages = [
        feedback(one.frame_id, number, chance.choice((Gesture.CONFIRM, Gesture.REJECT)), revision=revision)
        for one in shown
        for number in range(5)
        for revision in (1, 2)
    ]
    arrivals = [*messages, *chance.sample(messages, 300)]
    chance.shuffle(arrivals)
    futures: list[Future[Accepted]] = []
    for start in range(0, len(arrivals), 500):  # the queue takes 1024
        futures += [log.submit(draft_of(message)) for message in arrivals[start : start + 500]]
        log.flush(SECONDS)
    acks = [future.result(SECONDS) for future in futures]
    assert sum(ack.duplicate for ack in acks) == 300
    assert {ack.log_sequence for ack in acks} == set(range(1, 1001))
    last = {(m.detection_id): Gesture(m.gesture) for m in messages if m.revision == 2}
    with log.reader() as reader:
        assert reader.count() == (100, 1000)
        found = {
            judgement.detection_id: judgement.gesture for record in reader.records() for judgement in record.judgements
        }
    assert found == last


def test_a_frame_beyond_the_queue_is_not_taken_and_feedback_is_refused(tmp_path: Path) -> None:
    hold = threading.Event()
    reached = threading.Event()

    def listen(event: FeedbackEvent, sequence: int) -> None:
        reached.set()
        hold.wait(SECONDS)

    with MentoringLog(tmp_path, settings(queue=2), listen) as log:
        shown = kept(log)
        say(log, feedback(shown.frame_id, 0))
        assert reached.wait(SECONDS)  # the writer stands in the listener: nothing leaves the queue
        try:
            others = [frame(seed=seed) for seed in range(3)]
            assert [log.keep(one, inspection(one), CHOSEN) for one in others] == [True, True, False]
            waiting = [log.submit(draft_of(feedback(shown.frame_id, 1, revision=n))) for n in (1, 2, 3)]
            error = waiting[2].exception(SECONDS)
            assert isinstance(error, ContractError)
            assert error.reason is Reason.QUEUE_FULL
        finally:
            hold.set()
        assert [future.result(SECONDS).log_sequence for future in waiting[:2]] == [2, 3]
        log.flush(SECONDS)
        assert log.health().frames_kept == 3


def test_pictures_that_wait_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    hold = threading.Event()
    reached = threading.Event()

    def listen(event: FeedbackEvent, sequence: int) -> None:
        reached.set()
        hold.wait(SECONDS)

    with MentoringLog(tmp_path, settings(queue_mb=1), listen) as log:
        shown = kept(log)
        say(log, feedback(shown.frame_id, 0))
        assert reached.wait(SECONDS)
        try:
            large = [frame(seed=seed, side=800) for seed in range(2)]  # 640,000 bytes each, and 1 MiB is the limit
            assert [log.keep(one, inspection(one), CHOSEN) for one in large] == [True, False]
        finally:
            hold.set()


def test_closing_writes_what_is_queued_and_then_takes_nothing(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), ignore) as log:
        shown = [frame(seed=seed) for seed in range(50)]
        for one in shown:
            assert log.keep(one, inspection(one), CHOSEN)
        future = log.submit(draft_of(feedback(shown[-1].frame_id, 0)))
        log.close()
        assert future.result(0).log_sequence == 1
        assert not log.keep(shown[0], inspection(shown[0]), CHOSEN)
        assert refusal(log, feedback(shown[0].frame_id, 0)).reason is Reason.DRAINING
        log.flush(SECONDS)
        log.close()
    with log.reader() as reader:
        assert reader.count() == (50, 1)
    assert "mentoring-log" not in {thread.name for thread in threading.enumerate()}


def test_a_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), ignore) as log:
        shown = kept(log, seed=1)
        first = feedback(shown.frame_id, 0)
        say(log, first)
        size = log.health().image_bytes
    with MentoringLog(tmp_path, settings(), ignore) as log:
        assert log.health().image_bytes == size
        assert say(log, first) == Accepted(log_sequence=1, duplicate=True)
        assert say(log, feedback(shown.frame_id, 1)) == Accepted(log_sequence=2, duplicate=False)


def test_two_processes_cannot_write_one_log(log: MentoringLog) -> None:
    with (
        pytest.raises(ContractError, match="another station process") as caught,
        MentoringLog(log.root, settings(), ignore),
    ):
        pass
    assert caught.value.reason is Reason.STORAGE_FAULT


def test_a_folder_with_another_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"this is no database at all, and long enough to look at" * 100)
    with pytest.raises(ContractError, match="not a database") as caught, MentoringLog(tmp_path, settings(), ignore):
        pass
    assert caught.value.reason is Reason.RECORD_CORRUPT
    # The lock is free again, and no thread was left behind.
    (tmp_path / "log.sqlite").unlink()
    with MentoringLog(tmp_path, settings(), ignore):
        pass


def test_a_dead_writers_stray_files_are_gone_at_the_next_start(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), ignore) as log:
        shown = kept(log)
    (tmp_path / "incoming" / "3.tmp").write_bytes(b"half a pict")
    orphan = tmp_path / "images" / "ab" / ("ab" * 32 + ".png")
    orphan.write_bytes(b"renamed, and the row never came")
    with MentoringLog(tmp_path, settings(), ignore) as log:
        assert list((tmp_path / "incoming").iterdir()) == []
        while orphan.exists():  # swept while nothing waits; the test's time limit ends this
            log.flush(SECONDS)
        with log.reader() as reader:
            record = reader.record(shown.frame_id)
            assert record is not None
            reader.image(record.frame)
