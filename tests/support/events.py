"""Feedback events and records for tests, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lineside.fold import fold
from lineside.ids import detection_id, new_frame_id
from lineside.records import (
    BoxTuple,
    FeedbackEvent,
    Gesture,
    MentoringRecord,
    RecordedDetection,
    RecordedFrame,
)

FRAME = new_frame_id(1_700_000_000_000_000_000, bytes(10))


def event(
    gesture: Gesture,
    number: int | None = None,
    *,
    sequence: int = 1,
    operator: str = "ada",
    revision: int = 1,
    key: str | None = None,
    class_name: str | None = None,
    box: BoxTuple | None = None,
    missed_index: int = 0,
    seconds: float = 1.5,
) -> FeedbackEvent:
    """`number` is the detection's; None is the frame."""
    return FeedbackEvent(
        log_sequence=sequence,
        key=key or f"key-{operator}-{number}-{missed_index}-{revision}-{sequence}",
        frame_id=FRAME,
        detection_id=None if number is None else detection_id(FRAME, number),
        gesture=gesture,
        class_name=class_name,
        box=box,
        missed_index=missed_index,
        revision=revision,
        operator=operator,
        seconds=seconds,
        client_unix_ns=0,
        received_unix_ns=sequence,
    )


def detection(
    number: int, areas: Sequence[int], *, name: str = "dent", box: BoxTuple = (0, 0, 8, 8)
) -> RecordedDetection:
    return RecordedDetection(
        detection_id=detection_id(FRAME, number),
        class_index=0,
        class_name=name,
        score=0.9,
        box=box,
        areas=np.array(areas, np.int32),
    )


def record(
    detections: Sequence[RecordedDetection], events: Sequence[FeedbackEvent], *, size: tuple[int, int] = (64, 64)
) -> MentoringRecord:
    return MentoringRecord(
        frame=RecordedFrame(
            frame_id=FRAME,
            boot_id="boot",
            station="station",
            camera="camera",
            part_id="part",
            camera_sequence=1,
            width=size[0],
            height=size[1],
            captured_unix_ns=1,
            captured_monotonic_ns=1,
            image_sha256="0" * 64,
            image_suffix="png",
            image_bytes=1,
            model_digest="sha256:" + "0" * 64,
            verdict="REJECT",
            verdict_reason="",
            selected_because="any_detection",
            selection_probability=1.0,
            recorded_unix_ns=1,
        ),
        detections=tuple(detections),
        judgements=fold(events),
    )
