"""Opening what OpenCV reads by FFmpeg. One at a time: OpenCV holds a lock for the whole process meanwhile, so a stream
that does not answer would have the others count as hanging; here they wait a while and try again later instead.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

# A stream's trouble is told once, by the camera's state; FFmpeg's own lines would repeat it with every attempt.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from edge.cameras.contract import CameraLostError

_OPENING = threading.Lock()


def open_capture(source: str, *, open_seconds: float, read_seconds: float) -> Any:
    """An OpenCV capture, which may turn out not to be open.

    Args:
        source: file or URL.
        open_seconds: what opening may take; nine tenths of it are used, so that FFmpeg gives up before its caller does.
        read_seconds: after which a read fails.

    Raises:
        CameraLostError: another camera is being opened all the time.
    """
    until = time.monotonic() + 0.9 * open_seconds
    if not _OPENING.acquire(timeout=0.45 * open_seconds):
        raise CameraLostError("another stream is being opened and does not answer; OpenCV opens one at a time")
    try:
        capture = cv2.VideoCapture()
        left = max(1, round((until - time.monotonic()) * 1000))
        read = max(1, round(read_seconds * 1000))
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, left, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read]
        capture.open(source, cv2.CAP_FFMPEG, limits)
        return capture
    finally:
        _OPENING.release()
