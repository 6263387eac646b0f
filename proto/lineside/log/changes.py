"""What somebody changed in another tool, as feedback events of his own. Pure.

Whoever edits an export is an operator like any other: his answers stand beside those that were given at the station,
agree with them or dispute them, and none is overwritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from lineside.boxes import as_boxes, iou
from lineside.fold import standing
from lineside.log.formats.shown import Marked, MarkedBox
from lineside.log.known import Defect, Knowledge
from lineside.records import BoxTuple, FeedbackEvent, Gesture, RecordedDetection

SAME_IOU = 0.9
"""From this overlap on a box is the one that was written: formats round, and YOLO keeps no references."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that is new, about a detection, the frame, or a place."""

    detection: str | None
    """Number of the detection."""
    gesture: Gesture
    class_name: str | None = None
    box: BoxTuple | None = None


def changes_of(before: Knowledge, after: Marked) -> Iterator[Said]:
    """What is new, in a settled order.

    A defect that was deleted is rejected (a drawn one cannot be taken back for who drew it, and is named by nothing
    else); one of another class is a wrong class; one that was moved has a poor box, and another where it is now; one
    that is new is a missed defect. A frame that has become wholly known is healthy or complete.
    """
    pairs = _matched(before.defects, after.boxes)
    kept = {id(defect) for defect, _ in pairs}
    for defect in before.defects:
        if id(defect) not in kept and not defect.drawn:
            yield Said(detection=defect.reference, gesture=Gesture.REJECT)
    for defect, box in pairs:
        moved = float(iou(as_boxes([defect.box]), as_boxes([box.box]))[0, 0]) < SAME_IOU
        if defect.drawn:
            if moved or box.class_name != defect.class_name:
                yield _missed(box)
        elif box.class_name != defect.class_name:
            yield Said(detection=defect.reference, gesture=Gesture.WRONG_CLASS, class_name=box.class_name)
        elif moved:
            yield Said(detection=defect.reference, gesture=Gesture.POOR_BOX)
            yield _missed(box)
    known = {id(box) for _, box in pairs}
    for box in after.boxes:
        if id(box) not in known:
            yield _missed(box)
    if after.whole and not before.settled:
        healthy = not after.boxes
        yield Said(detection=None, gesture=Gesture.FRAME_HEALTHY if healthy else Gesture.FRAME_COMPLETE)


def events_of(
    frame_id: str,
    said: Sequence[Said],
    *,
    operator: str,
    now_unix_ns: int,
    first_sequence: int,
    earlier: Sequence[FeedbackEvent],
    detections: Sequence[RecordedDetection],
) -> list[FeedbackEvent]:
    """The events they become. The same import gives the same keys, so that it counts once however often it is done.

    Args:
        frame_id: of the frame.
        said: what is new.
        operator: who says it.
        now_unix_ns: when.
        first_sequence: log sequence of the first.
        earlier: what was said about the frame before; his own revisions go on from there.
        detections: of the frame.
    """
    own = [event for event in earlier if event.operator == operator]
    revision = max((event.revision for event in own), default=0) + 1
    missed = max((event.missed_index for event in own), default=0)
    names = {item.detection_id.rpartition("/")[2]: item.detection_id for item in detections}
    events: list[FeedbackEvent] = []
    for item in said:
        if item.gesture is Gesture.MISSED:
            missed += 1
        if item.detection is not None and item.detection not in names:
            raise ValueError(f"frame {frame_id} has no detection {item.detection}; was lineside.json changed?")
        event = FeedbackEvent(
            log_sequence=first_sequence + len(events),
            key="",
            frame_id=frame_id,
            detection_id=None if item.detection is None else names[item.detection],
            gesture=item.gesture,
            class_name=item.class_name,
            box=item.box,
            missed_index=missed if item.gesture is Gesture.MISSED else 0,
            revision=revision,
            operator=operator,
            seconds=0.0,
            client_unix_ns=0,
            received_unix_ns=now_unix_ns,
        )
        key = "import-" + hashlib.sha256(event.payload_sha256.encode()).hexdigest()[:32]
        events.append(dataclasses.replace(event, key=key))
    assert len(standing(events)) == len(events), "two answers about one thing"
    return events


def _missed(box: MarkedBox) -> Said:
    return Said(detection=None, gesture=Gesture.MISSED, class_name=box.class_name, box=box.box)


def _matched(defects: Sequence[Defect], boxes: Sequence[MarkedBox]) -> list[tuple[Defect, MarkedBox]]:
    """Which box is which defect: by reference, else by place; each once."""
    left = {defect.reference: defect for defect in defects}
    pairs: list[tuple[Defect, MarkedBox]] = []
    nameless: list[MarkedBox] = []
    for box in boxes:
        if box.reference is not None and box.reference in left:
            pairs.append((left.pop(box.reference), box))
        else:
            nameless.append(box)
    while left and nameless:
        rest = list(left.values())
        overlap = iou(as_boxes([defect.box for defect in rest]), as_boxes([box.box for box in nameless]))
        same = np.array([[defect.class_name == box.class_name for box in nameless] for defect in rest])
        overlap = np.where(overlap >= SAME_IOU, overlap + same, 0.0)  # of boxes in one place the one of its class
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if overlap[row, column] <= 0:
            break
        pairs.append((left.pop(rest[int(row)].reference), nameless.pop(int(column))))
    return pairs
