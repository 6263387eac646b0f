"""What is known of a frame, in frame pixels: defects, denied places, and what nobody settled. Pure.

The table is that of `lineside.gestures`, told of places instead of a network's areas, for tools that know none. A place
that nobody spoke about is UNKNOWN, and so it stays in everything that is written from here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lineside.log.rectangles import Rectangle, pixels_of, without
from lineside.records import BoxTuple, Gesture, Judgement, MentoringRecord, Outcome, RecordedDetection

UNKNOWN, PARTLY, KNOWN = 0, 128, 255
"""Values of a mask: nothing is settled here; of some classes it is; of all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A defect that is there. `box` in frame pixels."""

    reference: str
    """Of the record: a detection's number ("0", "1", ...), or "missed/NUMBER", the log sequence of who drew it."""
    class_name: str
    box: BoxTuple
    drawn: bool
    """A person drew the box; else a machine did, and a person called its class right."""
    poor: bool
    """A person called the machine's box poor."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A place where something is not. `box` in frame pixels."""

    reference: str
    class_name: str | None
    """The one class that is denied; None: every class."""
    box: BoxTuple


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything that operators settled about one frame."""

    width: int
    height: int
    whole: Gesture | None
    """FRAME_HEALTHY or FRAME_COMPLETE, where somebody said so and nobody contradicts it."""
    defects: tuple[Defect, ...]
    denied: tuple[Denied, ...]
    unsettled: tuple[BoxTuple, ...]
    """Looked at and not settled: unsure, disputed."""
    contradicted: tuple[BoxTuple, ...]
    """Called a defect in a frame that was called healthy: whatever else was said there, it is not settled."""
    exclusive: bool
    """A place can be of one class only, so a defect's place is known for every class."""

    @property
    def settled(self) -> bool:
        """Whether the frame is wholly known: its defects are all there are, and none is left open."""
        return (
            self.whole is not None
            and not self.unsettled
            and not self.contradicted
            and all(item.class_name is None or self._is_defect(item.reference) for item in self.denied)
        )

    def _is_defect(self, reference: str) -> bool:
        return any(item.reference == reference for item in self.defects)

    def mask(self) -> NDArray[np.uint8]:
        """(height, width): UNKNOWN, PARTLY or KNOWN for each pixel."""
        named = {item.class_name for item in self.defects}
        named |= {item.class_name for item in self.denied if item.class_name is not None}
        # And a class that nobody has named, which stands for all of those.
        layers = [self._is_open(name) for name in ("", *sorted(named))]
        known = np.full((self.height, self.width), PARTLY, np.uint8)
        known[np.all(layers, axis=0)] = UNKNOWN
        known[~np.any(layers, axis=0)] = KNOWN
        return known

    def _is_open(self, class_name: str) -> NDArray[np.bool_]:
        found = np.zeros((self.height, self.width), bool)
        for x1, y1, x2, y2 in self.open_for(class_name):
            found[y1:y2, x1:x2] = True
        return found

    def open_for(self, class_name: str) -> list[Rectangle]:
        """Where nobody settled whether there is a defect of this class: rectangles that overlap, in whole pixels."""
        size = self.width, self.height
        begun: list[BoxTuple] = [(0.0, 0.0, float(self.width), float(self.height))]
        if self.whole is not None:
            begun = [*self.unsettled]
            if self.whole is not Gesture.FRAME_HEALTHY:
                begun += [item.box for item in self.denied if item.class_name not in (None, class_name)]
                if not self.exclusive:
                    begun += [item.box for item in self.defects if item.class_name != class_name]
        known = [item.box for item in self.denied if item.class_name in (None, class_name)]
        known += [item.box for item in self.defects if self.exclusive or item.class_name == class_name]
        regions, holes, fought = (
            [found for box in boxes if (found := pixels_of(box, *size))] for boxes in (begun, known, self.contradicted)
        )
        return without([*without(regions, holes), *fought], ())


def knowledge_of(record: MentoringRecord, *, exclusive: bool) -> Knowledge:
    """What a record's judgements amount to.

    Args:
        record: of one frame.
        exclusive: whether a place can be of one class only (the manifest's `decode.exclusive_classes`).
    """
    detections = {detection.detection_id: detection for detection in record.detections}
    defects: list[Defect] = []
    denied: list[Denied] = []
    unsettled: list[BoxTuple] = []
    contradicted: list[BoxTuple] = []
    whole: Gesture | None = None
    for judgement in record.judgements:
        detection = detections.get(judgement.detection_id or "")
        open_still = judgement.outcome is Outcome.DISPUTED or judgement.gesture is Gesture.UNSURE
        if judgement.gesture in (Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE):
            # Disputed: two people said different things of the whole frame, and neither settles it.
            whole = None if open_still else judgement.gesture
        elif open_still:
            place = judgement.box if detection is None else detection.box
            if place is not None:
                unsettled.append(place)
        elif judgement.gesture is Gesture.MISSED:
            defects += _drawn(judgement)
        elif detection is not None:
            told, not_there = _about(judgement, detection)
            defects += told
            denied += not_there
    if whole is Gesture.FRAME_HEALTHY:
        # A frame with a defect contradicts it.
        contradicted = [defect.box for defect in defects]
        defects = []
    return Knowledge(
        width=record.frame.width,
        height=record.frame.height,
        whole=whole,
        defects=tuple(defects),
        denied=tuple(denied),
        unsettled=tuple(unsettled),
        contradicted=tuple(contradicted),
        exclusive=exclusive,
    )


def number_of(detection: RecordedDetection) -> str:
    """A detection's number within its frame."""
    return detection.detection_id.rpartition("/")[2]


def _drawn(judgement: Judgement) -> list[Defect]:
    if judgement.box is None or judgement.class_name is None:
        return []
    # The event's number is the log's own and never the same for two.
    reference = f"missed/{judgement.events[0]}"
    return [Defect(reference=reference, class_name=judgement.class_name, box=judgement.box, drawn=True, poor=False)]


def _about(judgement: Judgement, detection: RecordedDetection) -> tuple[list[Defect], list[Denied]]:
    reference, box = number_of(detection), detection.box
    if judgement.gesture is Gesture.REJECT:
        return [], [Denied(reference=reference, class_name=None, box=box)]
    if judgement.gesture is Gesture.WRONG_CLASS:
        wrong = Denied(reference=reference, class_name=detection.class_name, box=box)
        if judgement.class_name is None:
            return [], [wrong]
        right = Defect(reference=reference, class_name=judgement.class_name, box=box, drawn=False, poor=False)
        return [right], [wrong]
    poor = judgement.gesture is Gesture.POOR_BOX
    return [Defect(reference=reference, class_name=detection.class_name, box=box, drawn=False, poor=poor)], []
