"""The last picture of each camera with what was decided about it, for screens. Keeps one per camera, copies none."""

from __future__ import annotations

import threading

from edge.frame import Frame
from edge.inspection import Inspection

MOST_CAMERAS = 64
"""A caller may invent camera names; the one longest without a picture is forgotten beyond this."""


class LatestPictures:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, tuple[Frame, Inspection]] = {}

    def put(self, frame: Frame, inspection: Inspection) -> None:
        """Takes the place of the camera's last picture."""
        with self._lock:
            self._latest.pop(frame.camera, None)
            self._latest[frame.camera] = (frame, inspection)
            if len(self._latest) > MOST_CAMERAS:
                del self._latest[next(iter(self._latest))]

    def get(self, camera: str) -> tuple[Frame, Inspection] | None:
        """The camera's last picture, or None."""
        with self._lock:
            return self._latest.get(camera)

    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras there is a picture of, the latest last."""
        with self._lock:
            return tuple(self._latest)
