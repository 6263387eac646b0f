"""The frame that answers is the frame that was triggered; what cannot be used is told and never judged by the model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.camera_line import SECONDS, Line

from edge.cameras import thread as camera_thread
from edge.cameras.contract import (
    BadPictureError,
    Camera,
    CameraEndedError,
    CameraLostError,
    CameraSettings,
    CameraState,
    Picture,
)
from edge.cameras.judging import FRAMES_IN_HAND
from edge.cameras.triggers import MOST_TRIGGERS_WAITING
from edge.frame import Frame
from edge.inspection import Inspection
from lineside.reasons import ContractError, Reason

BASE = 64
"""Added to a picture's number: a dark one would be told as black."""


class Played(Camera):
    """Plays what it is given: pictures with their number as brightness, or faults."""

    def __init__(self, faults: dict[int, Exception] | None = None, *, fps: float = 0.0) -> None:
        super().__init__(CameraSettings(name="top", fps=fps))
        self.faults = faults or {}
        self.grabs = 0
        self.opens = 0
        self.open_faults: list[Exception] = []

    def _open(self) -> None:
        self.opens += 1
        if self.open_faults:
            raise self.open_faults.pop(0)

    def _grab(self, seconds: float) -> Picture:
        self.grabs += 1
        if self.grabs in self.faults:
            raise self.faults[self.grabs]
        return Picture(pixels=np.full((4, 4), BASE + self.grabs % 128, np.uint8), part_id=f"camera-{self.grabs}")

    def _close(self) -> None:
        pass


@pytest.fixture
def run() -> Iterator[Callable[[Camera], Line]]:
    lines: list[Line] = []

    def start(camera: Camera) -> Line:
        line = Line(lambda: camera)
        lines.append(line)
        line.thread.__enter__()
        return line

    yield start
    for line in lines:
        line.hold.set()
        line.thread.close()


Run = Callable[[Camera], Line]


def test_a_trigger_answers_about_the_picture_taken_for_it(run: Run) -> None:
    line = run(Played())
    for number in range(1, 6):
        inspection = line.thread.trigger(f"part-{number}")
        frame = line.judged.get(timeout=SECONDS)
        assert isinstance(frame, Frame)
        assert (inspection.frame_id, inspection.part_id) == (frame.frame_id, f"part-{number}")
        assert (frame.camera_sequence, frame.pixels[0, 0]) == (number, BASE + number)


def test_without_a_part_the_camera_says_which(run: Run) -> None:
    line = run(Played())
    assert line.thread.trigger().part_id == "camera-1"


