"""Network streams (RTSP) and cameras of the operating system (V4L2), both by OpenCV.

They send by themselves and number nothing, so they cannot be triggered: no frame of a stream can be shown to have been
taken after a given moment. For watching, for trying out, for lines that stop under the camera; not for a part that
moves. A reader thread takes every frame as it comes and keeps the newest: what is not read grows old in the stream's
buffers.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import pydantic

from edge.cameras.checks import NETWORK_STREAM, SENSOR
from edge.cameras.contract import Camera, CameraLostError, CameraSettings, NoPictureError, Pace, Picture
from edge.cameras.ffmpeg import open_capture

_JOIN_SECONDS = 2.0


class RtspCameraSettings(CameraSettings):
    """`kind = "rtsp"`. `fps`: so many frames a second are judged at most; 0: every newest one."""

    kind: Literal["rtsp"]
    url: str = pydantic.Field(pattern=r"^rtsps?://.+")
    """As the camera gives it. It is never logged: it may hold a password."""
    open_seconds: float = pydantic.Field(default=10.0, gt=0, le=120)
    """Seconds for connecting and the first packets."""


class V4l2CameraSettings(CameraSettings):
    """`kind = "v4l2"`. `fps`, `width` and `height` are asked of the camera."""

    kind: Literal["v4l2"]
    device: str = "/dev/video0"
    """The device file; /dev/v4l/by-id/... stays the same over a restart."""
    fourcc: str | None = pydantic.Field(default=None, min_length=4, max_length=4)
    """Coding asked of the camera, e.g. "MJPG", "YUYV". Absent: as the camera has it."""


class StreamCamera(Camera):
    """What both have in common: the reader thread and its newest frame."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        self._newest: _Newest | None = None

    @property
    def pace(self) -> Pace:
        """Its own."""
        return Pace.CAMERA

    def _grab(self, seconds: float) -> Picture:
        assert self._newest is not None
        frame, number = self._newest.take(seconds)
        return Picture(pixels=cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), number=number)

    def _close(self) -> None:
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.close()

    def _read(self, capture: Any, what: str) -> None:
        """Begins to read an open capture, which the reader gives back."""
        if not capture.isOpened():
            raise CameraLostError(f"{what} cannot be opened")
        self._newest = _Newest(f"reader {self.settings.name}", capture)


class RtspCamera(StreamCamera):
    """A network camera, over TCP."""

    check_defaults = NETWORK_STREAM

    def __init__(self, settings: RtspCameraSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def _open(self) -> None:
        settings = self._settings
        capture = open_capture(settings.url, open_seconds=settings.open_seconds, read_seconds=settings.picture_seconds)
        self._read(capture, f"the stream (given up after at most {settings.open_seconds:.0f} s)")


class V4l2Camera(StreamCamera):
    """A camera of the operating system."""

    check_defaults = SENSOR

    def __init__(self, settings: V4l2CameraSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def _open(self) -> None:
        settings = self._settings
        capture = cv2.VideoCapture(settings.device, cv2.CAP_V4L2)
        if capture.isOpened():
            if settings.fourcc is not None:
                capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.fourcc))
            for what, value in (
                (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
                (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
                (cv2.CAP_PROP_FPS, settings.fps or None),
            ):
                if value is not None:
                    capture.set(what, value)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        self._read(capture, f"device {settings.device}")


class _Newest:
    """Reads a capture in a thread of its own and keeps the newest frame. Its numbers count what was read."""

    def __init__(self, name: str, capture: Any) -> None:
        self._capture = capture
        self._changed = threading.Condition()
        self._frame: Any = None
        self._number = 0
        self._given = 0
        self._failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self, seconds: float) -> tuple[Any, int]:
        """The newest frame that was not given yet, BGR, and its number.

        Raises:
            NoPictureError: none in that time.
            CameraLostError: the stream has ended or broken.
        """
        ready: Callable[[], bool] = lambda: self._number > self._given or self._failed  # noqa: E731
        with self._changed:
            if not self._changed.wait_for(ready, seconds):
                raise NoPictureError
            if self._number == self._given:
                raise CameraLostError("the stream has broken off")
            self._given = self._number
            return self._frame, self._number

    def close(self) -> None:
        """Ends the thread; one that hangs in a read gives the capture back when it returns."""
        self._closed = True
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._capture.release)
            while not self._closed:
                there, frame = self._capture.read()
                with self._changed:
                    if there and frame is not None:
                        self._frame, self._number = frame, self._number + 1
                    else:
                        self._failed = True
                    self._changed.notify_all()
                    if self._failed:
                        return
