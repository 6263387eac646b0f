"""A camera that sends what a test hands it, and a line that notes what its camera brings to judgement."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import numpy as np
from support.station import Serving

from edge.cameras.contract import Camera, CameraLostError, CameraSettings, CameraState, NoPictureError, Pace, Picture
from edge.cameras.judging import BadFrame
from edge.cameras.thread import CameraThread
from edge.frame import Frame
from edge.inspection import Inspection

SECONDS = 30.0


class Sending(Camera):
    """A camera that sends by itself what it is handed: pixels, a Picture, or a fault; None: it hangs until let go."""

    def __init__(self, pace: Pace = Pace.CAMERA, **settings: object) -> None:
        super().__init__(CameraSettings.model_validate({"name": "top", **settings}))
        self._pace = pace
        self.sent: queue.Queue[Picture | Exception | None] = queue.Queue()
        self.go = threading.Event()
        self.opens = 0
        self.closes = 0

    @property
    def pace(self) -> Pace:
        return self._pace

    def send(self, number: int, *, level: int = 0) -> None:
        pixels = np.full((4, 4), level or 50 + number % 100, np.uint8)
        self.sent.put(Picture(pixels=pixels, number=number))

    def _open(self) -> None:
        self.opens += 1

    def _grab(self, seconds: float) -> Picture:
        try:
            item = self.sent.get(timeout=seconds)
        except queue.Empty:
            raise NoPictureError from None
        if item is None:
            self.go.wait(SECONDS)
            raise CameraLostError("came back")
        if isinstance(item, Exception):
            raise item
        return item

    def _close(self) -> None:
        self.closes += 1


class Line:
    """A camera thread whose judge notes what it is brought, and waits while `hold` is cleared."""

    def __init__(self, make: Callable[[], Camera]) -> None:
        self.serving = Serving(None)
        self.judged: queue.Queue[Frame | BadFrame] = queue.Queue()
        self.states: queue.Queue[tuple[CameraState, str]] = queue.Queue()
        self.hold = threading.Event()
        self.hold.set()
        self.thread = CameraThread(
            make, self._judge, self._judge_bad, lambda _name, state, why: self.states.put((state, why))
        )

    def _judge(self, frame: Frame, deadline: int | None) -> Inspection:
        self.judged.put(frame)
        assert self.hold.wait(SECONDS)
        return self.serving.pipeline.inspect(frame)

    def _judge_bad(self, bad: BadFrame) -> Inspection:
        self.judged.put(bad)
        return self.serving.pipeline.no_picture(
            bad.reason,
            frame_id=bad.frame_id,
            camera=bad.camera,
            part_id=bad.part_id,
            camera_sequence=bad.camera_sequence,
            captured_unix_ns=bad.captured_unix_ns,
            captured_monotonic_ns=bad.captured_monotonic_ns,
        )

    def next(self) -> Frame | BadFrame:
        return self.judged.get(timeout=SECONDS)

    def state(self) -> tuple[CameraState, str]:
        return self.states.get(timeout=SECONDS)
