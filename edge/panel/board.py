"""What a screen shows of the station at a glance: the fold of its events. Pure."""

from __future__ import annotations

import collections
import dataclasses

from edge.panel.wire import Json, inspection_json, verdict_word
from lineside.v1 import inspection_pb2

RECENT = 32
"""Verdicts remembered for the row of marks."""
MOST_CAMERAS = 64
"""A caller may invent camera names; the one longest without an event is forgotten beyond this."""

_STATES = {
    inspection_pb2.CAMERA_STATE_RUNNING: "running",
    inspection_pb2.CAMERA_STATE_LOST: "lost",
    inspection_pb2.CAMERA_STATE_ENDED: "ended",
}


@dataclasses.dataclass(slots=True)
class CameraLine:
    """One camera as the board knows it."""

    state: str = "running"
    """running, lost or ended; a caller of gRPC that sends pictures is running."""
    message: str = ""
    last: inspection_pb2.InspectionResult | None = None


class Board:
    """The fold. Belongs to one thread."""

    def __init__(self) -> None:
        self.cameras: dict[str, CameraLine] = {}
        self.counts = {"PASS": 0, "REJECT": 0, "NO_VERDICT": 0}
        self._recent: collections.deque[tuple[int, str]] = collections.deque(maxlen=RECENT)
        self._latest_camera = ""

    def see(self, event: inspection_pb2.StationEvent) -> None:
        """Takes one event in; those it does not show change nothing."""
        kind = event.WhichOneof("event")
        if kind == "inspection":
            result = event.inspection
            line = self._line(result.camera)
            line.last = result
            self._latest_camera = result.camera
            word = verdict_word(result)
            self.counts[word] += 1
            self._recent.append((event.sequence, word))
        elif kind == "camera":
            line = self._line(event.camera.camera)
            line.state = _STATES.get(event.camera.state, "lost")
            line.message = event.camera.message

    def latest(self, camera: str = "") -> inspection_pb2.InspectionResult | None:
        """The last decision about a camera's frame; "": about any."""
        line = self.cameras.get(camera or self._latest_camera)
        return None if line is None else line.last

    def to_json(self) -> Json:
        """For the page."""
        return {
            "cameras": [
                {
                    "name": name,
                    "state": line.state,
                    "message": line.message,
                    "last": None if line.last is None else {**inspection_json(line.last), "detections": []},
                }
                for name, line in sorted(self.cameras.items())
            ],
            "counts": dict(self.counts),
            "recent": [{"sequence": sequence, "verdict": word} for sequence, word in self._recent],
        }

    def _line(self, camera: str) -> CameraLine:
        line = self.cameras.pop(camera, None) or CameraLine()
        self.cameras[camera] = line
        if len(self.cameras) > MOST_CAMERAS:
            del self.cameras[next(iter(self.cameras))]
        return line
