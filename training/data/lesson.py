"""One frame's lesson: label states of a network's areas, out of what was said. Pure.

Each judgement is also looked at by itself: what it alone would teach says whether it is used, which areas it answers
for, and (where operators' reliability counts) how much those areas weigh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.areas import AnchorGrid, Head
from lineside.gestures import PRESENT, UNKNOWN, AreaLabels, labels_of
from lineside.pixels import Pixels, letterboxed
from lineside.records import Gesture, MentoringRecord, Outcome, RecordedFrame
from training.data.account import USED, disputed, skipped
from training.data.agreed import note_agreed
from training.data.doubled import note_doubled, second_boxes
from training.data.heard import DAMAGED, WHOLE, Heard, damage, doubts
from training.data.merging import Told
from training.data.prepared import Mentored, letterbox_for
from training.models.config import DetectorConfig

CONTRADICTS = "the frame was called healthy and has a confirmed or drawn defect: those areas teach nothing"


def teach(
    record: MentoringRecord, pixels: Pixels, config: DetectorConfig, *, recorded_head: Head | None
) -> tuple[Mentored, tuple[str, ...]]:
    """One record as a lesson, and why some of its judgements teach nothing.

    Args:
        record: frame, detections, judgements.
        pixels: the frame's picture.
        config: the network to be taught.
        recorded_head: the head that raised the detections; None: not known.
    """
    labels = _labels(record, pixels, config, recorded_head)
    item = mentored(_model_input(pixels, config), labels)
    return _noted(item, labels, record, pixels, config, recorded_head), labels.skipped


def mentored(picture: Pixels, labels: AreaLabels) -> Mentored:
    """A model input (height, width, channels) with its labels, ready for cropping."""
    areas = labels.states.shape[0]
    targets = np.zeros((areas, 4), np.float32)
    taught = np.zeros(areas, bool)
    targets[labels.drawn_areas] = labels.drawn_boxes
    taught[labels.drawn_areas] = True
    return Mentored(pixels=picture, states=labels.states, spoken=labels.spoken, targets=targets, taught=taught)


def only_spoken(item: Mentored) -> Mentored:
    """The same picture, taught by single answers alone: what follows from the whole frame becomes UNKNOWN."""
    states = item.states.copy()
    states[~item.spoken] = UNKNOWN
    return dataclasses.replace(item, states=states)


def lesson_of(
    told: Told,
    frame: RecordedFrame,
    heard: Sequence[Heard],
    pixels: Pixels,
    config: DetectorConfig,
    *,
    whole_frames: bool,
    weighed: bool,
) -> Mentored | None:
    """What a frame teaches; None: nothing. Sets the fate of each judgement that is not used.

    Args:
        told: the frame's detections and answers.
        frame: of `told`.
        heard: the judgements about it.
        pixels: its picture.
        config: the network to be taught.
        whole_frames: whether "frame healthy" and "frame complete" teach background.
        weighed: whether areas get weights.
    """
    faults = dict(told.faults)
    if told.recorded_head is not None:
        beyond = (item.detection_id for item in told.detections if item.areas[-1] >= told.recorded_head.count)
        faults.update(dict.fromkeys(beyond, "its areas lie beyond the head"))
    sound = {item.detection_id: item for item in told.detections if item.detection_id not in faults}
    empty = MentoringRecord(frame=frame, detections=tuple(sound.values()), judgements=())

    for item in heard:
        if item.fate is USED:
            item.fate = damage(item.judgement, frame, sound, faults) or USED
    blind = told.unreadable or any(item.fate.reason.startswith(DAMAGED) for item in heard)
    alone: dict[int, Mentored] = {}
    for place, item in enumerate(heard):
        if item.fate is not USED:
            continue
        whole = item.judgement.gesture in WHOLE
        if whole and blind:
            item.fate = skipped("a part of what was said about the frame cannot be read: it settles no more")
            continue
        labels = _labels(dataclasses.replace(empty, judgements=(item.judgement,)), pixels, config, told.recorded_head)
        if labels.skipped:
            item.fate = (disputed if item.judgement.outcome is Outcome.DISPUTED else skipped)(labels.skipped[0])
            continue
        made = mentored(_NO_PICTURE, labels)
        alone[place] = made if whole_frames else only_spoken(made)
        if alone[place].silent:
            item.fate = skipped(
                "this recipe is not taught by whole frames" if whole else "no area of this network reaches it"
            )

    judgements = tuple(item.judgement for item in heard if item.fate is USED)
    if any(item.gesture is Gesture.FRAME_HEALTHY for item in judgements):
        for place, made in alone.items():
            if (made.states == PRESENT).any():
                heard[place].fate = disputed(CONTRADICTS)
    used = [place for place, item in enumerate(heard) if item.fate is USED]
    record = dataclasses.replace(empty, judgements=(*judgements, *doubts(told, heard)))
    labels = _labels(record, pixels, config, told.recorded_head)
    lesson = mentored(_model_input(pixels, config), labels)
    lesson = _noted(lesson, labels, record, pixels, config, told.recorded_head)
    if not whole_frames:
        lesson = only_spoken(lesson)
    if not used or lesson.silent:
        return None
    if weighed:
        weights = _weights(lesson, [(alone[place], heard[place].weight) for place in used])
        lesson = dataclasses.replace(lesson, weights=weights)
    return lesson


_NO_PICTURE: Pixels = np.zeros((0, 0, 1), np.uint8)


def balanced(items: Sequence[Mentored]) -> list[Mentored]:
    """Spoken areas' weights divided by their mean: what changes is how answers compare, not answers to background."""
    spoken = [
        item.weights[item.spoken & (item.states != UNKNOWN).any(axis=1)] for item in items if item.weights is not None
    ]
    mean = float(np.concatenate(spoken).mean()) if sum(map(len, spoken)) else 0.0
    if mean <= 0:
        return list(items)
    result = []
    for item in items:
        if item.weights is not None:
            weights = np.where(item.spoken, item.weights / mean, 1.0).astype(np.float32)
            item = dataclasses.replace(item, weights=weights)
        result.append(item)
    return result


