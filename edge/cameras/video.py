"""A video file as a camera: one frame after another, as fast as the station takes them or at its `fps`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from edge.cameras.contract import BadPictureError, Camera, CameraEndedError, CameraLostError, CameraSettings, Picture
from edge.cameras.ffmpeg import open_capture
from lineside.reasons import Reason


class VideoCameraSettings(CameraSettings):
    """`kind = "video"`."""

    kind: Literal["video"]
    file: Path
    """Anything OpenCV's FFmpeg reads: AVI, MP4, MKV."""
    loop: bool = False
    """Begin again after the last frame. Otherwise the camera ends."""


class VideoCamera(Camera):
    """Gives each frame once per round; each can be triggered. The part id is the file's name and the frame's number."""

    def __init__(self, settings: VideoCameraSettings) -> None:
        super().__init__(settings)
        self._file = settings.file
        self._loop = settings.loop
        self._capture: Any = None
        self._number = 0

    def _open(self) -> None:
        if not self._file.is_file():  # a pipe would not do: opening it may block for ever
            raise CameraLostError(f"there is no video file {self._file}")
        self._rewind()

    def _rewind(self) -> None:
        """Opened anew: seeking to a frame is not exact in every container."""
        if self._capture is not None:
            self._capture.release()
        self._capture = open_capture(
            str(self._file), open_seconds=self.settings.open_seconds, read_seconds=self.settings.picture_seconds
        )
        self._number = 0
        if not self._capture.isOpened():
            self._close()
            raise CameraLostError(f"{self._file.name} is no video OpenCV can read")

    def _grab(self, seconds: float) -> Picture:  # noqa: ARG002 - a file does not keep one waiting
        there, frame = self._capture.read()
        if not there:
            if self._number == 0:
                raise CameraLostError(f"{self._file.name} holds no frame that can be decoded")
            if not self._loop:
                raise CameraEndedError(f"the last of {self._number} frames of the video has been shown")
            self._rewind()
            there, frame = self._capture.read()
            if not there:
                raise CameraLostError(f"{self._file.name} cannot be read any more")
        self._number += 1
        part_id = f"{self._file.stem[:200]}-{self._number}"
        if frame is None or frame.ndim != 3:
            raise BadPictureError(Reason.IMAGE_DECODE, f"frame {self._number} cannot be decoded", part_id)
        return Picture(pixels=cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), part_id=part_id)

    def _close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
