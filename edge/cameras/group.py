"""All cameras of a station, started and stopped together: one that hangs costs the others no time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from edge.cameras.thread import CameraThread

STOP_SECONDS = 6.0
"""For all of them together, so that the station has ended within ten seconds."""


class CameraGroup:
    """A context manager over cameras by name."""

    def __init__(self, cameras: Mapping[str, CameraThread]) -> None:
        self._cameras = cameras

    def __enter__(self) -> CameraGroup:
        for camera in self._cameras.values():
            camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        until = time.monotonic() + STOP_SECONDS
        for camera in self._cameras.values():
            camera.stop()
        for camera in self._cameras.values():
            camera.close(until_monotonic=until)
