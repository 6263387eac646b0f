"""What operators said of a frame, as expectations; and a candidate's answer held against them. Pure.

    said                          asked of the candidate
    confirm, poor box             a detection of that class there
    wrong class, it is c          a detection of class c there
    missed defect, class c        a detection of class c there
    reject                        no detection there, of any class
    wrong class, not said which   no detection of the denied class there
    frame healthy                 no detection at all
    frame complete                no detection but those that answer to a judgement
    disputed, unsure              nothing: counted, held against nobody, and what fires there is excused

As in the gestures' table, what affirms outweighs what denies: a detection where a defect was confirmed is never held
against the candidate because of a reject beside it. A frame called healthy that also has a defect contradicts itself:
neither the word about the frame nor those defects are held against anybody.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.records import BoxTuple, Gesture, Judgement, MentoringRecord, Outcome
from lineside.replay.matching import LEAST_OVERLAP, CandidateDetection, Match, match, overlaps

NO_VERDICT = "NO_VERDICT"
DISPUTED = "operators contradict each other"
UNSURE = "the operator was unsure"
CONTRADICTION = "the frame was called healthy and has a confirmed or drawn defect"
INCOMPLETE = "the judged detection is not in the record"


class Kind(enum.Enum):
    """What was said, as far as the gate is concerned."""

    CONFIRMED = "confirmed"
    NAMED = "class corrected"
    DRAWN = "drawn"
    REJECTED = "rejected"
    NOT_THAT_CLASS = "not of that class"
    HEALTHY = "frame healthy"
    COMPLETE = "frame complete"


DEFECTS = frozenset({Kind.CONFIRMED, Kind.NAMED, Kind.DRAWN})
DENIALS = frozenset({Kind.REJECTED, Kind.NOT_THAT_CLASS})
WHOLE_FRAMES = frozenset({Kind.HEALTHY, Kind.COMPLETE})


class Answer(enum.Enum):
    """What the candidate makes of it. Of defects FOUND, RENAMED or LOST; of the others SILENT or FIRES."""

    FOUND = "found"
    RENAMED = "found under another class"
    LOST = "no longer found"
    SILENT = "silent"
    FIRES = "still fires"


class Truth(enum.Enum):
    """What the judgements say of the part."""

    DEFECTIVE = "defective"
    SOUND = "sound"
    OPEN = "not known"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One judgement as a question. `box` in frame pixels, None for whole frames, whose `class_name` is empty."""

    kind: Kind
    class_name: str
    box: BoxTuple | None
    poor_box: bool
    last_event: int
    """Log sequence of the last event behind it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """All of a frame's judgements: asked, or set aside with a reason. `excused` boxes are held against nobody."""

    asked: tuple[Expectation, ...]
    excused: tuple[BoxTuple, ...]
    set_aside: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An expectation with the candidate's answer; `by` are indices of the candidate's detections it is about."""

    expectation: Expectation
    answer: Answer
    by: tuple[int, ...]
    nearest: float
    """Largest overlap of any candidate detection with the judged box, 0 to 1; 0 for whole frames."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """One frame: what was asked, what was answered, and both verdicts by the plain rule: any detection rejects.

    `before` is of the detections that were judged (NO_VERDICT where the station could not judge), `after` of the
    candidate's.
    """

    frame_id: str
    part_id: str
    camera: str
    weight: float
    """1 / selection probability."""
    results: tuple[Result, ...]
    said: tuple[CandidateDetection, ...]
    judged_boxes: tuple[CandidateDetection, ...]
    """The detections the record holds."""
    set_aside: tuple[str, ...]
    before: str
    after: str
    truth: Truth

    @property
    def part(self) -> str:
        """The part id, or the frame id where the part is not known."""
        return self.part_id or f"frame {self.frame_id}"

    @property
    def flipped(self) -> bool:
        """Whether the part's verdict changes."""
        return self.before not in (self.after, NO_VERDICT)


def expectations_of(record: MentoringRecord) -> Expectations:
    """What the record's judgements ask of any model."""
    detections = {detection.detection_id: detection for detection in record.detections}
    asked: list[Expectation] = []
    excused: list[BoxTuple] = []
    set_aside: list[str] = []
    for judgement in record.judgements:
        detection = detections.get(judgement.detection_id) if judgement.detection_id is not None else None
        box = judgement.box if detection is None else detection.box
        if judgement.detection_id is not None and detection is None:
            set_aside.append(INCOMPLETE)
        elif judgement.outcome is Outcome.DISPUTED or judgement.gesture is Gesture.UNSURE:
            set_aside.append(DISPUTED if judgement.outcome is Outcome.DISPUTED else UNSURE)
            if box is not None:
                excused.append(box)
        else:
            kind, class_name = _question(judgement, "" if detection is None else detection.class_name)
            if detection is not None and not detection.raised and kind in DENIALS:
                # The model was silent there already. That a candidate is silent as well would dilute the share of
                # rejected detections that fire again; a confirmed question is a known defect like one that was drawn.
                continue
            asked.append(
                Expectation(
                    kind=kind,
                    class_name=class_name,
                    box=box,
                    poor_box=judgement.gesture is Gesture.POOR_BOX,
                    last_event=max(judgement.events, default=0),
                )
            )
    healthy = any(item.kind is Kind.HEALTHY for item in asked)
    if healthy and any(item.kind in DEFECTS for item in asked):
        disowned = [item for item in asked if item.kind in DEFECTS or item.kind is Kind.HEALTHY]
        asked = [item for item in asked if item not in disowned]
        excused += [item.box for item in disowned if item.box is not None]
        set_aside += [CONTRADICTION] * len(disowned)
    return Expectations(asked=tuple(asked), excused=tuple(excused), set_aside=tuple(set_aside))


