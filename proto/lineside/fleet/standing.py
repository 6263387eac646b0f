"""A station's state for a person or a program: one plain document, and what of it should be looked at. Pure."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lineside.fleet.asking import Answer
from lineside.v1 import model_pb2, swap_pb2

Json = dict[str, Any]

MOST_SKEW_SECONDS = 1.0
"""Clocks further apart put events of two stations in the wrong order."""
LEAST_FREE_SHARE = 0.05
ALARM_IS_NEWS_SECONDS = 24 * 3600.0
_BESIDE = (model_pb2.MODEL_STATE_REPLAYED, model_pb2.MODEL_STATE_SHADOW)


def document_of(answers: Sequence[Answer], *, now: float) -> Json:
    """Everything that is shown, in the answers' order; boxes of a page and keys of --json alike.

    Args:
        answers: of all stations.
        now: seconds since the epoch, on the asker's clock.
    """
    return {
        "format_version": 1,
        "asked_at": iso(now),
        "reachable": sum(answer.said is not None for answer in answers),
        "stations": [_station(answer, answers, now) for answer in answers],
    }


def iso(seconds: float) -> str:
    """UTC, to the second."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _station(answer: Answer, answers: Sequence[Answer], now: float) -> Json:
    station, said = answer.station, answer.said
    document: Json = {
        "name": station.name,
        "address": station.address,
        "group": station.group,
        "tags": list(station.tags),
        "reachable": said is not None,
        "trouble": answer.trouble,
    }
    if said is not None:
        report, serving = said.station, serving_of(said)
        document |= {
            "software": report.version,
            "up_seconds": round(report.up_seconds, 1),
            "clock_skew_seconds": None if answer.skew_seconds is None else round(answer.skew_seconds, 3),
            "clock_skew_error_seconds": round(answer.trip_seconds / 2, 3),
            "disk_free_bytes": report.disk_free_bytes,
            "disk_total_bytes": report.disk_total_bytes,
            "frozen": said.frozen,
            "serving": None if serving is None else _model(serving),
            "candidates": [_model(status) for status in said.models if status.state in _BESIDE],
            "way_back": next((_name(item) for item in said.models if item.model.digest == said.way_back), ""),
            "last_alarm": _alarm(report.last_alarm) if report.HasField("last_alarm") else None,
        }
    document["attention"] = attention(answer, answers, now=now)
    return document


def serving_of(said: model_pb2.ListResponse) -> model_pb2.ModelStatus | None:
    """The model that serves."""
    return next((status for status in said.models if status.serving), None)


def attention(answer: Answer, answers: Sequence[Answer], *, now: float) -> list[str]:
    """What a person should look at, the gravest first; empty: nothing."""
    said = answer.said
    if said is None:
        return [f"does not answer: {answer.trouble}"]
    found = [answer.trouble] if answer.trouble else []
    serving, report = serving_of(said), said.station
    if serving is None:
        found.append("no model serves")
    elif serving.probation.errors:
        found.append(f"{serving.probation.errors} frames not answered on probation")
    if report.HasField("last_alarm") and (ago := now - report.last_alarm.unix_ns / 1e9) < ALARM_IS_NEWS_SECONDS:
        found.append(f"alarm {_ago(ago)} ago: {_alarm(report.last_alarm)['text']}")
    skew = answer.skew_seconds
    if skew is not None and abs(skew) - answer.trip_seconds / 2 > MOST_SKEW_SECONDS:
        found.append(f"clock {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}")
    total = report.disk_total_bytes
    if total and report.disk_free_bytes < LEAST_FREE_SHARE * total:
        found.append(f"disk {report.disk_free_bytes / total:.1%} free")
    if said.frozen:
        found.append(f"frozen {said.frozen}")
    usual = _usual(answer, answers)
    if serving is not None and usual is not None and usual.model.digest != serving.model.digest:
        found.append(f"most of its group serve {_name(usual)}")
    return found


def _usual(answer: Answer, answers: Sequence[Answer]) -> model_pb2.ModelStatus | None:
    """The model that more than half of the other answering stations of the group serve, of three at the least."""
    group = answer.station.group
    others = [
        serving
        for other in answers
        if other.station.group == group and other.said is not None and (serving := serving_of(other.said)) is not None
    ]
    if not group or len(others) < 3:
        return None
    digest, count = Counter(status.model.digest for status in others).most_common(1)[0]
    return next(status for status in others if status.model.digest == digest) if 2 * count > len(others) else None


def _model(status: model_pb2.ModelStatus) -> Json:
    document: Json = {
        "name": status.model.name,
        "version": status.model.version,
        "digest": status.model.digest,
        "state": model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_"),
        "since": iso(status.changed_unix_ns / 1e9),
        "probation": None,
        "shadow": None,
        "replay": None,
    }
    if status.HasField("probation"):
        trial = status.probation
        document["probation"] = {
            "frames": trial.frames,
            "errors": trial.errors,
            "alarms": trial.alarms,
            "baseline_frames": trial.baseline_frames,
            "baseline_alarms": trial.baseline_alarms,
            "p99_ms": trial.p99_us / 1000,
            "baseline_p99_ms": trial.baseline_p99_us / 1000,
            "seconds": round(trial.seconds, 1),
        }
    if status.HasField("shadow"):
        names = ("frames", "wanted", "dropped", "failed", "pass_to_reject", "reject_to_pass")
        document["shadow"] = {name: getattr(status.shadow, name) for name in names}
        document["shadow"]["objections"] = list(status.shadow.objections)
    if status.HasField("replay"):
        names = ("done", "total", "finished", "used", "escapes", "defects")
        document["replay"] = {name: getattr(status.replay, name) for name in names}
    return document


def _alarm(entry: swap_pb2.AuditEntry) -> Json:
    name = f"{entry.name} {entry.version}".strip() or entry.digest[:19]
    what = {"rollback": "taken back", "refuse": "refused"}.get(entry.action, entry.action)
    text = f"{name} {what}" + (f": {entry.message}" if entry.message else "")
    return {"at": iso(entry.unix_ns / 1e9), "model": name, "action": entry.action, "text": text}


def _name(status: model_pb2.ModelStatus) -> str:
    return f"{status.model.name} {status.model.version}"


def _ago(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
