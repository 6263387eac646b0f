"""One defect, one box: of several confirmed detections of a defect only the surest says where it lies.

An operator confirms whatever sits on a defect, second boxes too, and "poor box" says that a defect is near. As answers
both are right. Taught as they stand they make a detector raise every defect several times, and the more so the lower
the scores are from which operators are asked: each wrong place is confirmed to it. Annotated pictures know one box a
defect. So, where a recipe asks for it, areas that only such answers speak about are as if nobody had spoken about them.

Anchors only. The areas of a cell head are places, and a defect covers several of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lineside.boxes import as_boxes, iou
from lineside.gestures import PRESENT, UNKNOWN, AreaLabels
from lineside.records import BoxTuple, Gesture, MentoringRecord, Outcome
from training.data.prepared import Mentored

SAME = 0.1
"""Overlap from which two confirmed detections of one class are of one defect."""


def second_boxes(record: MentoringRecord) -> frozenset[str]:
    """Ids of the detections that affirm a defect and do not say where it lies: poor boxes, and all but the surest of
    those of one class that overlap, or of which one holds the other's middle."""
    known = {detection.detection_id: detection for detection in record.detections}
    poor: set[str] = set()
    sure: list[tuple[str, float, str, BoxTuple]] = []
    for judgement in record.judgements:
        detection = known.get(judgement.detection_id or "")
        if detection is None or judgement.outcome is Outcome.DISPUTED:
            continue
        name = judgement.class_name if judgement.gesture is Gesture.WRONG_CLASS else detection.class_name
        if judgement.gesture is Gesture.POOR_BOX:
            poor.add(detection.detection_id)
        elif judgement.gesture in (Gesture.CONFIRM, Gesture.WRONG_CLASS) and name is not None:
            sure.append((detection.detection_id, detection.score, name, detection.box))
    sure.sort(key=lambda item: (-item[1], item[0]))
    first: list[tuple[str, BoxTuple]] = []
    second: set[str] = set()
    for detection_id, _, name, box in sure:
        if any(name == other and _one_defect(box, taken) for other, taken in first):
            second.add(detection_id)
        else:
            first.append((name, box))
    return frozenset(poor | second)


def note_doubled(item: Mentored, labels: AreaLabels, without: AreaLabels) -> Mentored:
    """Notes the areas that second boxes alone speak about; nothing changes by that.

    Args:
        item: the record's lesson.
        labels: of all answers.
        without: of the answers but those about second boxes.
    """
    present, left = ((states == PRESENT).any(axis=1) for states in (labels.states, without.states))
    doubled = (labels.spoken & ~without.spoken) | (present & ~left)
    return dataclasses.replace(item, doubled=doubled) if doubled.any() else item


def without_doubled(frames: Sequence[Mentored]) -> tuple[Mentored, ...]:
    """The frames as if nobody had spoken about the areas of second boxes."""
    return tuple(frame if frame.doubled is None else _silenced(frame, frame.doubled) for frame in frames)


def _silenced(frame: Mentored, doubled: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Mentored:
    states = frame.states.copy()
    states[doubled] = UNKNOWN
    agreed = None if frame.agreed is None else frame.agreed & ~doubled
    return dataclasses.replace(
        frame, states=states, spoken=frame.spoken & ~doubled, taught=frame.taught & ~doubled, agreed=agreed
    )


def _one_defect(one: BoxTuple, other: BoxTuple) -> bool:
    overlap = float(iou(as_boxes([one]), as_boxes([other]))[0, 0])
    return overlap >= SAME or _holds_middle(one, other) or _holds_middle(other, one)


def _holds_middle(outer: BoxTuple, inner: BoxTuple) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
