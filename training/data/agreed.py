"""Boxes that a person agreed to: a confirmed detection's own box, as a target of box regression.

A confirm says that a box meets its defect, not that it is exact, so by default regression learns from drawn boxes
alone. But a detector that is never told where boxes belong in the new domain raises one defect by several boxes that
lie too far apart to be merged. The confirmed box is the best of them, the one the others were suppressed by; taught to
all areas that answer for it, they meet in one place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lineside.areas import AnchorGrid, Head
from lineside.assign import assign
from lineside.boxes import as_boxes
from lineside.letterbox import Letterbox
from lineside.records import Gesture, Judgement, MentoringRecord, Outcome
from training.data.prepared import Mentored
from training.losses.classification import PRESENT


def note_agreed(item: Mentored, record: MentoringRecord, head: Head, letterbox: Letterbox) -> Mentored:
    """Notes which areas answer for a box that was confirmed, or named another class, and where it lies.

    Nothing is taught by that alone; a box that a person drew keeps its place.

    Args:
        item: the record's lesson.
        record: detections and judgements.
        head: of the network to be taught.
        letterbox: frame to its input.
    """
    if not isinstance(head, AnchorGrid):
        return item
    known = {detection.detection_id: detection for detection in record.detections}
    boxes = [
        known[judgement.detection_id].box
        for judgement in record.judgements
        if judgement.detection_id in known and _agrees(judgement)
    ]
    if not boxes:
        return item
    present = (item.states == PRESENT).any(axis=1)
    targets, agreed = item.targets.copy(), np.zeros(len(present), bool)
    assigned = assign(head, letterbox.to_model(as_boxes(boxes)))
    mine = present[assigned.areas] & ~item.taught[assigned.areas]
    areas = assigned.areas[mine]
    targets[areas] = letterbox.to_model(as_boxes(boxes))[assigned.boxes[mine]]
    agreed[areas] = True
    return dataclasses.replace(item, targets=targets, agreed=agreed)


def with_agreed_boxes(frames: Sequence[Mentored]) -> tuple[Mentored, ...]:
    """The frames with agreed boxes taught as drawn ones are."""
    return tuple(
        frame if frame.agreed is None else dataclasses.replace(frame, taught=frame.taught | frame.agreed)
        for frame in frames
    )


def _agrees(judgement: Judgement) -> bool:
    if judgement.outcome is Outcome.DISPUTED:
        return False
    corrected = judgement.gesture is Gesture.WRONG_CLASS and judgement.class_name is not None
    return judgement.gesture is Gesture.CONFIRM or corrected
