"""What devices do when something goes wrong: real servers, emulated and fake cameras are cut, starved and torn."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.camera_line import SECONDS, Line
from support.cameras import (
    FAKE_SERIAL,
    NOISY,
    SIZE,
    aravis,
    camera_for,
    fake_gige_camera,
    numbered_basler,
    viky,
    write_video,
)
from support.rtsp import RtspServer

from benchmarks.numbers import draw, read
from edge.cameras import thread as camera_thread
from edge.cameras.contract import (
    BadPictureError,
    Camera,
    CameraEndedError,
    CameraLostError,
    CameraState,
    NoPictureError,
    Pace,
    Picture,
)
from edge.frame import Frame
from lineside.reasons import Reason


@pytest.fixture
def quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_thread, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(camera_thread, "LONGEST_RETRY_SECONDS", 0.2)


def colour(number: int) -> np.ndarray:
    return np.repeat(draw(number, SIZE)[:, :, None], 3, axis=2)


def outcome(camera: Camera) -> Picture | BadPictureError:
    try:
        return camera.grab(2.0)
    except BadPictureError as error:
        return error


def eventually(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < until:
        time.sleep(0.02)
    return is_so()


# Video files


def test_a_videos_frames_come_each_once_in_their_order_then_it_ends(tmp_path: Path) -> None:
    write_video(tmp_path / "line.avi", 7)
    with camera_for({"kind": "video", "file": tmp_path / "line.avi"}) as video:
        pictures = [video.grab() for _ in range(7)]
        with pytest.raises(CameraEndedError, match="the last of 7 frames"):
            video.grab()
    assert [read(picture.pixels) for picture in pictures] == list(range(7))
    assert [picture.part_id for picture in pictures] == [f"line-{number}" for number in range(1, 8)]


def test_a_file_that_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "line.avi").write_bytes(b"not a video at all")
    with pytest.raises(CameraLostError, match=r"line\.avi is no video OpenCV can read"):
        camera_for({"kind": "video", "file": tmp_path / "line.avi"}).open()


# RTSP: a server of our own, over TCP on loopback


def test_a_streams_pictures_are_what_the_server_sent_in_their_colours() -> None:
    def painted(number: int) -> np.ndarray:
        pixels = colour(number)
        pixels[:, : SIZE // 2, 0] = 220  # red is more, not blue
        return pixels

    with RtspServer(painted, fps=50) as server, camera_for({"kind": "rtsp", "url": server.url}) as camera:
        red, _, blue = camera.grab().pixels[: SIZE // 2, :48].reshape(-1, 3).mean(axis=0)
    assert red > blue + 30


def test_a_broken_stream_is_opened_anew_and_its_numbers_go_on_where_the_server_is(quick_retry: None) -> None:
    with RtspServer(colour, fps=50) as server:
        line = Line(lambda: camera_for({"kind": "rtsp", "url": server.url, "picture_seconds": 1}))
        with line.thread:
            first = line.next()
            assert isinstance(first, Frame)
            assert read(first.pixels) is not None
            server.cut()
            assert [line.state()[0] for _ in range(3)] == [CameraState.RUNNING, CameraState.LOST, CameraState.RUNNING]
            assert server.sessions == 2
            assert eventually(lambda: line.thread.counts.frames > 3)


def test_a_stream_that_keeps_its_connection_and_sends_nothing_is_lost(quick_retry: None) -> None:
    with RtspServer(colour, fps=50) as server:
        line = Line(lambda: camera_for({"kind": "rtsp", "url": server.url, "picture_seconds": 1}))
        with line.thread:
            line.next()
            server.paused.set()
            assert line.state()[0] is CameraState.RUNNING
            state, why = line.state()
    assert state is CameraState.LOST
    assert "no picture for 1.0 s" in why or "broken off" in why


def test_a_server_that_takes_the_connection_and_never_answers_is_given_up_in_time() -> None:
    with RtspServer(colour, silent=True) as server:
        camera = camera_for({"kind": "rtsp", "url": server.url, "open_seconds": 1})
        begun = time.monotonic()
        with pytest.raises(CameraLostError, match="given up after at most 1 s"):
            camera.open()
        assert time.monotonic() - begun < 5


def test_a_stream_that_does_not_answer_only_delays_the_others() -> None:
    """OpenCV opens one at a time; the one that has to wait says so instead of hanging."""
    with RtspServer(colour, silent=True) as silent, RtspServer(colour, fps=50) as sound:
        stuck = camera_for({"kind": "rtsp", "url": silent.url, "open_seconds": 2})

        def wait_in_vain() -> None:
            with contextlib.suppress(CameraLostError):
                stuck.open()

        waits = threading.Thread(target=wait_in_vain)
        waits.start()
        time.sleep(0.3)
        with pytest.raises(CameraLostError, match="another stream is being opened"):
            camera_for({"kind": "rtsp", "url": sound.url, "open_seconds": 1}).open()
        waits.join(SECONDS)
        with camera_for({"kind": "rtsp", "url": sound.url, "open_seconds": 5}) as camera:
            assert camera.grab().pixels.size


def test_the_password_of_a_stream_is_told_to_nobody() -> None:
    camera = camera_for({"kind": "rtsp", "url": "rtsp://user:hush@127.0.0.1:9/line", "open_seconds": 1})
    with pytest.raises(CameraLostError) as error:
        camera.open()
    assert "hush" not in str(error.value)


# Basler, emulated by pylon


@pytest.mark.xdist_group("basler")
def test_a_trigger_gets_the_picture_that_was_due_then(tmp_path: Path) -> None:
    line = Line(lambda: camera_for(numbered_basler(tmp_path / "numbers", 40)))
    seen: list[tuple[int | None, str, int]] = []
    with line.thread:
        for number in range(1, 31):
            answer = line.thread.trigger(f"P-{number}")
            frame = line.next()
            assert isinstance(frame, Frame)
            assert frame.frame_id == answer.frame_id
            seen.append((read(frame.pixels), answer.part_id, answer.camera_sequence))
    # The emulation shows file after file; which is the first is its own affair.
    first = seen[0][0]
    assert first is not None
    assert seen == [((first + place) % 40, f"P-{place + 1}", place + 1) for place in range(30)]


@pytest.mark.xdist_group("basler")
def test_a_buffer_that_was_not_filled_is_half_a_picture_and_the_next_one_is_fine(tmp_path: Path) -> None:
    pytest.importorskip("pypylon", reason="pypylon is not installed: pip install 'lineside[basler]'")
    fields = {"kind": "basler", "width": SIZE, "height": SIZE, "acquisition": "free", "fps": 50, "checks": NOISY}
    with camera_for(fields) as camera:
        camera.grab()
        camera._device.ForceFailedBufferCount.Value = 1  # type: ignore[attr-defined]
        camera._device.ForceFailedBuffer.Execute()  # type: ignore[attr-defined]
        bad = next(item for item in (outcome(camera) for _ in range(20)) if isinstance(item, BadPictureError))
        assert bad.reason is Reason.IMAGE_HALF
        assert bad.number is not None
        assert camera.grab().pixels.shape == (SIZE, SIZE)


@pytest.mark.xdist_group("basler")
def test_a_hardware_trigger_is_set_on_the_camera_and_nothing_comes_without_its_signal() -> None:
    pytest.importorskip("pypylon", reason="pypylon is not installed: pip install 'lineside[basler]'")
    fields = {"acquisition": "hardware", "trigger_line": "Line3", "trigger_edge": "falling", "trigger_delay_us": 250}
    with camera_for({"kind": "basler", "serial": "0815-0001", **fields}) as camera:
        device = camera._device  # type: ignore[attr-defined]
        nodes = [
            device.TriggerMode.Value,
            device.TriggerSource.Value,
            device.TriggerActivation.Value,
            device.TriggerDelay.Value,
        ]
        assert nodes == ["On", "Line3", "FallingEdge", 250.0]
        assert camera.pace is Pace.LINE
        with pytest.raises(NoPictureError):
            camera.grab(0.3)


# GenTL


@pytest.mark.xdist_group("genicam")
def test_a_camera_without_a_trigger_is_not_taken_for_one_that_has_it() -> None:
    with pytest.raises(CameraLostError, match="acquisition: the camera has none of TriggerMode to set"):
        camera_for({"kind": "genicam", "producer": viky()}).open()


@pytest.mark.xdist_group("genicam")
def test_a_file_that_is_no_producer_is_said(tmp_path: Path) -> None:
    viky()  # skips where the libraries are missing
    (tmp_path / "false.cti").write_bytes(b"no library")
    with pytest.raises(CameraLostError):
        camera_for({"kind": "genicam", "producer": tmp_path / "false.cti"}).open()
    with pytest.raises(CameraLostError, match=r"none\.cti is not there"):
        camera_for({"kind": "genicam", "producer": tmp_path / "none.cti"}).open()


# GigE Vision, Aravis' fake camera on loopback


@pytest.mark.xdist_group("aravis")
def test_a_camera_that_dies_is_lost_and_found_again_when_it_is_back(quick_retry: None) -> None:
    line = Line(lambda: camera_for(aravis(acquisition="free", picture_seconds=1)))
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(fake_gige_camera())
        second.enter_context(line.thread)
        line.next()
        first.close()
        assert [line.state()[0] for _ in range(2)] == [CameraState.RUNNING, CameraState.LOST]
        before = line.thread.counts.frames
        with fake_gige_camera():
            assert line.state()[0] is CameraState.RUNNING
            assert eventually(lambda: line.thread.counts.frames > before)
            second.close()


@pytest.mark.xdist_group("aravis")
def test_a_count_of_sixteen_bits_goes_round_without_a_gap_or_a_late_picture() -> None:
    """The fake camera begins to count shortly before 65535."""
    numbers: list[int] = []
    with fake_gige_camera(), camera_for(aravis(acquisition="hardware", trigger_line="Line0")) as camera:
        # Not the trigger but its pace: every picture counts. The camera itself is let run freely.
        camera._device.write("TriggerMode", "Off")  # type: ignore[attr-defined]
        while len(numbers) < 160:
            came = outcome(camera)  # a busy machine loses packets: a half picture has its number all the same
            assert getattr(came, "reason", Reason.IMAGE_HALF) is Reason.IMAGE_HALF
            assert came.missing == 0
            assert came.number is not None
            numbers.append(came.number)
    assert numbers[0] > 60000 > numbers[-1] > 0


@pytest.mark.xdist_group("aravis")
def test_pictures_with_lost_packets_are_halves_with_their_numbers() -> None:
    with fake_gige_camera("-r", "30"), camera_for(aravis(acquisition="free", width=512, height=512)) as camera:
        outcomes = [outcome(camera) for _ in range(40)]
    halves = [item for item in outcomes if isinstance(item, BadPictureError)]
    assert halves
    assert {item.reason for item in halves} == {Reason.IMAGE_HALF}
    assert all("did not arrive whole" in str(item) for item in halves)
    assert all(item.number is not None for item in outcomes)


@pytest.fixture
def debouncing(tmp_path: Path) -> Path:
    """The fake camera's own description, with a debouncer added that writes to a register it really has."""
    with fake_gige_camera():
        told = subprocess.run(
            ["arv-tool-0.8", "-n", f"Aravis-Fake-{FAKE_SERIAL}", "genicam"], capture_output=True, text=True, check=True
        ).stdout
    added = '<Integer Name="LineDebouncerTime" NameSpace="Standard"><pValue>TestRegister</pValue></Integer>'
    description = re.sub(r'(<Boolean Name="TestBoolean")', rf"{added}\n\1", told[told.index("<?xml") :], count=1)
    description = description.replace(
        "<pFeature>TestRegister</pFeature>", "<pFeature>TestRegister</pFeature><pFeature>LineDebouncerTime</pFeature>"
    )
    (tmp_path / "fake.xml").write_text(description)
    return tmp_path / "fake.xml"


@pytest.mark.xdist_group("aravis")
def test_the_debounce_time_reaches_the_camera(debouncing: Path) -> None:
    with fake_gige_camera("-g", str(debouncing)):
        with camera_for(aravis(acquisition="hardware", trigger_line="Line0", debounce_us=75)):
            pass
        told = subprocess.run(
            ["arv-tool-0.8", "-n", f"Aravis-Fake-{FAKE_SERIAL}", "control", "LineDebouncerTime"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert re.search(r"LineDebouncerTime = 75\b", told)
