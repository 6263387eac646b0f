"""What a simulated operator says about a frame, from ground truth. Pure: chance comes in as a generator.

    a detection that overlaps a defect                                          it says
    by IoU 0.33 or more, of its class                                           confirm
    by IoU 0.33 or more, of another class                                       wrong class, it is that one
    by IoU 0.1 or more, of its class                                            poor box
    otherwise                                                                   reject

Who may only confirm or reject ("binary") denies a wrong class without saying which it is. On a part that is known to be
healthy one press says everything.

Seconds are counted, not slept: an operator's time is what the loop costs.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

import numpy as np

from lineside.boxes import as_boxes, iou
from lineside.records import BoxTuple, Gesture
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.simulation.truth import Truth

MEETS = 0.33
"""Overlap from which a detection is right about a defect."""
TOUCHES = 0.1
"""Overlap from which a person sees which defect a box is about, though it sits badly."""
TAP_SIDE = 32.0
"""Side in pixels of a tapped defect's box where nothing is known of its class."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of an operator's time."""

    click: float = 1.5
    """Confirm, reject, wrong class, poor box, unsure, frame healthy, frame complete."""
    tap: float = 4.0
    """A missed defect tapped."""
    draw: float = 12.0
    """A missed defect's box drawn exactly."""
    search: float = 5.0
    """Looking over a frame for what was missed."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 <= getattr(self, field.name) <= 3600:
                raise ValueError(f"pace.{field.name} is {getattr(self, field.name)}, expected 0 to 3600 seconds")

    def __str__(self) -> str:
        return f"{self.click:g} s a click, {self.tap:g} s a tap, {self.draw:g} s a box, {self.search:g} s a search"


class Habit(enum.Enum):
    """How much an operator does with a frame that the station shows."""

    ANSWERS = "answers"
    """Answers every detection, nothing else."""
    FLAGS_HEALTHY = "healthy"
    """Also flags frames of parts that are known to be healthy (Cordier et al., section 3.4.3): one press each."""
    COMPLETES = "complete"
    """Also searches the frame, marks what was missed, and says that it is complete or healthy."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """Who the operator is. Shares from 0 to 1."""

    habit: Habit = Habit.ANSWERS
    binary: bool = False
    """Only confirms and rejects: of a wrong class, that it is not that one."""
    error_rate: float = 0.0
    """Share of answers that are wrong, and of missed defects that are overlooked."""
    fatigue: float = 0.0
    """How much the share of wrong answers grows in an hour of the operator's time."""
    indecision: float = 0.0
    """Share of detections answered with "unsure"."""
    draws: bool = False
    """Missed defects: boxes drawn exactly instead of tapped."""
    pace: Pace = dataclasses.field(default_factory=Pace)

    def __post_init__(self) -> None:
        for name in ("error_rate", "indecision", "fatigue"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")

    def errors_after(self, seconds: float) -> float:
        """Share of wrong answers after that much of the operator's time; at most every second one."""
        return min(self.error_rate + self.fatigue * seconds / 3600, max(self.error_rate, 0.5))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer; `box` in frame pixels."""

    gesture: Gesture
    seconds: float
    detection_id: str | None = None
    class_name: str | None = None
    box: BoxTuple | None = None
    missed_index: int = 0


def judge(
    shown: inspection_pb2.InspectionResult,
    truth: Truth,
    character: Character,
    generator: np.random.Generator,
    *,
    usual_sides: Mapping[str, float] | None = None,
    worked_seconds: float = 0.0,
) -> tuple[Said, ...]:
    """Everything the operator says about one frame, in order.

    Args:
        shown: what the station decided.
        truth: of the part.
        character: of the operator.
        generator: of errors, hesitation and the hand.
        usual_sides: by class name, sides of the square a tap stands for.
        worked_seconds: of the operator's time before this frame, for fatigue.
    """
    pace = character.pace
    if character.habit is not Habit.ANSWERS and not truth.classes:
        searched = pace.search if character.habit is Habit.COMPLETES else 0.0
        return (Said(gesture=Gesture.FRAME_HEALTHY, seconds=searched + pace.click),)
    error_rate = character.errors_after(worked_seconds)
    right = [right_answer(detection, truth) for detection in shown.detections]
    said = []
    for detection, (gesture, class_name) in zip(shown.detections, right, strict=True):
        if gesture is Gesture.WRONG_CLASS and character.binary:
            class_name = None
        if generator.random() < character.indecision:
            gesture, class_name = Gesture.UNSURE, None
        elif generator.random() < error_rate:
            gesture, class_name = _mistaken(gesture), None
        said.append(
            Said(gesture=gesture, class_name=class_name, detection_id=detection.detection_id, seconds=float(pace.click))
        )
    if character.habit is Habit.COMPLETES:
        for place in missed(shown, truth):
            if generator.random() < error_rate:
                continue
            box = truth.boxes[place]
            name = truth.classes[place]
            if not character.draws:
                box = tapped(box, (usual_sides or {}).get(name, TAP_SIDE), generator, shown.width, shown.height)
            said.append(
                Said(
                    gesture=Gesture.MISSED,
                    class_name=name,
                    box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                    missed_index=1 + sum(answer.gesture is Gesture.MISSED for answer in said),
                    seconds=pace.draw if character.draws else pace.tap,
                )
            )
        said.append(Said(gesture=Gesture.FRAME_COMPLETE, seconds=pace.search + pace.click))
    return tuple(said)


def right_answer(detection: inspection_pb2.Detection, truth: Truth) -> tuple[Gesture, str | None]:
    """What somebody who knows the part and makes no mistake says about a detection; the class where it is another."""
    if not truth.classes:
        return Gesture.REJECT, None
    overlap = iou(_box(detection), truth.boxes)[0]
    same = np.array([name == detection.class_name for name in truth.classes])
    if (overlap[same] >= MEETS).any():
        return Gesture.CONFIRM, None
    other = int(np.where(same, 0.0, overlap).argmax())
    if not same[other] and overlap[other] >= MEETS:
        return Gesture.WRONG_CLASS, truth.classes[other]
    if (overlap[same] >= TOUCHES).any():
        return Gesture.POOR_BOX, None
    return Gesture.REJECT, None


def annotation_seconds(truths: Iterable[Truth], pace: Pace) -> float:
    """What annotating everything by hand takes: each frame searched and called complete, each defect's box drawn."""
    return sum(pace.search + pace.click + pace.draw * len(truth.classes) for truth in truths)


def missed(shown: inspection_pb2.InspectionResult, truth: Truth) -> list[int]:
    """Places in the truth of the defects that no detection is about."""
    return [
        place
        for place in range(len(truth.classes))
        if not any(
            iou(_box(detection), truth.boxes[place : place + 1])[0, 0]
            >= (TOUCHES if detection.class_name == truth.classes[place] else MEETS)
            for detection in shown.detections
        )
    ]


def tapped(
    box: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    side: float,
    generator: np.random.Generator,
    width: int,
    height: int,
) -> tuple[float, float, float, float]:
    """The box a tap stands for: a square of the usual side around a finger that comes near the middle."""
    sides = box[2:] - box[:2]
    x, y = (box[:2] + box[2:]) / 2 + generator.normal(0, 0.1, 2) * sides
    half = side / 2
    x, y = min(max(float(x), half), width - half), min(max(float(y), half), height - half)
    return max(0.0, x - half), max(0.0, y - half), min(float(width), x + half), min(float(height), y + half)


def feedback_of(said: Said, frame_id: str) -> mentoring_pb2.Feedback:
    """The message; key, operator and revision are the client's to fill in."""
    message = mentoring_pb2.Feedback(
        frame_id=frame_id,
        detection_id=said.detection_id or "",
        gesture=mentoring_pb2.Gesture.ValueType(int(said.gesture)),
        class_name=said.class_name or "",
        seconds=said.seconds,
        missed_index=said.missed_index,
    )
    if said.box is not None:
        x1, y1, x2, y2 = said.box
        message.box.CopyFrom(mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2))
    return message


def _mistaken(gesture: Gesture) -> Gesture:
    return Gesture.CONFIRM if gesture in (Gesture.REJECT, Gesture.WRONG_CLASS) else Gesture.REJECT


def _box(detection: inspection_pb2.Detection) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    box = detection.box
    return as_boxes([[box.x1, box.y1, box.x2, box.y2]])
