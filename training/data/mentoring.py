"""Importer of the mentoring log: what operators said, as label states of a network's areas.

The log keeps areas and the digest of the model that raised them. A network with the same head takes them exactly; any
other finds them anew from the boxes (`lineside.gestures.labels_of`). Every judgement is used, or listed with the reason
why it teaches nothing.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from lineside.areas import Head, head_of
from lineside.gestures import UNKNOWN, AreaLabels, labels_of
from lineside.mentoring_log import MentoringLogReader
from lineside.pixels import Pixels, decode, letterboxed
from lineside.reasons import ContractError
from lineside.records import MentoringRecord
from lineside.v1 import model_pb2
from training.data.prepared import Mentored, letterbox_for
from training.models.config import DetectorConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MentoringData:
    """The taught frames of one log for one network, and an account of everything in it."""

    frames: tuple[Mentored, ...]
    """In the order they were kept; frames that teach nothing are left out."""
    frame_ids: tuple[str, ...]
    """Of `frames`."""
    judged: int
    """Frames somebody has said something about."""
    feedback_events: int
    """Events whose judgements are taught."""
    last_log_sequence: int
    """Highest among them; 0: none."""
    skipped: tuple[str, ...]
    """Judgements and frames that teach nothing: how many, and why."""
    digest: str
    """"sha256:..." over pictures, areas and label states: equal for equal lessons."""


def read_log(
    root: Path, config: DetectorConfig, *, whole_frames: bool = True, after: int = 0, until: int | None = None
) -> MentoringData:
    """Reads everything that was said, at one moment; the station may go on writing.

    Args:
        root: the log's folder.
        config: the network to be taught.
        whole_frames: whether "frame healthy" and "frame complete" teach background.
        after, until: only frames with feedback of a log sequence in (after, until].

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, the log cannot be read.
    """
    head = config.head_for(config.width, config.height)
    frames: list[Mentored] = []
    frame_ids: list[str] = []
    skipped: collections.Counter[str] = collections.Counter()
    whole = hashlib.sha256(repr((config.classes, head.key)).encode())
    judged = events = last = 0
    with MentoringLogReader(root) as log:
        heads = {digest: _head(manifest) for digest, manifest in log.manifests().items()}
        for record in log.records(judged_only=True):
            said = [number for judgement in record.judgements for number in judgement.events]
            if not said or max(said) <= after or (until is not None and min(said) > until):
                continue
            judged += 1
            try:
                pixels = decode(log.image(record.frame))
            except ContractError as error:
                skipped[f"{error.reason.value}: a frame's picture cannot be read"] += 1
                continue
            item, notes = teach(record, pixels, config, recorded_head=heads.get(record.frame.model_digest))
            skipped.update(notes)
            if not whole_frames:
                item = only_spoken(item)
            if item.silent:
                skipped["the frame teaches nothing"] += 1
                continue
            frames.append(item)
            frame_ids.append(record.frame.frame_id)
            events += len(said)
            last = max(last, *said)
            whole.update(f"\n{record.frame.frame_id} {record.frame.image_sha256}".encode())
            whole.update(item.states.tobytes() + item.spoken.tobytes() + item.taught.tobytes() + item.targets.tobytes())
    return MentoringData(
        frames=tuple(frames),
        frame_ids=tuple(frame_ids),
        judged=judged,
        feedback_events=events,
        last_log_sequence=last,
        skipped=tuple(f"{count} x {reason}" for reason, count in sorted(skipped.items())),
        digest="sha256:" + whole.hexdigest(),
    )


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
    geometry = letterbox_for(config, pixels)
    labels = labels_of(
        record,
        head=config.head_for(config.width, config.height),
        recorded_head=recorded_head,
        classes=config.classes,
        exclusive=config.exclusive_classes,
        letterbox=geometry,
    )
    picture = letterboxed(pixels, geometry, channels=config.channels, padding=config.padding)
    return mentored(picture, labels), labels.skipped


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


def _head(manifest: model_pb2.PackageManifest) -> Head | None:
    try:
        return head_of(manifest)
    except ValueError:
        return None
