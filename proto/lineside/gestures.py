"""A click becomes labels: the table of what each gesture says about which areas. Pure.

    gesture                      label states
    confirm, poor box            the detection's areas (*): its class PRESENT; the others ABSENT where classes exclude
                                 each other, else UNKNOWN
    reject                       the detection's areas: every class ABSENT
    wrong class, it is c         the detection's areas: predicted class ABSENT, c PRESENT (*)
    wrong class, not said which  the detection's areas: predicted class ABSENT, the others UNKNOWN
    unsure                       UNKNOWN
    missed defect, class c       the areas the training assigner gives to the box: c PRESENT
    frame healthy                every area, every class ABSENT; the frame's detections are spoken of, each as rejected
    frame complete               every area not otherwise spoken of: every class ABSENT

(*) A detection of an anchor head comes with every anchor that would raise its box. What denies it (reject, wrong class)
speaks about all of them. What affirms it makes PRESENT only those that training gives to such a box and leaves the rest
UNKNOWN, as training does: anchors that merely overlap, taught as defects, would flood the next model with false alarms.

Where gestures meet on an area: PRESENT outweighs ABSENT (a reject beside a confirmed defect must not erase it), and
what an operator said of an area outweighs what follows from the whole frame. Areas that operators were unsure or
disagreed about stay UNKNOWN whatever was said of the frame. A frame called healthy that also has
a confirmed or drawn defect contradicts itself: those areas stay UNKNOWN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.areas import AnchorGrid, Head, Indices
from lineside.assign import assign, overlapping
from lineside.boxes import as_boxes, iou
from lineside.letterbox import Letterbox
from lineside.records import Gesture, Judgement, MentoringRecord, Outcome, RecordedDetection

UNKNOWN, ABSENT, PRESENT = -1, 0, 1

AREA_IOU = 0.3
"""Overlap from which an anchor of another head could raise the clicked box (DecodeParameters.area_iou's default)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AreaLabels:
    """Labels of one frame for one head with A areas and C classes.

    states: (A, C) int8 of UNKNOWN, ABSENT, PRESENT.
    spoken: (A,) bool, areas an operator's answer was about. The other known areas are background that follows from
        the whole frame; they are weighted apart in the loss.
    drawn_areas, drawn_boxes: (n,) int32 and (n, 4) float32 model pixels: areas with a box a person drew, the only
        ones box regression may learn from.
    skipped: why judgements taught nothing, one line each.
    """

    states: NDArray[np.int8]
    spoken: NDArray[np.bool_]
    drawn_areas: Indices
    drawn_boxes: NDArray[np.float32]
    skipped: tuple[str, ...]


def labels_of(
    record: MentoringRecord,
    *,
    head: Head,
    recorded_head: Head | None,
    classes: Sequence[str],
    exclusive: bool,
    letterbox: Letterbox,
) -> AreaLabels:
    """What a record teaches a head.

    Args:
        record: frame, detections and judgements.
        head: the head to be trained.
        recorded_head: the head that made the detections; where its areas mean the same (equal `key`) they are taken
            exactly, else (or None) they are found anew from the boxes.
        classes: class names of the head to be trained, in the order of its class axis.
        exclusive: whether an area can be of one class only.
        letterbox: frame to the input of the head to be trained.
    """
    number = {name: index for index, name in enumerate(classes)}
    present = np.zeros((head.count, len(classes)), bool)
    absent = np.zeros_like(present)
    spoken = np.zeros(head.count, bool)
    unsettled = np.zeros(head.count, bool)
    drawn_areas: list[Indices] = []
    drawn_boxes: list[NDArray[np.float32]] = []
    skipped: list[str] = []
    whole: Gesture | None = None
    same_areas = recorded_head is not None and recorded_head.key == head.key
    detections = {detection.detection_id: detection for detection in record.detections}

    def reach(detection: RecordedDetection) -> Indices:
        if same_areas:
            return detection.areas
        return overlapping(head, letterbox.to_model(as_boxes([detection.box]))[0], AREA_IOU)

    def affirm(detection: RecordedDetection, areas: Indices, class_index: int) -> None:
        sure = areas
        if isinstance(head, AnchorGrid):
            box = letterbox.to_model(as_boxes([detection.box]))
            assigned = assign(head, box)
            sure = np.intersect1d(areas, assigned.areas)
            if len(sure) == 0:
                sure = areas[[int(iou(head.boxes()[areas], box)[:, 0].argmax())]]
            unsettled[np.setdiff1d(areas, sure)] = True
            unsettled[assigned.ignored] = True
        _mark(present, absent, sure, class_index, exclusive)

    for judgement in record.judgements:
        trouble = _trouble(judgement, number, detections)
        if trouble:
            skipped.append(trouble)
            # Somebody looked here and it is not settled: a word about the whole frame must not settle it.
            if judgement.detection_id in detections:
                unsettled[reach(detections[judgement.detection_id])] = True
            elif judgement.box is not None:
                unsettled[overlapping(head, letterbox.to_model(as_boxes([judgement.box]))[0], AREA_IOU)] = True
        elif judgement.gesture in (Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE):
            whole = judgement.gesture
        elif judgement.gesture is Gesture.MISSED:
            assert judgement.box is not None
            assert judgement.class_name is not None
            box = letterbox.to_model(as_boxes([judgement.box]))
            assigned = assign(head, box)
            areas = assigned.areas
            _mark(present, absent, areas, number[judgement.class_name], exclusive)
            spoken[areas] = True
            unsettled[assigned.ignored] = True
            drawn_areas.append(areas)
            drawn_boxes.append(np.repeat(box, len(areas), axis=0))
        else:
            assert judgement.detection_id is not None
            detection = detections[judgement.detection_id]
            areas = reach(detection)
            spoken[areas] = True
            if judgement.gesture is Gesture.REJECT:
                absent[areas] = True
            elif judgement.gesture is Gesture.WRONG_CLASS:
                absent[areas, number[detection.class_name]] = True
                if judgement.class_name is not None:
                    affirm(detection, areas, number[judgement.class_name])
            else:
                affirm(detection, areas, number[detection.class_name])

    if whole is Gesture.FRAME_HEALTHY:
        # One press denies each detection of the frame, so that nobody has to reject them one by one.
        answered = {judgement.detection_id for judgement in record.judgements}
        for detection in record.detections:
            if detection.detection_id not in answered:
                spoken[reach(detection)] = True
    states = np.full(present.shape, UNKNOWN, np.int8)
    if whole is not None:
        # Complete: areas that were spoken of keep exactly what was said. Healthy: it speaks about those as well.
        states[~unsettled & ~spoken if whole is Gesture.FRAME_COMPLETE else ~unsettled] = ABSENT
    states[absent] = ABSENT
    states[present] = PRESENT
    if whole is Gesture.FRAME_HEALTHY and present.any():
        states[present.any(axis=1)] = UNKNOWN
        skipped.append("the frame was called healthy and has a confirmed or drawn defect: those areas teach nothing")
    return AreaLabels(
        states=states,
        spoken=spoken,
        drawn_areas=np.concatenate(drawn_areas) if drawn_areas else np.zeros(0, np.int32),
        drawn_boxes=np.concatenate(drawn_boxes) if drawn_boxes else np.zeros((0, 4), np.float32),
        skipped=tuple(skipped),
    )


def _mark(
    present: NDArray[np.bool_], absent: NDArray[np.bool_], areas: Indices, class_index: int, exclusive: bool
) -> None:
    present[areas, class_index] = True
    if exclusive:
        others = np.arange(present.shape[1]) != class_index
        absent[np.ix_(areas, others)] = True


def _trouble(judgement: Judgement, number: dict[str, int], detections: dict[str, RecordedDetection]) -> str | None:
    """Why a judgement teaches nothing, or None."""
    if judgement.outcome is Outcome.DISPUTED:
        return f"operators {', '.join(judgement.operators)} disagree"
    if judgement.gesture is Gesture.UNSURE:
        return "the operator was unsure"
    if judgement.class_name is not None and judgement.class_name not in number:
        return f"class {judgement.class_name!r} is not one of {sorted(number)}"
    if judgement.detection_id is None:
        return None
    detection = detections.get(judgement.detection_id)
    if detection is None:
        return f"detection {judgement.detection_id} is not in the record"
    if judgement.gesture is not Gesture.REJECT and detection.class_name not in number:
        return f"class {detection.class_name!r} is not one of {sorted(number)}"
    return None