def judge(
    record: MentoringRecord,
    expectations: Expectations,
    said: Sequence[CandidateDetection],
    *,
    least_overlap: float = LEAST_OVERLAP,
) -> FrameResult:
    """Holds a candidate's detections against a frame's expectations.

    Args:
        record: the frame.
        expectations: of this record.
        said: the candidate's detections, at or above its thresholds.
        least_overlap: from which boxes are the same place.
    """
    placed = [item for item in expectations.asked if item.box is not None]
    table = overlaps(
        [item.box for item in placed if item.box is not None],
        [item.box for item in said],
        poor=[item.poor_box for item in placed],
    )
    matches = [
        match(row, said, item.class_name, least_overlap=least_overlap) for row, item in zip(table, placed, strict=True)
    ]
    near = table >= least_overlap
    on_defects = near[[item.kind in DEFECTS for item in placed]].any(axis=0)
    excused = (overlaps(expectations.excused, [item.box for item in said]) >= least_overlap).any(axis=0)
    results = []
    for row, found, item in zip(near, matches, placed, strict=True):
        answer, by = _on_defect(found) if item.kind in DEFECTS else _on_denial(row & ~on_defects, said, item)
        results.append(Result(expectation=item, answer=answer, by=by, nearest=found.nearest))
    for item in expectations.asked:
        if item.box is None:
            # On a complete frame every judgement answers for its own place; a healthy one has no place for anything.
            silent = excused if item.kind is Kind.HEALTHY else excused | near.any(axis=0)
            by = tuple(map(int, (~silent).nonzero()[0]))
            results.append(Result(expectation=item, answer=Answer.FIRES if by else Answer.SILENT, by=by, nearest=0.0))
    frame = record.frame
    return FrameResult(
        frame_id=frame.frame_id,
        part_id=frame.part_id,
        camera=frame.camera,
        weight=1 / frame.selection_probability,
        results=tuple(results),
        said=tuple(said),
        judged_boxes=tuple(
            CandidateDetection(class_name=item.class_name, score=item.score, box=item.box) for item in record.raised
        ),
        set_aside=expectations.set_aside,
        before=NO_VERDICT if frame.verdict == NO_VERDICT else _plain(record.raised),
        after=_plain(said),
        truth=_truth(expectations),
    )


def _on_defect(found: Match) -> tuple[Answer, tuple[int, ...]]:
    if found.by is not None:
        return Answer.FOUND, (found.by,)
    if found.other is not None:
        return Answer.RENAMED, (found.other,)
    return Answer.LOST, ()


def _on_denial(
    near: NDArray[np.bool_], said: Sequence[CandidateDetection], item: Expectation
) -> tuple[Answer, tuple[int, ...]]:
    by = tuple(
        place
        for place in map(int, near.nonzero()[0])
        if item.kind is Kind.REJECTED or said[place].class_name == item.class_name
    )
    return (Answer.FIRES if by else Answer.SILENT), by


def _question(judgement: Judgement, detected_class: str) -> tuple[Kind, str]:
    if judgement.gesture is Gesture.MISSED:
        return Kind.DRAWN, judgement.class_name or ""
    if judgement.gesture is Gesture.FRAME_HEALTHY:
        return Kind.HEALTHY, ""
    if judgement.gesture is Gesture.FRAME_COMPLETE:
        return Kind.COMPLETE, ""
    if judgement.gesture is Gesture.REJECT:
        return Kind.REJECTED, detected_class
    if judgement.gesture is Gesture.WRONG_CLASS:
        if judgement.class_name is None:
            return Kind.NOT_THAT_CLASS, detected_class
        return Kind.NAMED, judgement.class_name
    return Kind.CONFIRMED, detected_class


def _plain(detections: Sequence[object]) -> str:
    return "REJECT" if detections else "PASS"


def _truth(expectations: Expectations) -> Truth:
    kinds = {item.kind for item in expectations.asked}
    if kinds & DEFECTS:
        return Truth.DEFECTIVE
    # "Not of that class" leaves open whether it is a defect of another one; so does what is set aside.
    if kinds & WHOLE_FRAMES and not expectations.set_aside and Kind.NOT_THAT_CLASS not in kinds:
        return Truth.SOUND
    return Truth.OPEN
