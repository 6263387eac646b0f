"""Several logs as one: frames by their id, answers by their key, whatever the order the logs are named in. Pure.

The same log copied twice, overlapping copies and two stations all come in. What is there twice counts once; what
contradicts itself (one id with two contents) is disputed, with what was said about it.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from lineside.areas import Head
from lineside.fold import meaning, target_of
from lineside.log.pseudonyms import same_answer
from lineside.log_snapshot import LogSnapshot
from lineside.pixels import Pixels
from lineside.reasons import ContractError
from lineside.records import FeedbackEvent, RecordedDetection, RecordedFrame
from training.data.account import UNJUDGED, Fate, Ledger, disputed, skipped

AGAIN = "the same once more in another log"
OTHER_FRAME = "two logs hold different frames under one id"
OTHER_ANSWER = "two logs hold different answers under one key"
SAME_REVISION = "an operator's two answers have the same revision"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contested:
    """Answers about one target that cannot be told apart from each other's forgery, and why."""

    event: FeedbackEvent
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """One frame and everything that was said about it."""

    frame_id: str
    frame: RecordedFrame | None
    """None: it is not there, and `trouble` says why."""
    detections: tuple[RecordedDetection, ...]
    events: tuple[FeedbackEvent, ...]
    """What may be folded, each once."""
    recorded_head: Head | None = None
    """That raised the detections; None: not known."""
    picture: Callable[[], Pixels] | None = None
    """Reads it; raises ContractError."""
    trouble: Fate | None = None
    """Why nothing of it can be taught."""
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By detection id: what is wrong with a detection that cannot be used."""
    contested: tuple[Contested, ...] = ()
    """Answers that contradict themselves; already accounted for."""
    left_out: tuple[FeedbackEvent, ...] = ()
    """Answers that were left out on request: they teach nothing, and what they spoke of stays unsettled."""
    unreadable: bool = False
    """Something was said about it that cannot be read."""


Read = Callable[[LogSnapshot, RecordedFrame], Pixels]
"""A frame's picture out of one log; raises ContractError."""


def merge(snapshots: Sequence[LogSnapshot], ledger: Ledger, read: Read) -> list[Told]:
    """All logs' frames with what was said, in the order they were kept.

    Args:
        snapshots: of the logs, in any order.
        ledger: gets the fate of everything that is not in the result.
        read: gives a picture.
    """
    for snapshot in snapshots:
        ledger.book("frames", skipped(UNJUDGED), "", times=snapshot.unjudged)
        for row in snapshot.broken:
            if row.kind == "frame":
                ledger.book("frames", skipped(f"the frame is damaged: {row.why}"), row.name)
            elif row.kind == "answer":
                ledger.book("answers", skipped(f"the answer is damaged: {row.why}"), row.name)
    events, contested = _answers(snapshots, ledger)
    whole = {event.key for event in events}
    unreadable = {
        row.frame_id for log in snapshots for row in log.broken if row.kind == "answer" and row.name not in whole
    }
    said: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
    for event in events:
        said[event.frame_id].append(event)
    fought: dict[str, list[Contested]] = collections.defaultdict(list)
    for item in contested:
        fought[item.event.frame_id].append(item)
    damaged = {row.name: row.why for log in snapshots for row in log.broken if row.kind == "frame"}
    kept = {frame_id for log in snapshots for frame_id in log.frames}
    result = []
    for frame_id in sorted(kept | set(said) | set(fought)):
        told = _frame(frame_id, snapshots, ledger, read)
        trouble = told.trouble
        if told.frame is None and frame_id in damaged:
            trouble = skipped(f"the frame is damaged: {damaged[frame_id]}")
        elif told.frame is None:
            trouble = skipped("the frame is not in the log")
        result.append(
            dataclasses.replace(
                told,
                events=tuple(said[frame_id]),
                contested=tuple(fought[frame_id]),
                trouble=trouble,
                unreadable=frame_id in unreadable,
            )
        )
    return sorted(result, key=lambda item: (item.frame.recorded_unix_ns if item.frame else 0, item.frame_id))


def _answers(snapshots: Sequence[LogSnapshot], ledger: Ledger) -> tuple[list[FeedbackEvent], list[Contested]]:
    """Each answer once, by log sequence and key; and those that contradict each other."""
    by_key: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
    for snapshot in snapshots:
        for event in snapshot.events:
            by_key[event.key].append(event)
    single: list[FeedbackEvent] = []
    contested: list[Contested] = []
    for key, copies in sorted(by_key.items()):
        # A station's log and its shards under pseudonyms hold the same answers: those are no contradiction.
        one = same_answer(copies)
        if one is None:
            contested += [Contested(event=event, reason=OTHER_ANSWER) for event in copies]
            continue
        single.append(one)
        ledger.book("answers", skipped(AGAIN), key, operator=one.operator, times=len(copies) - 1)
    # A station refuses the same revision twice; two copies of a log that both went on do not know of each other.
    rivals: dict[object, list[FeedbackEvent]] = collections.defaultdict(list)
    for event in single:
        rivals[event.frame_id, target_of(event), event.operator, event.revision].append(event)
    for group in rivals.values():
        if len({(meaning(event), event.box) for event in group}) > 1:
            contested += [Contested(event=event, reason=SAME_REVISION) for event in group]
    lost = {item.event.key for item in contested}
    contested.sort(key=lambda item: (item.event.frame_id, item.event.key, item.event.payload_sha256))
    for item in contested:
        ledger.book("answers", disputed(item.reason), item.event.key, operator=item.event.operator)
    kept = [event for event in single if event.key not in lost]
    return sorted(kept, key=lambda event: (event.log_sequence, event.key)), contested


def _frame(frame_id: str, snapshots: Sequence[LogSnapshot], ledger: Ledger, read: Read) -> Told:
    """One frame out of all logs that hold it; what was said is filled in later."""
    logs = [log for log in snapshots if frame_id in log.frames]
    if not logs:
        return Told(frame_id=frame_id, frame=None, detections=(), events=())
    ledger.book("frames", skipped(AGAIN), frame_id, times=len(logs) - 1)
    frame = logs[0].frames[frame_id]
    found: dict[str, RecordedDetection] = {}
    same = all(log.frames[frame_id] == frame for log in logs)
    for log in logs:
        for detection in log.detections.get(frame_id, ()):
            known = found.setdefault(detection.detection_id, detection)
            same = same and _content(known) == _content(detection)
    faults = {
        row.name: row.why
        for log in logs
        for row in log.broken
        if row.kind == "detection" and row.frame_id == frame_id and row.name not in found
    }
    heads = [log.heads[frame.model_digest] for log in logs if frame.model_digest in log.heads]
    return Told(
        frame_id=frame_id,
        frame=frame,
        detections=tuple(sorted(found.values(), key=lambda item: int(item.detection_id.rpartition("/")[2]))),
        events=(),
        recorded_head=heads[0] if heads else None,
        picture=lambda: _first_readable(frame, logs, read),
        trouble=None if same else disputed(OTHER_FRAME),
        faults=faults,
    )


def _content(detection: RecordedDetection) -> object:
    return (detection.class_index, detection.class_name, detection.score, detection.box, detection.areas.tobytes())


def _first_readable(frame: RecordedFrame, logs: Sequence[LogSnapshot], read: Read) -> Pixels:
    """The picture out of the first log that has it whole; its content is the same in all, by its hash."""
    for log in logs[:-1]:
        try:
            return read(log, frame)
        except ContractError:  # noqa: PERF203  the last one's is the one to tell
            continue
    return read(logs[-1], frame)
