"""Reads a mentoring log for an estimate: one model's records as answers, and a reason for every record left out.

Only one model's detections are one population. Feedback keeps arriving while the log is read; each record is read as of
one moment (`MentoringLogReader`).
"""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from google.protobuf import json_format

from lineside.fold import fold
from lineside.mentoring_log import MentoringLogReader
from lineside.reasons import ContractError, Reason
from lineside.records import MentoringRecord
from training.estimate.judged import BY_HAND, JudgedFrame, judged

NO_MODEL = "no model ran"
OTHER_MODEL = "another model's"
NO_VERDICT = "the station gave no verdict"
PICKED = "kept by hand, not by chance"
OUTSIDE = "outside the time asked for"
NOT_A_NUMBER = "a score is not a number"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What part of a log to look at: frames by the time they were recorded (nanoseconds since the epoch, the end not
    included), feedback by log sequence (above the first, the last included). None: no limit."""

    since_ns: int | None = None
    until_ns: int | None = None
    after_sequence: int | None = None
    until_sequence: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One model's records."""

    model: str
    name: str
    """Name and version; empty where the log has no manifest of it."""
    thresholds: Mapping[str, float]
    """Deployed ones by class, from the manifest."""
    frames: tuple[JudgedFrame, ...]
    skipped: Mapping[str, int]


def parse_span(since: str | None, until: str | None) -> Span:
    """Limits as people write them: a log sequence, or a time in ISO 8601 (UTC where it names no offset).

    Raises:
        ValueError: it is neither, or the end is before the start.
    """
    first, last = (_parse_limit(name, text) for name, text in (("--since", since), ("--until", until)))
    span = Span(since_ns=first[0], until_ns=last[0], after_sequence=first[1], until_sequence=last[1])
    for start, end in ((span.since_ns, span.until_ns), (span.after_sequence, span.until_sequence)):
        if start is not None and end is not None and start >= end:
            raise ValueError(f"--since {since} is not before --until {until}")
    return span


def read(
    root: Path,
    *,
    model: str | None = None,
    span: Span | None = None,
    serial: bool = True,
    on_record: Callable[[int, int], None] | None = None,
) -> Reading:
    """Reads a log.

    Args:
        root: its folder.
        model: digest, or the beginning of one; None: the model of the newest frame in the span.
        span: what part of it.
        serial: part ids name single parts, not kinds of part.
        on_record: called with records done and records in all.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, it cannot be read.
        ValueError: no such model, or nothing there to look at.
    """
    span = span or Span()
    frames: dict[str, list[JudgedFrame]] = {}
    skipped: dict[str, Counter[str]] = {}
    newest = ""
    try:
        with MentoringLogReader(root) as reader:
            total = reader.count()[0]
            for done, record in enumerate(reader.records(), 1):
                digest = record.frame.model_digest
                record, reason = _limited(reader, record, span)
                if reason:
                    skipped.setdefault(digest, Counter())[reason] += 1
                else:
                    frames.setdefault(digest, []).append(judged(record, serial=serial))
                if digest and reason != OUTSIDE:
                    newest = digest
                if on_record is not None:
                    on_record(done, max(done, total))
            manifests = reader.manifests()
    except (sqlite3.DatabaseError, json_format.ParseError) as error:
        raise ContractError(Reason.RECORD_CORRUPT, f"the log in {root} cannot be read: {error}") from error
    known = sorted({*frames, *skipped} - {""})
    chosen = _choose(model, known, newest)
    reasons: Counter[str] = Counter(skipped.get(chosen, {}))
    for digest in {*frames, *skipped} - {chosen}:
        count = len(frames.get(digest, ())) + sum(skipped.get(digest, {}).values())
        reasons[OTHER_MODEL if digest else NO_MODEL] += count
    manifest = manifests.get(chosen)
    return Reading(
        model=chosen,
        name=f"{manifest.name} {manifest.version}" if manifest is not None else "",
        thresholds={item.name: item.threshold for item in manifest.classes} if manifest is not None else {},
        frames=tuple(frames.get(chosen, ())),
        skipped=dict(sorted(reasons.items())),
    )


def _limited(reader: MentoringLogReader, record: MentoringRecord, span: Span) -> tuple[MentoringRecord, str]:
    """The record with only the feedback asked for, and why it is not to be used; empty: it is."""
    frame = record.frame
    recorded = frame.recorded_unix_ns
    if recorded < (span.since_ns or 0) or (span.until_ns is not None and recorded >= span.until_ns):
        return record, OUTSIDE
    if frame.verdict == "NO_VERDICT":
        return record, NO_VERDICT
    if frame.selected_because == BY_HAND:
        return record, PICKED
    if not all(math.isfinite(item.score) and all(map(math.isfinite, item.box)) for item in record.detections):
        return record, NOT_A_NUMBER
    if span.after_sequence is None and span.until_sequence is None:
        return record, ""
    last = math.inf if span.until_sequence is None else span.until_sequence
    events = reader.events(frame.frame_id)
    asked = [event for event in events if (span.after_sequence or 0) < event.log_sequence <= last]
    # A frame judged at another time stays: it was kept, and the ones judged now stand for it.
    return dataclasses.replace(record, judgements=fold(asked)), ""


def _choose(model: str | None, known: list[str], newest: str) -> str:
    if model is None:
        if not newest:
            raise ValueError(
                "the log has no frame that a model judged in the time asked for; let the station run first"
            )
        return newest
    wanted = model if model.startswith("sha256:") else f"sha256:{model}"
    fitting = [digest for digest in known if digest.startswith(wanted)]
    if len(fitting) != 1:
        there = ", ".join(digest[:19] for digest in known) or "none"
        problem = "names several models" if fitting else "is no model of this log"
        raise ValueError(f"--model {model[:80]} {problem}; there are {there}")
    return fitting[0]


def _parse_limit(name: str, text: str | None) -> tuple[int | None, int | None]:
    """(nanoseconds, log sequence), one of them None."""
    if text is None:
        return None, None
    if text.isdecimal():
        return None, int(text)
    try:
        # Python 3.10 does not know the Z of ISO 8601.
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise ValueError(
            f"{name} is {text[:80]!r}, expected a log sequence or a time such as 2025-03-01T06:00+01:00"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1_000_000) * 1000, None
