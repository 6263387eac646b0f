"""A mentoring log with everything that can be said in it, made in a moment: for tests of what is carried elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lineside.ids import new_frame_id
from lineside.log.new_log import new_log
from lineside.pixels import encode_lossless, encode_png
from lineside.records import BoxTuple, FeedbackEvent, Gesture, RecordedDetection, RecordedFrame

WIDTH, HEIGHT = 64, 48
DIGEST = "sha256:" + "1" * 64
BOXES: tuple[BoxTuple, ...] = ((4.0, 4.0, 14.0, 12.0), (24.0, 6.0, 36.0, 16.0), (44.0, 20.0, 60.5, 40.25))
"""Of a frame's detections; they do not touch each other. The first two are dents, the third is a scratch."""
DRAWN: BoxTuple = (2.0, 30.0, 12.0, 44.0)
START = 1_700_000_000_000_000_000


def frame_id(number: int) -> str:
    """Of the frame with this number."""
    return new_frame_id(START + number * 1_000_000_000, bytes([number % 256]) * 10)


def picture(number: int) -> bytes:
    """PNG of every second frame, raw netpbm of the others, as a camera's are kept."""
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    return encode_png(pixels) if number % 2 == 0 else encode_lossless(pixels)


def recorded(number: int, *, station: str = "line-1", selected: str = "any_detection") -> RecordedFrame:
    """A frame."""
    data = picture(number)
    return RecordedFrame(
        frame_id=frame_id(number),
        boot_id="boot",
        station=station,
        camera="top",
        part_id=f"part-{number}",
        camera_sequence=number,
        width=WIDTH,
        height=HEIGHT,
        captured_unix_ns=START + number,
        captured_monotonic_ns=number,
        image_sha256=hashlib.sha256(data).hexdigest(),
        image_suffix="png" if number % 2 == 0 else "pgm",
        image_bytes=len(data),
        model_digest=DIGEST,
        verdict="REJECT",
        verdict_reason="",
        selected_because=selected,
        selection_probability=0.5,
        recorded_unix_ns=START + number * 1_000_000_000,
    )


def detections(number: int) -> tuple[RecordedDetection, ...]:
    """Of that frame."""
    return tuple(
        RecordedDetection(
            detection_id=f"{frame_id(number)}/{place}",
            class_index=("dent", "scratch").index(name),
            class_name=name,
            score=0.9 - place / 10,
            box=box,
            areas=np.array([place, place + 9], np.int32),
        )
        for place, (box, name) in enumerate(zip(BOXES, ("dent", "dent", "scratch"), strict=True))
    )


def say(
    frame: int,
    detection: int | None,
    gesture: Gesture,
    *,
    operator: str = "ada",
    revision: int = 1,
    class_name: str | None = None,
    box: BoxTuple | None = None,
    index: int = 0,
) -> FeedbackEvent:
    """An answer; the log numbers it."""
    return FeedbackEvent(
        log_sequence=0,
        key=hashlib.sha256(repr((frame, detection, gesture, operator, revision, box)).encode()).hexdigest()[:32],
        frame_id=frame_id(frame),
        detection_id=None if detection is None else f"{frame_id(frame)}/{detection}",
        gesture=gesture,
        class_name=class_name,
        box=box,
        missed_index=index,
        revision=revision,
        operator=operator,
        seconds=1.5,
        client_unix_ns=START,
        received_unix_ns=START,
    )


def everything() -> tuple[FeedbackEvent, ...]:
    """Frame 0 is complete, 1 healthy, 2 and 3 partly known; 4 was shown to nobody."""
    return (
        say(0, 0, Gesture.CONFIRM),
        say(0, 1, Gesture.REJECT),
        say(0, 2, Gesture.POOR_BOX),
        say(0, None, Gesture.MISSED, class_name="scratch", box=DRAWN, index=1),
        say(0, None, Gesture.FRAME_COMPLETE),
        say(1, None, Gesture.FRAME_HEALTHY, operator="bob"),
        say(2, 0, Gesture.CONFIRM),
        say(2, 1, Gesture.WRONG_CLASS, class_name="scratch"),
        say(2, 2, Gesture.UNSURE),
        say(3, 0, Gesture.REJECT),
        say(3, 1, Gesture.CONFIRM),
        say(3, 1, Gesture.REJECT, operator="bob"),
        say(3, 2, Gesture.CONFIRM),
        say(3, 2, Gesture.RETRACT, revision=2),
    )


def manifest(**more: Any) -> str:
    """A model's, as far as a log's reader looks at it."""
    classes = [{"name": name, "threshold": 0.5} for name in ("dent", "scratch")]
    head = {"cells": {"rows": 6, "columns": 8, "stride": 8}}
    return json.dumps({"classes": classes, "decode": {"exclusive_classes": True}, **head, **more})


def make_log(
    root: Path,
    events: Sequence[FeedbackEvent] | None = None,
    *,
    frames: int = 5,
    station: str = "line-1",
    first: int = 1,
) -> Path:
    """A log of frames 0 to `frames` - 1; `first`: log sequence of the first answer."""
    with new_log(root) as log:
        log.model(
            {
                "digest": DIGEST,
                "name": "parts",
                "version": "1.0.0",
                "manifest": manifest(),
                "first_seen_unix_ns": START,
            }
        )
        add_frames(log, range(frames), station)
        for sequence, event in enumerate(everything() if events is None else events, first):
            log.event(numbered(event, sequence))
    return root


def add_frames(log: Any, numbers: Sequence[int], station: str = "line-1") -> None:
    """Frames with detections and pictures."""
    for number in numbers:
        frame = recorded(number, station=station)
        log.frame(frame, detections(number))
        log.picture(frame, picture(number))


def numbered(event: FeedbackEvent, sequence: int) -> FeedbackEvent:
    """The event in its place."""
    return dataclasses.replace(event, log_sequence=sequence)
