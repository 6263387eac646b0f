"""What operators said about detections, as the model to be mended sees it today.

Every rejected detection becomes an example with its place in features; every confirmed or drawn defect a box that must
still be found. Boxes of defects are in frame pixels, areas are those of the model's head.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lineside.areas import Head, Indices
from lineside.assign import overlapping
from lineside.boxes import Boxes, as_boxes
from lineside.fold import fold
from lineside.gestures import AREA_IOU
from lineside.log_snapshot import read_snapshot
from lineside.mentoring_log import read_picture
from lineside.pixels import Pixels, decode, letterboxed
from lineside.reasons import ContractError
from lineside.records import FeedbackEvent, Gesture, Judgement, MentoringRecord, Outcome, RecordedDetection
from training.data.prepared import letterbox_for
from training.models.detector import Detector

Floats = NDArray[np.float32]


class Judged(NamedTuple):
    """A record somebody has spoken about, its picture, and the head that raised its detections (None: not known)."""

    record: MentoringRecord
    pixels: Pixels
    head: Head | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejection:
    """One rejected detection. areas: of the model's head, ascending. box: (4,) frame pixels.

    feature: (F,) float32, see `pooled`. score: the model's highest on those areas now, any class.
    """

    frame: int
    """Place in `Clicks.frames`."""
    class_name: str
    areas: Indices
    box: Floats
    feature: Floats
    score: float
    events: tuple[int, ...]
    """Log sequences of what was said."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A judged picture. picture: uint8 (height, width, channels), the model's input. pixels: as the camera gave it.

    boxes, classes: (n, 4) frame pixels and (n,), defects that operators confirmed or drew.
    """

    frame_id: str
    part: str
    """Id of the part; the frame's own where it is not known."""
    image_sha256: str
    pixels: Pixels
    picture: Pixels
    boxes: Boxes
    classes: Indices
    events: tuple[int, ...]
    """Log sequences behind the defects."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clicks:
    """Judged frames in the order they were kept; rejections, newest word last."""

    frames: tuple[Frame, ...]
    rejections: tuple[Rejection, ...]
    skipped: tuple[str, ...]
    """What could not be used: how often, and why."""


def read_judged(
    root: Path, *, after: int = 0, most: int | None = None, skipped: collections.Counter[str] | None = None
) -> Iterator[Judged]:
    """The judged frames of a log, as of one moment, in the order they were kept; the station may go on writing.

    Args:
        root: the log's folder.
        after: only frames with feedback of a higher log sequence.
        most: only so many, those with the newest feedback. None: all.
        skipped: counts what is left out, by reason.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, the log cannot be read.
    """
    notes = collections.Counter[str]() if skipped is None else skipped
    log = read_snapshot(root)
    notes.update(f"the {row.kind} is damaged: {row.why}" for row in log.broken)
    said: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
    for event in log.events:
        if event.frame_id in log.frames:
            said[event.frame_id].append(event)
    newest = {name: max(event.log_sequence for event in events) for name, events in said.items()}
    newest = {name: last for name, last in newest.items() if last > after}
    if most is not None and len(newest) > most:
        notes["the frame has older feedback than those looked at"] += len(newest) - most
        newest = dict(sorted(newest.items(), key=lambda item: -item[1])[:most])
    for name, frame in log.frames.items():
        if name not in newest:
            continue
        try:
            pixels = decode(read_picture(root, frame))
        except ContractError as error:
            notes[f"{error.reason.value}: a frame's picture cannot be read"] += 1
            continue
        record = MentoringRecord(frame=frame, detections=log.detections.get(name, ()), judgements=fold(said[name]))
        yield Judged(record, pixels, log.heads.get(frame.model_digest))


def gather(
    judged: Iterable[Judged],
    detector: Detector,
    *,
    skipped: collections.Counter[str] | None = None,
    on_frame: Callable[[], None] | None = None,
) -> Clicks:
    """Looks at judged frames with a model.

    Args:
        judged: of any model; areas of another head are found anew from the boxes.
        detector: the model to be mended, in evaluation mode.
        skipped: what was left out before.
        on_frame: called after each frame.
    """
    notes = collections.Counter(skipped or {})
    frames: list[Frame] = []
    rejections: list[Rejection] = []
    for item in judged:
        frame, found = _look(item, detector, len(frames), notes)
        frames.append(frame)
        rejections += found
        if on_frame is not None:
            on_frame()
    rejections.sort(key=lambda rejection: max(rejection.events))
    return Clicks(
        frames=tuple(frames),
        rejections=tuple(rejections),
        skipped=tuple(f"{count} x {reason}" for reason, count in sorted(notes.items())),
    )


def _look(
    item: Judged, detector: Detector, place: int, notes: collections.Counter[str]
) -> tuple[Frame, list[Rejection]]:
    record, config = item.record, detector.config
    geometry = letterbox_for(config, item.pixels)
    head = detector.head
    picture = letterboxed(item.pixels, geometry, channels=config.channels, padding=config.padding)
    detections = {detection.detection_id: detection for detection in record.detections}
    same = item.head is not None and item.head.key == head.key
    features, scores = looked_at(detector, picture)
    boxes: list[tuple[float, ...]] = []
    classes: list[int] = []
    events: list[int] = []
    rejected: list[Rejection] = []
    for detection, said in _rejected(record):
        areas = detection.areas
        if not same or int(areas.max(initial=0)) >= head.count or not len(areas):
            areas = overlapping(head, geometry.to_model(as_boxes([detection.box]))[0], AREA_IOU)
        if len(areas) == 0:
            notes["the rejected box lies outside the picture"] += 1
            continue
        rejected.append(
            Rejection(
                frame=place,
                class_name=detection.class_name,
                areas=areas,
                box=np.asarray(detection.box, np.float32),
                feature=pooled(features, scores, areas, config.areas_per_cell),
                score=float(scores[areas].max(initial=0.0)),
                events=said,
            )
        )
    for judgement in record.judgements:
        defect = _defect(judgement, detections)
        if judgement.outcome is Outcome.DISPUTED:
            notes["operators disagree"] += 1
        elif defect is not None and defect[1] not in config.classes:
            notes[f"class {defect[1]!r} is not one of the model's"] += 1
        elif defect is not None:
            boxes.append(defect[0])
            classes.append(config.classes.index(defect[1]))
            events += judgement.events
    frame = Frame(
        frame_id=record.frame.frame_id,
        part=record.frame.part_id or record.frame.frame_id,
        image_sha256=record.frame.image_sha256,
        pixels=item.pixels,
        picture=picture,
        boxes=as_boxes(boxes),
        classes=np.array(classes, np.int32),
        events=tuple(sorted(events)),
    )
    return frame, rejected


def _rejected(record: MentoringRecord) -> Iterator[tuple[RecordedDetection, tuple[int, ...]]]:
    """Detections that were rejected one by one, or all at once by a word about the whole frame. Questions below a
    threshold are no alarms that could be silenced."""
    raised = {detection.detection_id: detection for detection in record.raised}
    answered = {judgement.detection_id for judgement in record.judgements}
    for judgement in record.judgements:
        if judgement.outcome is not Outcome.SAID:
            continue
        if judgement.gesture is Gesture.REJECT and judgement.detection_id in raised:
            yield raised[judgement.detection_id], judgement.events
        elif judgement.gesture is Gesture.FRAME_HEALTHY:
            for name, detection in raised.items():
                if name not in answered:
                    yield detection, judgement.events


def _defect(judgement: Judgement, detections: dict[str, RecordedDetection]) -> tuple[tuple[float, ...], str] | None:
    """Box and class of the defect a judgement says is there."""
    if judgement.outcome is not Outcome.SAID:
        return None
    if judgement.gesture is Gesture.MISSED and judgement.box is not None and judgement.class_name is not None:
        return judgement.box, judgement.class_name
    detection = detections.get(judgement.detection_id or "")
    if detection is None:
        return None
    if judgement.gesture in (Gesture.CONFIRM, Gesture.POOR_BOX):
        return detection.box, detection.class_name
    if judgement.gesture is Gesture.WRONG_CLASS and judgement.class_name is not None:
        return detection.box, judgement.class_name
    return None


@torch.no_grad()
def looked_at(detector: Detector, picture: Pixels) -> tuple[Floats, Floats]:
    """The backbone's last map (h * w, F) and the highest score of any class (A,) for one model input."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float().contiguous(memory_format=torch.channels_last)
    features = detector.features(image)
    scores = torch.sigmoid(detector.answer(features).logits)[0].amax(dim=1)
    return features[0].flatten(1).T.numpy(), scores.numpy()


def pooled(features: Floats, scores: Floats, areas: Indices, areas_per_cell: int) -> Floats:
    """(F,): the features of the areas' cells, each as much as its area fires.

    Args:
        features: (h * w, F). scores: (A,). areas: at least one.
        areas_per_cell: B.
    """
    weights = scores[areas] + 1e-6
    return np.asarray((features[areas // areas_per_cell] * weights[:, None]).sum(axis=0) / weights.sum(), np.float32)
