"""A station's log without a station, of parts drawn from a pool: what a factory would hold, while the truth is known.

A frame is drawn from the pool, kept with the probability given for it, and judged by a simulated operator (`judging`);
the answers are folded as the log's reader folds them. Nothing is asked of a model: its detections are in the pool.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.boxes import as_boxes, iou
from lineside.decode import Found
from lineside.fold import fold
from lineside.ids import detection_id
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.simulation.judging import TOUCHES, Character, judge, right_answer
from training.simulation.truth import Truth

MODEL = "sha256:" + "5" * 64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspected:
    """A frame as a station would have decided about it, and the truth."""

    name: str
    shown: inspection_pb2.InspectionResult
    detections: tuple[RecordedDetection, ...]
    truth: Truth

    @property
    def rejected(self) -> bool:
        """By the plain rule: any detection rejects."""
        return bool(self.detections)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Who judges, and how much of what was kept."""

    character: Character
    answered: float = 1.0
    """Share of the kept frames that anybody looks at, whatever is on them."""
    second: float = 0.0
    """Share of those that a second person judges as well, without knowing the first one's answers."""
    usual_sides: Mapping[str, float] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrueFigures:
    """What the pool's frames really are, as a line would meet them: shares 0 to 1, rates per part."""

    precision: Mapping[str | None, float]
    """By class; None: all."""
    recall: Mapping[str | None, float]
    """By class; None: all. A defect counts when it is raised under its class."""
    escapes: float
    false_rejects: float


def inspected(name: str, found: Found, truth: Truth, classes: Sequence[str], *, width: int, height: int) -> Inspected:
    """A frame with its detections at the deployed thresholds."""
    detections = []
    for number, (box, score, kind, areas) in enumerate(
        zip(found.boxes, found.scores, found.classes, found.areas, strict=True)
    ):
        x1, y1, x2, y2 = (float(value) for value in box)
        detections.append(
            RecordedDetection(
                detection_id=detection_id(name, number),
                class_index=int(kind),
                class_name=classes[int(kind)],
                score=float(score),
                box=(x1, y1, x2, y2),
                areas=np.asarray(areas, np.int32),
            )
        )
    shown = inspection_pb2.InspectionResult(
        frame_id=name,
        width=width,
        height=height,
        detections=[
            inspection_pb2.Detection(
                detection_id=item.detection_id,
                class_index=item.class_index,
                class_name=item.class_name,
                score=item.score,
                box=mentoring_pb2.Box(x1=item.box[0], y1=item.box[1], x2=item.box[2], y2=item.box[3]),
            )
            for item in detections
        ],
    )
    return Inspected(name=name, shown=shown, detections=tuple(detections), truth=truth)


def draw_log(
    pool: Sequence[Inspected],
    parts: int,
    *,
    meets: NDArray[np.float64],
    keeps: NDArray[np.float64],
    operators: Operators,
    generator: np.random.Generator,
) -> list[MentoringRecord]:
    """The records of a stretch of the line, one frame a part.

    Args:
        pool: frames to draw from, with replacement.
        parts: how many the line inspects.
        meets: (n,) probability of each to be drawn, sum 1.
        keeps: (n,) probability of each to be kept; 0: no policy looks for such frames.
        operators: who judges.
        generator: of everything.
    """
    return [
        record_of(pool[place], f"{number}", float(keeps[place]), operators, people, generator)
        for number, (place, people) in enumerate(draw_kept(parts, meets, keeps, operators, generator))
    ]


def draw_kept(
    parts: int,
    meets: NDArray[np.float64],
    keeps: NDArray[np.float64],
    operators: Operators,
    generator: np.random.Generator,
) -> list[tuple[int, int]]:
    """The frames that are kept of a stretch of the line: places in the pool, and how many people judge each."""
    drawn = generator.choice(len(meets), parts, p=meets)
    kept = drawn[generator.random(parts) < keeps[drawn]]
    answered = generator.random(len(kept)) < operators.answered
    second = generator.random(len(kept)) < operators.second
    return list(zip(kept.tolist(), np.where(answered, 1 + second, 0).tolist(), strict=True))


