"""Mentoring logs with a known story, for tests of the replay: each part is a picture, detections, and what was said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support import packages
from support.mentoring import feedback, settings

from edge.frame import Frame
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.selection import Selection
from lineside.ids import detection_id, new_frame_id
from lineside.mentoring_log import MentoringLogReader, image_path
from lineside.package import Package
from lineside.records import BoxTuple, Gesture

SECONDS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Word:
    """What was said: about detection `number`, or about the frame."""

    gesture: Gesture
    number: int | None = 0
    class_name: str = ""
    box: BoxTuple | None = None
    operator: str = "ada"
    revision: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One part as the station kept it; `detections` are (class, box)."""

    part_id: str
    pixels: NDArray[np.uint8]
    detections: tuple[tuple[str, BoxTuple], ...] = ()
    words: tuple[Word, ...] = ()
    probability: float = 1.0


def cell(row: int, column: int) -> BoxTuple:
    """The box of an area of `support.packages`, in the pixels of a frame of its own size."""
    step = packages.STRIDE
    return (column * step, row * step, (column + 1) * step, (row + 1) * step)


def dent(part_id: str, gesture: Gesture, *, brightness: float = 0.8, probability: float = 1.0) -> Part:
    """A part with one bright area, raised as a dent and judged once."""
    return Part(
        part_id=part_id,
        pixels=packages.picture(1, 1, brightness=brightness),
        detections=(("dent", cell(1, 1)),),
        words=(Word(gesture=gesture),),
        probability=probability,
    )


def write_log(root: Path, model: Package, parts: list[Part]) -> Path:
    """A log as a station writes it, with every word durable."""
    with MentoringLog(root, settings(), lambda _event, _sequence: None) as log:
        log.model_seen(model)
        for number, part in enumerate(parts):
            frame_id = new_frame_id(1_700_000_000_000_000_000 + number * 1_000_000_000)
            selection = Selection(because="any_detection", probability=part.probability)
            assert log.keep(_frame(part, frame_id, number), _inspection(part, frame_id, number, model), selection)
            for index, word in enumerate(part.words):
                said = feedback(
                    frame_id,
                    word.number,
                    word.gesture,
                    operator=word.operator,
                    revision=word.revision,
                    class_name=word.class_name,
                    box=word.box,
                    missed_index=index + 1 if word.gesture is Gesture.MISSED else 0,
                )
                log.submit(draft_of(said)).result(SECONDS)
    return root


def picture_of(log: Path, part_id: str) -> Path:
    """Where a part's picture lies."""
    with MentoringLogReader(log) as reader:
        frame = next(record.frame for record in reader.records() if record.frame.part_id == part_id)
    return image_path(log, frame.image_sha256, frame.image_suffix)


def _frame(part: Part, frame_id: str, number: int) -> Frame:
    return Frame(
        frame_id=frame_id,
        camera="top",
        part_id=part.part_id,
        camera_sequence=number,
        captured_unix_ns=1_700_000_000_000_000_000 + number,
        captured_monotonic_ns=number,
        pixels=part.pixels,
        source=None,
        source_suffix="",
    )


def _inspection(part: Part, frame_id: str, number: int, model: Package) -> Inspection:
    manifest = model.manifest
    return Inspection(
        frame_id=frame_id,
        station="line-1",
        camera="top",
        part_id=part.part_id,
        verdict=Verdict.REJECT if part.detections else Verdict.PASS,
        verdict_reason="any defect rejects" if part.detections else "",
        detections=tuple(
            Detection(
                detection_id=detection_id(frame_id, place),
                class_index=model.class_names.index(name),
                class_name=name,
                score=0.9 - place / 100,
                box=box,
                areas=np.array([place], np.int32),
            )
            for place, (name, box) in enumerate(part.detections)
        ),
        model=ModelIdentity(name=manifest.name, version=manifest.version, digest=model.digest),
        timings=Timings(),
        width=part.pixels.shape[1],
        height=part.pixels.shape[0],
        captured_unix_ns=1_700_000_000_000_000_000 + number,
        captured_monotonic_ns=number,
        camera_sequence=number,
        mentored=True,
    )
