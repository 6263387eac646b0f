"""Watches a live line: frames inspected, frames lost, alarms per part, by camera and lately."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Mapping
from types import TracebackType

from lineside.client.inspection import EventStream, InspectionClient
from lineside.v1 import inspection_pb2

LATELY = 40
"""Parts over which alarms per part are told."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one camera."""

    inspected: int = 0
    """Frames with PASS or REJECT."""
    no_verdict: int = 0
    lost: int = 0
    """Numbers missing between the camera's first and last frame."""
    alarms: int = 0
    """Detections in all."""
    lately: float = 0.0
    """Detections a part, over the latest parts since the last `forget`."""


class LineObserver:
    """Counts in a thread of its own from entering to leaving; a context manager.

    Args:
        grpc: HOST:PORT of the station.
        cameras: whose numbers are counted by the camera itself, so that a missing one is a lost frame.
        on_inspection: called with every inspection, from the observer's thread.
    """

    def __init__(
        self,
        grpc: str,
        cameras: tuple[str, ...],
        on_inspection: Callable[[inspection_pb2.InspectionResult], None] | None = None,
    ) -> None:
        self._client = InspectionClient(grpc)
        self._cameras = cameras
        self._on_inspection = on_inspection
        self._changed = threading.Condition()
        self._numbers: dict[str, tuple[int, int, int]] = {}
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._lately: dict[str, collections.deque[int]] = {}
        self._failure: BaseException | None = None
        self._events: EventStream | None = None
        self._thread = threading.Thread(target=self._run, name="line observer", daemon=True)

    def __enter__(self) -> LineObserver:
        self._events = self._client.watch()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()
            self._thread.join()
        self._client.close()

    def seen(self) -> Mapping[str, Seen]:
        """By camera.

        Raises:
            RuntimeError: the observer could not go on.
        """
        with self._changed:
            return self._seen()

    def forget(self) -> None:
        """Alarms per part are told of parts from now on."""
        with self._changed:
            self._lately.clear()

    def wait_for(self, camera: str, parts: int, timeout: float) -> Seen:
        """Waits until so many parts were inspected since the last `forget` (at most LATELY).

        Raises:
            TimeoutError: they were not in this many seconds.
            RuntimeError: the observer could not go on.
        """
        with self._changed:
            enough = min(parts, LATELY)
            reached = self._changed.wait_for(
                lambda: self._failure is not None or len(self._lately.get(camera, ())) >= enough, timeout
            )
            seen = self._seen()
            if not reached:
                raise TimeoutError(f"camera {camera} showed fewer than {parts} parts in {timeout:.0f} s")
            return seen[camera]

    def _seen(self) -> dict[str, Seen]:
        if self._failure is not None:
            raise RuntimeError(f"the line can no longer be watched: {self._failure}") from self._failure
        cameras = {camera for camera, _ in self._counts}
        return {camera: self._one(camera) for camera in sorted(cameras)}

    def _one(self, camera: str) -> Seen:
        lost = 0
        if camera in self._numbers:
            first, last, count = self._numbers[camera]
            lost = last - first + 1 - count
        lately = self._lately.get(camera, ())
        return Seen(
            inspected=self._counts[camera, "inspected"],
            no_verdict=self._counts[camera, "no verdict"],
            lost=lost,
            alarms=self._counts[camera, "alarms"],
            lately=sum(lately) / len(lately) if lately else 0.0,
        )

    def _run(self) -> None:
        assert self._events is not None
        try:
            for event in self._events:
                if event.HasField("gap"):
                    raise RuntimeError(f"decisions were lost before they were counted: {event.gap.cause}")
                if event.HasField("inspection"):
                    self._count(event.inspection)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _count(self, result: inspection_pb2.InspectionResult) -> None:
        camera, number = result.camera, result.camera_sequence
        with self._changed:
            judged = result.verdict != inspection_pb2.VERDICT_NO_VERDICT
            self._counts[camera, "inspected" if judged else "no verdict"] += 1
            self._counts[camera, "alarms"] += len(result.detections)
            self._lately.setdefault(camera, collections.deque(maxlen=LATELY)).append(len(result.detections))
            if camera in self._cameras:
                first, last, count = self._numbers.get(camera, (number, number, 0))
                self._numbers[camera] = (min(first, number), max(last, number), count + 1)
            self._changed.notify_all()
        if self._on_inspection is not None:
            self._on_inspection(result)