def test_triggers_from_many_threads_during_free_run_get_each_their_own_frame(run: Run) -> None:
    line = run(Played(fps=500))
    answers: dict[str, Inspection] = {}

    def trigger(name: str) -> None:
        answers[name] = line.thread.trigger(name)

    threads = [threading.Thread(target=trigger, args=(f"caller-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert {name: answer.part_id for name, answer in answers.items()} == {name: name for name in answers}
    assert len({answer.frame_id for answer in answers.values()}) == 6


def test_free_run_numbers_its_frames_without_holes(run: Run) -> None:
    line = run(Played(fps=500))
    numbers = [line.judged.get(timeout=SECONDS).camera_sequence for _ in range(20)]
    assert numbers == list(range(1, 21))


def test_a_camera_without_free_run_waits_for_its_trigger(run: Run) -> None:
    camera = Played()
    line = run(camera)
    assert line.states.get(timeout=SECONDS) == (CameraState.RUNNING, "")
    line.thread.trigger()
    assert camera.grabs == 1


def test_a_bad_picture_is_a_no_verdict_with_its_own_number_and_the_next_one_is_judged(run: Run) -> None:
    line = run(Played({2: BadPictureError(Reason.IMAGE_DECODE, "torn", "P-2")}))
    line.thread.trigger()
    bad = line.thread.trigger()
    assert (bad.verdict_reason, bad.part_id, bad.camera_sequence) == ("IMAGE_DECODE", "P-2", 2)
    assert (bad.width, bad.detections, bad.model) == (0, (), None)
    assert line.thread.trigger().camera_sequence == 3


def test_bad_pictures_in_a_row_are_logged_when_they_begin_and_when_they_end(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    torn = {number: BadPictureError(Reason.IMAGE_DECODE, f"torn {number}") for number in range(1, 41)}
    line = run(Played(torn))
    for _ in range(41):
        line.thread.trigger()
    assert [text for text in caplog.messages if "picture" in text] == [
        "camera top, picture 1: torn 1",
        "camera top: 40 pictures in a row could not be used",
    ]


def test_a_lost_camera_is_told_once_refuses_triggers_and_is_opened_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_thread, "FIRST_RETRY_SECONDS", 0.01)
    camera = Played({2: CameraLostError("cable")})
    line = run(camera)
    line.thread.trigger()
    camera.open_faults = [CameraLostError("still no cable")] * 2
    with pytest.raises(ContractError) as error:
        line.thread.trigger()
    assert error.value.reason is Reason.CAMERA_LOST
    states = [line.states.get(timeout=SECONDS) for _ in range(3)]
    assert states == [(CameraState.RUNNING, ""), (CameraState.LOST, "cable"), (CameraState.RUNNING, "")]
    assert camera.opens == 4
    assert line.thread.trigger().camera_sequence == 2


def test_a_camera_that_is_not_there_at_the_start_refuses_triggers(run: Run) -> None:
    camera = Played()
    camera.open_faults = [CameraLostError("no folder")]
    line = run(camera)
    assert line.states.get(timeout=SECONDS) == (CameraState.LOST, "no folder")
    with pytest.raises(ContractError, match="CAMERA_LOST"):
        line.thread.trigger()


def test_a_camera_that_has_ended_says_so_and_refuses_triggers(run: Run) -> None:
    line = run(Played({1: CameraEndedError("no more")}))
    for _ in range(2):
        with pytest.raises(ContractError, match="CAMERA_LOST"):
            line.thread.trigger()
    assert [line.states.get(timeout=SECONDS)[0] for _ in range(2)] == [CameraState.RUNNING, CameraState.ENDED]
    assert line.thread.state is CameraState.ENDED


def test_a_fault_nobody_foresaw_loses_the_camera_and_not_the_thread(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_thread, "FIRST_RETRY_SECONDS", 0.01)
    line = run(Played({1: ZeroDivisionError("driver")}))
    with pytest.raises(ZeroDivisionError):
        line.thread.trigger()
    assert [line.states.get(timeout=SECONDS)[0] for _ in range(3)] == [
        CameraState.RUNNING,
        CameraState.LOST,
        CameraState.RUNNING,
    ]


def test_too_many_triggers_are_refused_and_one_whose_time_is_over_takes_no_picture(run: Run) -> None:
    camera = Played()
    line = run(camera)
    line.hold.clear()
    callers = [threading.Thread(target=line.thread.trigger) for _ in range(FRAMES_IN_HAND)]
    for caller in callers:
        caller.start()
    line.judged.get(timeout=SECONDS)  # the first is being judged
    while line.thread.counts.frames < FRAMES_IN_HAND:  # the second has been taken
        time.sleep(0.001)
    for _ in range(MOST_TRIGGERS_WAITING):
        with pytest.raises(ContractError, match="DEADLINE"):
            line.thread.trigger(deadline_monotonic_ns=time.monotonic_ns())
    with pytest.raises(ContractError, match="QUEUE_FULL"):
        line.thread.trigger()
    line.hold.set()
    for caller in callers:
        caller.join(SECONDS)
    line.thread.close()
    assert camera.grabs == FRAMES_IN_HAND


def test_a_closed_camera_refuses_with_draining_and_closes_twice(run: Run) -> None:
    line = run(Played())
    line.thread.trigger()
    line.thread.close()
    line.thread.close()
    with pytest.raises(ContractError, match="DRAINING"):
        line.thread.trigger()
