"""The mentoring log as training data: written by the station's own log, read back as label states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.lessons import tiny
from support.mentored_line import BRIGHT, Line, teach_exactly
from support.mentoring import settings

from edge.mentoring.log import MentoringLog
from lineside.mentoring_log import image_path
from lineside.records import Gesture
from training.data.mentoring import read_log
from training.losses.classification import ABSENT, PRESENT, UNKNOWN


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with MentoringLog(tmp_path / "log", settings(), lambda event, sequence: None) as log:
        yield Line(log, tiny())


def test_each_gesture_teaches_its_areas_and_nothing_else(line: Line, tmp_path: Path) -> None:
    teach_exactly(line, tmp_path)
    frame_id = line.keep([[3, 4], [40], [80, 81], [120]])
    line.say(frame_id, 0, Gesture.REJECT)
    line.say(frame_id, 1, Gesture.CONFIRM)
    line.say(frame_id, 2, Gesture.WRONG_CLASS, class_name="bright")
    line.say(frame_id, 3, Gesture.UNSURE)
    said = read_log(line.log.root, tiny())
    (lesson,) = said.frames
    expected = np.full_like(lesson.states, UNKNOWN)
    expected[[3, 4]] = ABSENT
    expected[40] = [PRESENT, ABSENT]
    # Area 81 lies beside the box: the wrong class is denied there, the right one is not claimed.
    expected[80] = [ABSENT, PRESENT]
    expected[81] = [ABSENT, UNKNOWN]
    assert np.array_equal(lesson.states, expected)
    assert np.flatnonzero(lesson.spoken).tolist() == [3, 4, 40, 80, 81]
    assert not lesson.taught.any()
    assert said.skipped == ("1 x the operator was unsure",)


def test_only_drawn_boxes_may_teach_regression(line: Line) -> None:
    frame_id = line.keep([[3]])
    line.say(frame_id, None, Gesture.MISSED, class_name="bright", box=(30.0, 30.0, 42.0, 42.0), missed_index=1)
    (lesson,) = read_log(line.log.root, tiny()).frames
    assert lesson.taught.any()
    assert (lesson.targets[lesson.taught] == [30, 30, 42, 42]).all()
    assert (lesson.states[lesson.taught, BRIGHT] == PRESENT).all()


def test_a_frame_called_healthy_is_background_everywhere_and_denies_each_detection(line: Line) -> None:
    frame_id = line.keep([[3]])
    line.say(frame_id, None, Gesture.FRAME_HEALTHY)
    (lesson,) = read_log(line.log.root, tiny()).frames
    assert (lesson.states == ABSENT).all()
    assert lesson.spoken[3]
    assert lesson.spoken.sum() < len(lesson.spoken) / 4
    (single,) = read_log(line.log.root, tiny(), whole_frames=False).frames
    assert (single.states[lesson.spoken] == ABSENT).all()
    assert (single.states[~lesson.spoken] == UNKNOWN).all()


def test_a_healthy_frame_without_a_detection_has_nothing_spoken_and_teaches_only_as_a_whole(line: Line) -> None:
    frame_id = line.keep([])
    line.say(frame_id, None, Gesture.FRAME_HEALTHY)
    (lesson,) = read_log(line.log.root, tiny()).frames
    assert (lesson.states == ABSENT).all()
    assert not lesson.spoken.any()
    silent = read_log(line.log.root, tiny(), whole_frames=False)
    assert silent.frames == ()
    assert silent.skipped == ("1 x the frame teaches nothing", "1 x this recipe is not taught by whole frames")
    assert silent.judged == 1


def test_without_whole_frames_single_answers_still_teach(line: Line, tmp_path: Path) -> None:
    teach_exactly(line, tmp_path)
    frame_id = line.keep([[3]])
    line.say(frame_id, 0, Gesture.REJECT)
    line.say(frame_id, None, Gesture.FRAME_COMPLETE)
    (whole,) = read_log(line.log.root, tiny()).frames
    (single,) = read_log(line.log.root, tiny(), whole_frames=False).frames
    assert (whole.states == ABSENT).all()
    assert np.flatnonzero((single.states != UNKNOWN).any(axis=1)).tolist() == [3]


def test_frames_nobody_judged_are_not_lessons(line: Line) -> None:
    line.keep([[3]], seed=1)
    judged = line.keep([[3]], seed=2)
    line.say(judged, 0, Gesture.REJECT)
    said = read_log(line.log.root, tiny())
    assert said.frame_ids == (judged,)
    assert (said.feedback_events, said.last_log_sequence) == (1, 1)


def test_only_feedback_after_a_sequence_is_read_when_asked(line: Line) -> None:
    first, second = line.keep([[3]], seed=1), line.keep([[4]], seed=2)
    line.say(first, 0, Gesture.REJECT)
    line.say(second, 0, Gesture.REJECT)
    assert read_log(line.log.root, tiny(), after=1).frame_ids == (second,)
    assert read_log(line.log.root, tiny(), until=1).frame_ids == (first,)


def test_a_picture_that_is_gone_is_skipped_with_its_reason(line: Line) -> None:
    lost, kept = line.keep([[3]], seed=1), line.keep([[4]], seed=2)
    line.say(lost, 0, Gesture.REJECT)
    line.say(kept, 0, Gesture.REJECT)
    with line.log.reader() as reader:
        record = reader.record(lost)
        assert record is not None
        image_path(line.log.root, record.frame.image_sha256, record.frame.image_suffix).unlink()
    said = read_log(line.log.root, tiny())
    assert said.frame_ids == (kept,)
    assert said.skipped == ("1 x RECORD_CORRUPT: a frame's picture cannot be read",)
    assert said.judged == len(said.frames) + 1


def test_disputed_and_unknown_classes_are_skipped_with_their_reasons(line: Line) -> None:
    frame_id = line.keep([[3], [40]])
    line.say(frame_id, 0, Gesture.REJECT, operator="ada")
    line.say(frame_id, 0, Gesture.CONFIRM, operator="bob")
    line.say(frame_id, 1, Gesture.CONFIRM)
    said = read_log(line.log.root, tiny(classes=("bright", "other")))
    assert said.frames == ()
    assert said.skipped == (
        "1 x class 'dark' is not one of ['bright', 'other']",
        "1 x operators ada, bob disagree",
        "1 x the frame teaches nothing",
    )


def test_another_head_finds_the_areas_from_the_box(line: Line) -> None:
    frame_id = line.keep([[3]], box=(16, 16, 32, 32))
    line.say(frame_id, 0, Gesture.REJECT)
    (lesson,) = read_log(line.log.root, tiny("cells")).frames
    # Cells of 8 pixels with their middle inside 16..32: rows and columns 2 and 3 of 8.
    assert np.flatnonzero(lesson.spoken).tolist() == [18, 19, 26, 27]


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no mentoring log"):
        read_log(tmp_path, tiny())
