"""A replay as a JSON document, for programs. Pure; the same replay gives the same document."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from export.replay.run import Replay
from lineside.replay.figures import Share, Unused
from lineside.replay.findings import Finding, findings_of
from lineside.replay.judging import FrameResult
from lineside.replay.matching import CandidateDetection
from lineside.replay.references import by_reference

FORMAT_VERSION = 1


def document_of(replay: Replay, *, part_pattern: str = "") -> dict[str, object]:
    """Everything about a replay but the pictures; boxes in frame pixels, shares 0 to 1, None where nothing counts.

    Args:
        replay: the result.
        part_pattern: as for `by_reference`.
    """
    tally = replay.tally
    manifest = replay.package.manifest
    shares = {
        field.name: _plain(getattr(tally, field.name))
        for field in dataclasses.fields(tally)
        if field.name not in ("records", "used")
    }
    return {
        "format_version": FORMAT_VERSION,
        "passed": replay.decision.passed,
        "refusals": [
            {"limit": item.limit, "text": item.text, "parts": list(item.parts)} for item in replay.decision.refusals
        ],
        "candidate": {"name": manifest.name, "version": manifest.version, "digest": replay.package.digest},
        "thresholds": dict(replay.thresholds),
        "thresholds_changed": dict(replay.changed),
        "policy": replay.policy.to_json(),
        "records": {"total": tally.records, "used": tally.used},
        "figures": shares,
        "effect": _effect(replay),
        "references": [dataclasses.asdict(line) for line in by_reference(replay.frames, part_pattern)],
        "findings": [_finding(finding) for finding in findings_of(replay.frames)],
        "skipped_records": _unused(replay.skipped),
        "unanswered_records": _unused(replay.unanswered),
    }


def _effect(replay: Replay) -> dict[str, object] | None:
    effect, own = replay.effect, replay.own
    if effect is None or own is None:
        return None
    return {
        "passed_before": own.decision.passed,
        "new": [_finding(finding) for finding in effect.new],
        "gone": [_finding(finding) for finding in effect.gone],
    }


def _plain(value: object) -> object:
    if isinstance(value, Share):
        numbers = dataclasses.asdict(value) | {"raw": value.raw, "weighted": value.weighted}
        return {name: None if math.isnan(number) else number for name, number in numbers.items()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _finding(finding: Finding) -> dict[str, object]:
    frame: FrameResult = finding.frame
    return {
        "group": finding.group.value,
        "part_id": frame.part_id,
        "frame_id": frame.frame_id,
        "camera": frame.camera,
        "class_name": finding.class_name,
        "text": finding.text,
        "box": None if finding.box is None else list(finding.box),
        "weight": frame.weight,
        "truth": frame.truth.value,
        "judged": _detections(frame.judged_boxes),
        "candidate": _detections(frame.said),
        "answered_by": list(finding.by),
    }


def _detections(detections: Sequence[CandidateDetection]) -> list[dict[str, object]]:
    return [{"class_name": item.class_name, "score": item.score, "box": list(item.box)} for item in detections]


def _unused(records: Sequence[Unused]) -> list[dict[str, object]]:
    return [
        {"part": item.part, "frame_id": item.frame_id, "reason": item.reason, "detail": item.detail} for item in records
    ]
