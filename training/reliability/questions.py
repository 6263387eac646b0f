"""What was asked, and who answered what: the raw material of reliability. Pure.

A *question* is "is this detection right as it is named?"; confirm and poor box say yes, reject and wrong class say no,
unsure says nothing. A question is a *hidden repeat* where it was answered more than once without the answers knowing of
each other. In a mentoring log that is

- one detection answered by several operators (each one's last word), and
- one picture, equal by its SHA-256, kept as several frames: detections of one class that overlap are one question, also
  for the same operator.

A later revision by the same operator is no repeat: he saw his first answer and corrects it, and who corrects himself
must not look unreliable. "Frame healthy" answers no to each detection its operator did not answer one by one. The same
part in another picture is no repeat either: nothing says that it lies as it lay.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from lineside.boxes import as_boxes, iou
from lineside.fold import standing
from lineside.records import FeedbackEvent, Gesture, RecordedDetection
from training.data.merging import Told

SAME_PLACE = 0.5
"""Overlap (IoU) from which two detections of one class in one picture are one question."""

YES = frozenset({Gesture.CONFIRM, Gesture.POOR_BOX})
NO = frozenset({Gesture.REJECT, Gesture.WRONG_CLASS})

Place = tuple[str, str]
"""Frame id and detection id."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that was answered about one detection, wherever it was shown."""

    places: tuple[Place, ...]
    votes: tuple[tuple[str, bool], ...]
    """Operator, and whether he said that it is right as named. Sorted, at least one."""

    @property
    def repeated(self) -> bool:
        """Whether it was answered more than once."""
        return len(self.votes) > 1


def questions_of(told: Sequence[Told]) -> tuple[Question, ...]:
    """All questions that anybody answered, whatever the order of the frames.

    Args:
        told: frames with what was said; those that cannot be used are left out.
    """
    pictures: dict[str, list[Told]] = collections.defaultdict(list)
    for item in told:
        if item.frame is not None and item.trouble is None:
            pictures[item.frame.image_sha256].append(item)
    found = []
    for same in pictures.values():
        ordered = sorted(same, key=lambda item: item.frame_id)
        found += [_asked(group) for group in _groups(ordered)]
    return tuple(sorted((item for item in found if item.votes), key=lambda item: item.places))


_Shown = tuple[Told, RecordedDetection]


def _groups(frames: Sequence[Told]) -> list[list[_Shown]]:
    """Detections of one picture by what they ask; a frame has at most one in a group."""
    groups: list[list[_Shown]] = []
    for frame in frames:
        free = list(groups)
        for detection in frame.detections:
            best = max(free, key=lambda group: _alike(group[0][1], detection), default=None)
            if best is not None and _alike(best[0][1], detection) >= SAME_PLACE:
                best.append((frame, detection))
                free = [group for group in free if group is not best]
            else:
                groups.append([(frame, detection)])
    return groups


def _alike(one: RecordedDetection, other: RecordedDetection) -> float:
    if one.class_name != other.class_name:
        return 0.0
    return float(iou(as_boxes([one.box]), as_boxes([other.box]))[0, 0])


def _asked(group: Sequence[_Shown]) -> Question:
    votes: list[tuple[str, bool]] = []
    for told, detection in group:
        stands = standing(told.events)
        answered = stands.get(("detection", detection.detection_id), [])
        votes += [(event.operator, event.gesture in YES) for event in answered if event.gesture in YES | NO]
        spoke = {event.operator for event in answered}
        votes += [
            (event.operator, False) for event in _healthy(stands.get(("frame",), [])) if event.operator not in spoke
        ]
    return Question(
        places=tuple((told.frame_id, detection.detection_id) for told, detection in group), votes=tuple(sorted(votes))
    )


def _healthy(events: Sequence[FeedbackEvent]) -> list[FeedbackEvent]:
    return [event for event in events if event.gesture is Gesture.FRAME_HEALTHY]
