"""Frames, inspections and feedback for tests of the mentoring log, in a few words."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np

from edge.frame import Frame
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.selection import Selection
from edge.mentoring.settings import MentoringSettings
from lineside.ids import detection_id, new_frame_id
from lineside.records import Gesture
from lineside.v1 import mentoring_pb2

CHOSEN = Selection(because="any_detection", probability=1.0)
MODEL = ModelIdentity(name="tiles", version="1.0.0", digest="sha256:" + "1" * 64)


def settings(**changes: Any) -> MentoringSettings:
    """Of a log for tests: it takes what disk there is, and looks often whether a trouble is over."""
    return MentoringSettings(**({"keep_free_mb": 0, "reserve_mb": 1, "retry_seconds": 0.01} | changes))


def frame(
    *, frame_id: str | None = None, seed: int = 0, side: int = 8, colour: bool = False, source: bytes | None = None
) -> Frame:
    """A frame of random pixels, the same for the same seed."""
    shape = (side, side, 3) if colour else (side, side)
    return Frame(
        frame_id=frame_id or new_frame_id(),
        camera="top",
        part_id=f"part-{seed}",
        camera_sequence=seed,
        captured_unix_ns=1_700_000_000_000_000_000 + seed,
        captured_monotonic_ns=seed,
        pixels=np.random.default_rng(seed).integers(0, 256, shape, np.uint8),
        source=source,
        source_suffix="" if source is None else "png",
    )


def inspection(shown: Frame, *, detections: int = 2, class_name: str = "dent") -> Inspection:
    """The station's answer for a frame; the detections have falling scores."""
    return Inspection(
        frame_id=shown.frame_id,
        station="line-1",
        camera=shown.camera,
        part_id=shown.part_id,
        verdict=Verdict.REJECT if detections else Verdict.PASS,
        verdict_reason="any defect rejects" if detections else "",
        detections=tuple(
            Detection(
                detection_id=detection_id(shown.frame_id, number),
                class_index=0,
                class_name=class_name,
                score=0.9 - number / 100,
                box=(0.0, 0.0, 4.0, 4.0),
                areas=np.array([number, number + 7], np.int32),
            )
            for number in range(detections)
        ),
        model=MODEL,
        timings=Timings(),
        width=shown.width,
        height=shown.height,
        captured_unix_ns=shown.captured_unix_ns,
        captured_monotonic_ns=shown.captured_monotonic_ns,
        camera_sequence=shown.camera_sequence,
        mentored=True,
    )


def feedback(
    frame_id: str,
    number: int | None = 0,
    gesture: Gesture = Gesture.CONFIRM,
    *,
    key: str | None = None,
    revision: int = 1,
    operator: str = "ada",
    class_name: str = "",
    box: tuple[float, float, float, float] | None = None,
    missed_index: int = 0,
    seconds: float = 1.5,
) -> mentoring_pb2.Feedback:
    """A message; `number` is the detection's, None: about the frame."""
    return mentoring_pb2.Feedback(
        key=key or str(uuid.uuid4()),
        frame_id=frame_id,
        detection_id="" if number is None else detection_id(frame_id, number),
        gesture=mentoring_pb2.Gesture.ValueType(gesture.value),
        class_name=class_name,
        box=None if box is None else mentoring_pb2.Box(x1=box[0], y1=box[1], x2=box[2], y2=box[3]),
        revision=revision,
        operator=operator,
        seconds=seconds,
        missed_index=missed_index,
    )


def pictures_in(root: Path) -> dict[str, bytes]:
    """The picture files of a log, by name."""
    return {path.name: path.read_bytes() for path in (root / "images").rglob("*") if path.is_file()}