def _weights(lesson: Mentored, parts: Sequence[tuple[Mentored, float]]) -> NDArray[np.float32]:
    """(A,) how much each area counts: as the most reliable of the judgements that say of it what is taught.

    Areas that nobody spoke about keep 1: even somebody who errs about a frame is right about nearly all of it.
    """
    weights = np.zeros(len(lesson.spoken), np.float32)
    for alone, weight in parts:
        agrees = ((alone.states != UNKNOWN) & (alone.states == lesson.states)).any(axis=1) & alone.spoken
        weights[agrees] = np.maximum(weights[agrees], np.float32(weight))
    weights[~lesson.spoken] = 1.0
    return weights


def _labels(record: MentoringRecord, pixels: Pixels, config: DetectorConfig, recorded_head: Head | None) -> AreaLabels:
    return labels_of(
        record,
        head=config.head_for(config.width, config.height),
        recorded_head=recorded_head,
        classes=config.classes,
        exclusive=config.exclusive_classes,
        letterbox=letterbox_for(config, pixels),
    )


def _noted(
    item: Mentored,
    labels: AreaLabels,
    record: MentoringRecord,
    pixels: Pixels,
    config: DetectorConfig,
    recorded_head: Head | None,
) -> Mentored:
    """What recipes may make more of: boxes that were confirmed, and areas that second boxes alone speak about."""
    head = config.head_for(config.width, config.height)
    second = second_boxes(record) if isinstance(head, AnchorGrid) else frozenset()
    if second:
        judgements = tuple(item for item in record.judgements if item.detection_id not in second)
        record = dataclasses.replace(record, judgements=judgements)
        item = note_doubled(item, labels, _labels(record, pixels, config, recorded_head))
    return note_agreed(item, record, head, letterbox_for(config, pixels))


def _model_input(pixels: Pixels, config: DetectorConfig) -> Pixels:
    return letterboxed(pixels, letterbox_for(config, pixels), channels=config.channels, padding=config.padding)
