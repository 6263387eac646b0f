"""A driver that never returns costs a thread and nothing else; a silent camera is noticed and opened anew."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.camera_line import SECONDS, Line, Sending

from edge.cameras import thread as camera_thread
from edge.cameras.contract import (
    BadPictureError,
    Camera,
    CameraLostError,
    CameraState,
    Pace,
    Picture,
)
from edge.cameras.group import CameraGroup
from edge.cameras.judging import BadFrame
from edge.frame import Frame
from lineside.reasons import ContractError, Reason


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Camera | Callable[[], Camera]], Line]]:
    monkeypatch.setattr(camera_thread, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(camera_thread, "LONGEST_RETRY_SECONDS", 0.05)
    lines: list[Line] = []

    def start(camera: Camera | Callable[[], Camera]) -> Line:
        line = Line(camera if callable(camera) else lambda: camera)
        lines.append(line)
        line.thread.__enter__()
        return line

    yield start
    for line in lines:
        line.hold.set()
        line.thread.close()


Run = Callable[["Camera | Callable[[], Camera]"], Line]


def test_what_a_camera_sends_by_itself_is_judged_as_it_comes_and_it_cannot_be_triggered(run: Run) -> None:
    camera = Sending()
    line = run(camera)
    for number in (1, 2):
        camera.send(number)
        frame = line.next()
        assert isinstance(frame, Frame)
        assert (frame.camera_sequence, frame.pixels[0, 0]) == (number, 50 + number)
    with pytest.raises(ContractError, match=r"CAMERA_MODE: camera top is triggered by itself"):
        line.thread.trigger()


def test_every_part_of_a_hardware_trigger_is_answered_for_even_if_its_picture_never_came(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    camera = Sending(Pace.LINE)
    line = run(camera)
    for number in (7, 10):
        camera.send(number)
    kinds = [line.next() for _ in range(4)]
    assert [getattr(frame, "reason", None) for frame in kinds] == [
        None,
        Reason.IMAGE_MISSING,
        Reason.IMAGE_MISSING,
        None,
    ]
    assert [frame.camera_sequence for frame in kinds] == [1, 2, 3, 4]
    counts = line.thread.counts
    assert (counts.frames, counts.missing, counts.bad) == (4, 2, {"IMAGE_MISSING": 2})
    assert "camera top: 2 pictures never came" in caplog.text


def test_what_a_free_camera_leaves_out_is_counted_and_no_part(run: Run) -> None:
    camera = Sending(Pace.CAMERA)
    line = run(camera)
    for number in (7, 10):
        camera.send(number)
    assert [line.next().camera_sequence for _ in range(2)] == [1, 2]
    assert (line.thread.counts.frames, line.thread.counts.missing) == (2, 2)


@pytest.mark.parametrize(
    ("level", "number", "reason"),
    [(1, 2, Reason.IMAGE_BLACK), (255, 2, Reason.IMAGE_SATURATED), (0, 1, Reason.IMAGE_ORDER)],
)
def test_a_picture_that_must_not_be_judged_is_counted_and_never_reaches_the_model(
    run: Run, level: int, number: int, reason: Reason
) -> None:
    camera = Sending(Pace.LINE)
    line = run(camera)
    camera.send(1)
    camera.send(number, level=level)
    camera.send(3)
    frames = [line.next() for _ in range(4 if reason is Reason.IMAGE_ORDER else 3)]
    assert isinstance(frames[1], BadFrame)
    assert frames[1].reason is reason
    line.thread.close()
    counts = line.thread.counts
    assert counts.bad[reason.value] == 1
    assert counts.judged == 2 == counts.frames - sum(counts.bad.values())


def test_silence_longer_than_allowed_is_a_lost_camera_that_is_opened_anew(run: Run) -> None:
    camera = Sending(stale_seconds=0.3)
    line = run(camera)
    camera.send(1)
    assert isinstance(line.next(), Frame)
    assert [line.state() for _ in range(3)] == [
        (CameraState.RUNNING, ""),
        (CameraState.LOST, "no picture for 0.3 s"),
        (CameraState.RUNNING, ""),
    ]
    assert camera.closes >= 1


def test_the_stations_own_pauses_are_not_the_cameras_silence(run: Run) -> None:
    camera = Sending(stale_seconds=1.5)
    line = run(camera)
    for number in (1, 2, 3):
        camera.send(number)
        assert isinstance(line.next(), Frame)
    line.hold.clear()  # a judge that takes its time: both places are taken, nobody asks the camera
    for number in (4, 5):
        camera.send(number)
    time.sleep(2.0)
    line.hold.set()
    assert [line.next().camera_sequence for _ in range(2)] == [4, 5]
    time.sleep(0.4)  # asked once more by now, in vain
    assert line.thread.counts.failed == 0


def test_every_other_picture_may_be_bad_without_filling_the_log(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    camera = Sending()
    line = run(camera)
    for number in range(1, 41):
        camera.send(number, level=1 if number % 2 else 0)
    bad = sum(isinstance(line.next(), BadFrame) for _ in range(40))
    assert bad == 20
    assert len([text for text in caplog.messages if "picture" in text]) == 1


def test_a_line_that_stands_still_is_no_lost_camera(run: Run) -> None:
    camera = Sending(Pace.LINE, picture_seconds=0.2)
    line = run(camera)
    assert line.state() == (CameraState.RUNNING, "")
    with pytest.raises(queue.Empty):
        line.states.get(timeout=0.8)
    camera.send(1)
    assert isinstance(line.next(), Frame)


def test_pictures_that_do_not_change_are_no_sign_of_life(run: Run) -> None:
    camera = Sending(stale_seconds=0.4, checks={"frozen_pictures": 2})
    line = run(camera)
    assert line.state() == (CameraState.RUNNING, "")
    until = time.monotonic() + SECONDS
    while line.states.empty() and time.monotonic() < until:
        camera.sent.put(Picture(pixels=np.full((4, 4), 77, np.uint8)))
        time.sleep(0.02)
    state, why = line.state()
    assert (state, why.startswith("its picture has not changed for")) == (CameraState.LOST, True)
    assert line.thread.counts.bad["IMAGE_FROZEN"] > 0


def test_a_camera_that_opens_and_fails_at_once_is_tried_less_and_less_often(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_thread, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(camera_thread, "LONGEST_RETRY_SECONDS", 30.0)
    camera = Sending()
    for _ in range(50):
        camera.sent.put(CameraLostError("broken"))
    line = run(camera)
    time.sleep(1.0)  # 0.04 + 0.08 + 0.16 + 0.32 + 0.64
    assert 3 <= camera.opens <= 6
    assert line.thread.counts.failed >= 3


def test_a_driver_that_hangs_is_given_up_and_the_camera_made_anew(run: Run) -> None:
    made: list[Sending] = []

    def make() -> Sending:
        made.append(Sending(Pace.STATION, picture_seconds=0.2))
        return made[-1]

    line = run(make)
    made[0].sent.put(None)  # hangs
    with pytest.raises(ContractError, match="CAMERA_LOST"):
        line.thread.trigger()
    states = [line.state() for _ in range(3)]
    assert states[1][0] is CameraState.LOST
    assert states[1][1].startswith("read: the driver has not returned within")
    assert len(made) == 2
    made[1].send(1)
    assert line.thread.trigger("P-1").part_id == "P-1"
    assert made[0].closes == 0
    made[0].go.set()  # the call returns at last: nobody waits, and the camera it held is closed
    until = time.monotonic() + SECONDS
    while made[0].closes == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert made[0].closes == 1


def test_drivers_that_hang_are_not_piled_up(run: Run) -> None:
    made: list[Sending] = []

    def make() -> Sending:
        made.append(Sending(Pace.CAMERA, picture_seconds=0.05))
        made[-1].sent.put(None)
        return made[-1]

    line = run(make)
    until = time.monotonic() + SECONDS
    while "calls hang in its driver" not in line.thread.message and time.monotonic() < until:
        time.sleep(0.01)
    assert line.thread.message.startswith("3 calls hang in its driver; check the device")
    assert len(made) == 3
    for camera in made:
        camera.go.set()


def test_cameras_that_hang_do_not_hold_up_the_end_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    stuck = {name: Sending(Pace.CAMERA, name=name) for name in ("a", "b", "c")}
    for camera in stuck.values():
        camera.sent.put(None)
    sound = Sending(Pace.STATION)
    sound.send(1)
    cameras = {name: Line(lambda camera=camera: camera).thread for name, camera in {**stuck, "top": sound}.items()}  # type: ignore[misc]
    with CameraGroup(cameras):
        assert cameras["top"].trigger().camera_sequence == 1
        until = time.monotonic() + SECONDS
        while not all(camera.sent.empty() for camera in stuck.values()) and time.monotonic() < until:
            time.sleep(0.01)
        begun = time.monotonic()
    assert time.monotonic() - begun < 4  # three times a moment's grace, one after the other, would be longer already
    assert sound.closes == 1
    assert [camera.closes for camera in stuck.values()] == [0, 0, 0]
    assert caplog.text.count("its driver hangs and is left alone") == 3
    for camera in stuck.values():
        camera.go.set()


def test_the_next_picture_is_taken_while_the_last_one_is_judged_and_no_more_than_that(run: Run) -> None:
    camera = Sending(Pace.LINE)
    line = run(camera)
    line.hold.clear()
    for number in range(1, 6):
        camera.send(number)
    until = time.monotonic() + SECONDS
    while camera.sent.qsize() > 3 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    assert camera.sent.qsize() == 3
    line.hold.set()
    assert [line.next().camera_sequence for _ in range(5)] == [1, 2, 3, 4, 5]


def test_torn_buffers_have_numbers_too(run: Run) -> None:
    camera = Sending(Pace.LINE)
    line = run(camera)
    camera.send(1)
    camera.sent.put(BadPictureError(Reason.IMAGE_HALF, "missing packets", number=2))
    camera.send(3)
    assert [getattr(line.next(), "reason", None) for _ in range(3)] == [None, Reason.IMAGE_HALF, None]
    assert line.thread.counts.missing == 0