def record_of(
    frame: Inspected,
    frame_id: str,
    probability: float,
    operators: Operators,
    people: int,
    generator: np.random.Generator,
) -> MentoringRecord:
    """One kept frame as the log holds it, judged by so many people who do not know each other's answers."""
    events = [
        event
        for person in ("first", "second")[:people]
        for event in _said(frame, frame_id, person, operators, generator)
    ]
    return _record(frame, frame_id, probability, events)


def true_figures(pool: Sequence[Inspected], meets: NDArray[np.float64]) -> TrueFigures:
    """The figures of the line that `draw_log` draws from: what an endless, perfectly judged log would show.

    Args:
        pool: frames.
        meets: (n,) probability of each to be met.
    """
    right: dict[str | None, float] = {}
    raised: dict[str | None, float] = {}
    found: dict[str | None, float] = {}
    there: dict[str | None, float] = {}
    escapes = false_rejects = 0.0

    def add(sums: dict[str | None, float], name: str, amount: float) -> None:
        for key in (None, name):
            sums[key] = sums.get(key, 0.0) + amount

    for frame, weight in zip(pool, meets.tolist(), strict=True):
        for message in frame.shown.detections:
            gesture, _ = right_answer(message, frame.truth)
            add(raised, message.class_name, weight)
            add(right, message.class_name, weight * (gesture in (Gesture.CONFIRM, Gesture.POOR_BOX)))
        for box, name in zip(frame.truth.boxes, frame.truth.classes, strict=True):
            own = [item.box for item in frame.detections if item.class_name == name]
            add(there, name, weight)
            add(found, name, weight * bool((iou(as_boxes(own), as_boxes([box])) >= TOUCHES).any()))
        escapes += weight * (not frame.rejected and bool(frame.truth.classes))
        false_rejects += weight * (frame.rejected and not frame.truth.classes)
    return TrueFigures(
        precision={name: right.get(name, 0.0) / amount for name, amount in raised.items()},
        recall={name: found.get(name, 0.0) / amount for name, amount in there.items()},
        escapes=escapes,
        false_rejects=false_rejects,
    )


def _said(
    frame: Inspected, frame_id: str, person: str, operators: Operators, generator: np.random.Generator
) -> list[FeedbackEvent]:
    return [
        FeedbackEvent(
            log_sequence=number,
            key=f"{person}-{frame_id}-{number}",
            frame_id=frame_id,
            detection_id=said.detection_id,
            gesture=said.gesture,
            class_name=said.class_name,
            box=said.box,
            missed_index=said.missed_index,
            revision=1,
            operator=person,
            seconds=said.seconds,
            client_unix_ns=0,
            received_unix_ns=0,
        )
        for number, said in enumerate(
            judge(frame.shown, frame.truth, operators.character, generator, usual_sides=operators.usual_sides), 1
        )
    ]


def _record(frame: Inspected, frame_id: str, probability: float, events: Sequence[FeedbackEvent]) -> MentoringRecord:
    return MentoringRecord(
        frame=RecordedFrame(
            frame_id=frame_id,
            boot_id="simulated",
            station="simulated",
            camera="simulated",
            part_id=f"part-{frame_id}",
            camera_sequence=0,
            width=frame.shown.width,
            height=frame.shown.height,
            captured_unix_ns=0,
            captured_monotonic_ns=0,
            image_sha256="",
            image_suffix="",
            image_bytes=0,
            model_digest=MODEL,
            verdict="REJECT" if frame.rejected else "PASS",
            verdict_reason="",
            selected_because="any_detection" if frame.rejected else "audit",
            selection_probability=probability,
            recorded_unix_ns=0,
        ),
        detections=frame.detections,
        judgements=fold(events),
    )
