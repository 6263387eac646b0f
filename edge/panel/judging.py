"""What the page is asked to have judged, out of the log, and what was said already."""

from __future__ import annotations

from collections.abc import Iterable

from edge.panel.wire import Json, detection_json, event_json, frame_json
from lineside.fold import Target, target_of
from lineside.mentoring_log import MentoringLogReader
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent


def queue_json(reader: MentoringLogReader, *, frames: int, limit: int) -> Json:
    """The newest undecided detections.

    Args:
        reader: of the log.
        frames: how many of the newest frames are looked through.
        limit: most detections.

    Returns:
        `items`, each with its frame and, by operator, the highest revision of a word on it (`revisions`), on its frame
        (`frame_revisions`) and the highest index of a missed defect there (`missed`), so that a page can go on where
        another one stopped; `waiting`: how many there are in all; `models`: name, version and classes by digest.
    """
    found, waiting = reader.undecided(frames=frames, limit=limit)
    items = []
    for frame, detection in found:
        said = reader.events(frame.frame_id)
        items.append(
            {
                **detection_json(detection),
                "frame": frame_json(frame),
                "revisions": _revisions(said, ("detection", detection.detection_id)),
                "frame_revisions": _revisions(said, ("frame",)),
                "missed": _highest((event.operator, event.missed_index) for event in said if event.missed_index),
            }
        )
    used = {frame.model_digest for frame, _ in found}
    return {"items": items, "waiting": waiting, "models": _models(reader, used)}


def record_json(reader: MentoringLogReader, frame_id: str) -> Json:
    """One frame with its detections and everything said about it.

    Raises:
        ContractError: DETECTION_UNKNOWN, it is not in the log.
    """
    record = reader.record(frame_id)
    if record is None:
        raise ContractError(
            Reason.DETECTION_UNKNOWN,
            f"frame {frame_id[:80]} is not in the log: it was not chosen for mentoring, or is deleted by now",
        )
    return {
        "frame": frame_json(record.frame),
        "detections": [detection_json(found) for found in record.detections],
        "events": [event_json(event) for event in reader.events(frame_id)],
        "models": _models(reader, {record.frame.model_digest}),
    }


def _revisions(events: list[FeedbackEvent], target: Target) -> dict[str, int]:
    return _highest((event.operator, event.revision) for event in events if target_of(event) == target)


def _highest(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for name, number in pairs:
        highest[name] = max(number, highest.get(name, 0))
    return highest


def _models(reader: MentoringLogReader, digests: set[str]) -> Json:
    return {
        digest: {
            "name": manifest.name,
            "version": manifest.version,
            "digest": digest,
            "classes": [item.name for item in manifest.classes],
        }
        for digest, manifest in reader.manifests().items()
        if digest in digests
    }
