"""A stream of parts as a station sees it, and what a policy has an operator answer of it (`benchmarks.selection`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.ask_settings import AskingSettings
from edge.mentoring.selection import Selector
from edge.mentoring.settings import AnyDetectionSettings, AuditSettings
from lineside.boxes import as_boxes, clip, iou
from lineside.candidates import candidates_below
from lineside.decode import Found, decode_outputs
from lineside.ids import detection_id, new_frame_id
from lineside.pixels import Pixels, letterboxed
from lineside.records import FeedbackEvent, RecordedDetection, RecordedFrame
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.data.account import Ledger
from training.data.lessons import Lessons, MentoringData, Wanted
from training.data.merging import Told
from training.data.prepared import letterbox_for
from training.data.sample import Dataset
from training.evaluate.predictor import TOP_K, Predictor
from training.models.candidates import top_candidates
from training.models.config import DetectorConfig
from training.simulation.judging import Pace, right_answer
from training.simulation.truth import Truth

PACE = Pace()
FLOOR = 0.05
SECONDS_BETWEEN = 2


class Part(NamedTuple):
    """One part of the stream: what the model said, and what is true."""

    frame_id: str
    pixels: Pixels
    raised: tuple[Detection, ...]
    below: tuple[Detection, ...]
    truth: Truth
    found_defects: tuple[bool, ...]
    """Of each defect, whether it was raised under its class."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Parts in the order in which they come."""

    parts: tuple[Part, ...]
    thresholds: dict[str, float]

    @classmethod
    def of(cls, predictor: Predictor, dataset: Dataset, *, seed: int) -> Stream:
        """What a model says about a set, in an order drawn by the seed."""
        order = np.random.default_rng([seed, 11]).permutation(len(dataset))
        parts = []
        for number, place in enumerate(order.tolist()):
            sample = dataset[place]
            frame_id = new_frame_id(number * 1_000_000, np.random.default_rng([seed, number]).bytes(10))
            pixels = sample.picture.read()
            raised, below = _looked_at(predictor, pixels, frame_id, dataset.classes)
            truth = Truth(boxes=sample.boxes, classes=tuple(dataset.classes[kind] for kind in sample.classes))
            parts.append(Part(frame_id, pixels, raised, below, truth, tuple(_found(raised, truth))))
        thresholds = dict(zip(dataset.classes, predictor.thresholds.tolist(), strict=True))
        return cls(parts=tuple(parts), thresholds=thresholds)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered, in order: part, detection and the seconds spent until then."""

    clicks: tuple[tuple[Part, Detection, float], ...]
    searched: frozenset[str]
    """Frame ids."""

    def first(self, clicks: int) -> Answered:
        """What fits into the time of so many clicks."""
        kept = tuple(item for item in self.clicks if item[2] <= clicks * PACE.click)
        return dataclasses.replace(self, clicks=kept)


def answered(stream: Stream, asking: AskingSettings, *, seed: int, audit: float, clicks: int) -> Answered:
    """What an operator is asked by a station's selector until the time of so many clicks is used up.

    Args:
        stream: of parts.
        asking: the policies.
        seed: of their draws.
        audit: share of all parts that is searched whole, out of the same time.
        clicks: the budget, as so many clicks.
    """
    selector = Selector([AnyDetectionSettings(), AuditSettings(share=audit)], seed, asking=asking)
    done: list[tuple[Part, Detection, float]] = []
    searched: set[str] = set()
    spent = 0.0
    for number, part in enumerate(stream.parts):
        chosen = selector.choose(
            _inspection(part, number), thresholds=stream.thresholds, pixels=part.pixels, candidates=part.below
        )
        if chosen is None or chosen.questions is None:
            continue
        if chosen.search is not None:
            searched.add(part.frame_id)
            spent += PACE.search
        for detection in (*part.raised, *part.below):
            asked = chosen.questions.get(detection.detection_id)
            if asked is not None and asked.because:
                spent += PACE.click
                done.append((part, detection, spent))
        if spent >= clicks * PACE.click:
            break
    return Answered(clicks=tuple(done), searched=frozenset(searched))


def lessons_of(stream: Stream, said: Answered, config: DetectorConfig) -> MentoringData:
    """The answers as lessons: exactly what training reads out of a log."""
    ledger = Ledger()
    lessons = Lessons(config, Wanted(whole_frames=False), ledger)
    by_frame: dict[str, list[tuple[Detection, int]]] = {}
    for sequence, (part, detection, _) in enumerate(said.clicks, 1):
        by_frame.setdefault(part.frame_id, []).append((detection, sequence))
    head = config.head_for(config.width, config.height)
    for part in stream.parts:
        if part.frame_id not in by_frame:
            continue
        lessons.add(
            Told(
                frame_id=part.frame_id,
                frame=_frame(part),
                detections=tuple(_recorded(item) for item in (*part.raised, *part.below)),
                events=tuple(_event(part, item, sequence) for item, sequence in by_frame[part.frame_id]),
                recorded_head=head,
                picture=lambda part=part: part.pixels,  # type: ignore[misc]
            )
        )
    return lessons.result(frames=len(by_frame), answers=len(said.clicks))


@torch.no_grad()
def _looked_at(
    predictor: Predictor, pixels: Pixels, frame_id: str, classes: Sequence[str]
) -> tuple[tuple[Detection, ...], tuple[Detection, ...]]:
    config = predictor.config
    geometry = letterbox_for(config, pixels)
    picture = letterboxed(pixels, geometry, channels=config.channels, padding=config.padding)
    output = predictor.detector(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    names = ("boxes", "scores", "classes", "areas")
    values = (value[0].cpu().numpy() for value in top_candidates(output, TOP_K))
    outputs = dict(zip(names, values, strict=True))
    head, parameters = predictor.detector.head, predictor.parameters
    raised = decode_outputs(outputs, head, thresholds=predictor.thresholds, parameters=parameters)
    below = candidates_below(
        outputs, head, raised, thresholds=predictor.thresholds, down_to=FLOOR, parameters=parameters
    )

    def in_frame(found: Found, first: int) -> tuple[Detection, ...]:
        boxes = clip(geometry.to_frame(found.boxes), geometry.frame_width, geometry.frame_height)
        return tuple(
            Detection(
                detection_id=detection_id(frame_id, first + number),
                class_index=int(kind),
                class_name=classes[int(kind)],
                score=float(score),
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                areas=areas,
            )
            for number, (box, score, kind, areas) in enumerate(
                zip(boxes, found.scores, found.classes, found.areas, strict=True)
            )
        )

    return in_frame(raised, 0), in_frame(below, len(raised))


def _found(raised: Sequence[Detection], truth: Truth) -> list[bool]:
    return [
        any(
            item.class_name == name and iou(as_boxes([item.box]), as_boxes([box]))[0, 0] >= 0.1  # as a person sees it
            for item in raised
        )
        for box, name in zip(truth.boxes, truth.classes, strict=True)
    ]


def _inspection(part: Part, number: int) -> Inspection:
    height, width = part.pixels.shape[:2]
    return Inspection(
        frame_id=part.frame_id,
        station="replayed",
        camera="replayed",
        part_id=part.frame_id,
        verdict=Verdict.REJECT if part.raised else Verdict.PASS,
        verdict_reason="found" if part.raised else "",
        detections=part.raised,
        model=ModelIdentity(name="baseline", version="1", digest="sha256:" + "0" * 64),
        timings=Timings(),
        width=width,
        height=height,
        captured_unix_ns=number * SECONDS_BETWEEN * 10**9,
        captured_monotonic_ns=number,
        camera_sequence=number,
        mentored=False,
    )


def _frame(part: Part) -> RecordedFrame:
    height, width = part.pixels.shape[:2]
    return RecordedFrame(
        frame_id=part.frame_id,
        boot_id="replayed",
        station="replayed",
        camera="replayed",
        part_id=part.frame_id,
        camera_sequence=0,
        width=width,
        height=height,
        captured_unix_ns=0,
        captured_monotonic_ns=0,
        image_sha256=part.frame_id,
        image_suffix="",
        image_bytes=0,
        model_digest="",
        verdict="REJECT" if part.raised else "PASS",
        verdict_reason="",
        selected_because="any_detection",
        selection_probability=1.0,
        recorded_unix_ns=0,
    )


def _recorded(item: Detection) -> RecordedDetection:
    return RecordedDetection(
        detection_id=item.detection_id,
        class_index=item.class_index,
        class_name=item.class_name,
        score=item.score,
        box=item.box,
        areas=item.areas,
    )


def _event(part: Part, item: Detection, sequence: int) -> FeedbackEvent:
    x1, y1, x2, y2 = item.box
    shown = inspection_pb2.Detection(
        detection_id=item.detection_id,
        class_name=item.class_name,
        score=item.score,
        box=mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2),
    )
    gesture, class_name = right_answer(shown, part.truth)
    return FeedbackEvent(
        log_sequence=sequence,
        key=f"simulated-{sequence}",
        frame_id=part.frame_id,
        detection_id=item.detection_id,
        gesture=gesture,
        class_name=class_name,
        box=None,
        missed_index=0,
        revision=1,
        operator="simulated",
        seconds=PACE.click,
        client_unix_ns=sequence,
        received_unix_ns=sequence,
    )
