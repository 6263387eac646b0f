"""What the log holds, newest first, through filters. Reads the station's own database, writes nothing."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from edge.panel.wire import Json, detection_json, frame_json
from lineside.mentoring_log import MentoringLogReader, open_log
from lineside.reasons import ContractError, Reason
from lineside.records import Judgement, Outcome

MOST = 60
LONGEST_TEXT = 200
LATEST_MS = 9_000_000_000_000
"""In the year 2255; in nanoseconds it still is a number of SQLite's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is wanted; empty and None: any. Times in milliseconds since the epoch, when the frame was kept."""

    since: int | None = None
    until: int | None = None
    part: str = ""
    """Contained in the part's id, whatever the case."""
    camera: str = ""
    class_name: str = ""
    """Found by the model, or named by an operator."""
    verdict: str = ""
    operator: str = ""
    model: str = ""
    """Digest."""
    said: str = ""
    """judged, or open: nobody has said anything."""
    before: str = ""
    """Cursor of the last answer: RECORDED_NS/FRAME_ID."""


def filters_of(query: Mapping[str, str]) -> Filters:
    """Out of a query string.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """
    known = {field.name for field in dataclasses.fields(Filters)}
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name not in known:
            raise ContractError(
                Reason.REQUEST_MALFORMED, f"no filter {name[:40]!r}; there are {', '.join(sorted(known))}"
            )
        if len(text) > LONGEST_TEXT:
            raise ContractError(Reason.REQUEST_MALFORMED, f"{name} is longer than {LONGEST_TEXT} characters")
        if name in ("since", "until"):
            if not text.isdecimal() or int(text) > LATEST_MS:
                raise ContractError(Reason.REQUEST_MALFORMED, f"{name} is {text[:20]!r}, expected milliseconds")
            values[name] = int(text)
        else:
            values[name] = text
    if values.get("verdict", "") not in ("", "PASS", "REJECT", "NO_VERDICT"):
        raise ContractError(Reason.REQUEST_MALFORMED, "verdict is PASS, REJECT or NO_VERDICT")
    if values.get("said", "") not in ("", "judged", "open"):
        raise ContractError(Reason.REQUEST_MALFORMED, "said is judged or open")
    return Filters(**values)


def history_json(reader: MentoringLogReader, filters: Filters) -> Json:
    """`frames`: newest first, each with its detections and the present judgements; `next`: cursor, empty at the end."""
    where, values = _where(filters)
    with closing(open_log(reader.root)) as connection:
        rows = connection.execute(
            # The parts of the text are this file's own; values travel as parameters.
            f"SELECT frame_id, recorded_unix_ns FROM frames {where}"  # noqa: S608
            f" ORDER BY recorded_unix_ns DESC, frame_id DESC LIMIT {MOST + 1}",
            values,
        ).fetchall()
    frames = []
    for frame_id, _ in rows[:MOST]:
        record = reader.record(frame_id)
        if record is None:
            continue  # deleted since: nobody had judged it
        by_detection = {item.detection_id: item for item in record.judgements if item.detection_id}
        frames.append(
            {
                **frame_json(record.frame),
                "detections": [
                    {**detection_json(found), "said": _said(by_detection.get(found.detection_id))}
                    for found in record.detections
                ],
                "said": [_said(item) for item in record.judgements if not item.detection_id],
            }
        )
    last = rows[MOST - 1] if len(rows) > MOST else None
    return {"frames": frames, "next": "" if last is None else f"{last[1]}/{last[0]}"}


def choices_json(reader: MentoringLogReader) -> Json:
    """What filters can be set to: names that the log holds."""

    def column(connection: sqlite3.Connection, query: str) -> list[str]:
        return [row[0] for row in connection.execute(query) if row[0]]

    with closing(open_log(reader.root)) as connection:
        models = connection.execute(
            "SELECT digest, name, version FROM models ORDER BY first_seen_unix_ns DESC LIMIT 20"
        )
        return {
            "models": [{"digest": row[0], "name": f"{row[1]} {row[2]}"} for row in models],
            "operators": column(connection, "SELECT DISTINCT operator FROM feedback ORDER BY 1 LIMIT 200"),
            "classes": sorted({item.name for manifest in reader.manifests().values() for item in manifest.classes}),
            "cameras": column(
                connection,
                "SELECT DISTINCT camera FROM (SELECT camera FROM frames ORDER BY recorded_unix_ns DESC LIMIT 5000)"
                " ORDER BY 1 LIMIT 64",
            ),
        }


def _where(filters: Filters) -> tuple[str, list[object]]:
    parts: list[str] = []
    values: list[object] = []

    def add(text: str, *more: object) -> None:
        parts.append(text)
        values.extend(more)

    if filters.since is not None:
        add("recorded_unix_ns >= ?", filters.since * 1_000_000)
    if filters.until is not None:
        add("recorded_unix_ns < ?", filters.until * 1_000_000)
    if filters.part:
        add("instr(lower(part_id), lower(?)) > 0", filters.part)
    for name, value in (("camera", filters.camera), ("verdict", filters.verdict), ("model_digest", filters.model)):
        if value:
            add(f"{name} = ?", value)
    if filters.class_name:
        add(
            "(EXISTS (SELECT 1 FROM detections d WHERE d.frame_id = frames.frame_id AND d.class_name = ?)"
            " OR EXISTS (SELECT 1 FROM feedback f WHERE f.frame_id = frames.frame_id AND f.class_name = ?))",
            filters.class_name,
            filters.class_name,
        )
    if filters.operator:
        add("EXISTS (SELECT 1 FROM feedback f WHERE f.frame_id = frames.frame_id AND f.operator = ?)", filters.operator)
    if filters.said:
        add("? = EXISTS (SELECT 1 FROM feedback f WHERE f.frame_id = frames.frame_id)", filters.said == "judged")
    if filters.before:
        recorded, slash, frame_id = filters.before.partition("/")
        if not slash or not recorded.isdecimal() or int(recorded) >= 1 << 63:
            raise ContractError(Reason.REQUEST_MALFORMED, "before is no cursor of an answer")
        add("(recorded_unix_ns, frame_id) < (?, ?)", int(recorded), frame_id)
    return ("WHERE " + " AND ".join(parts) if parts else ""), values


def _said(judgement: Judgement | None) -> Json | None:
    if judgement is None:
        return None
    return {
        "gesture": judgement.gesture.name,
        "class_name": judgement.class_name or "",
        "operators": list(judgement.operators),
        "disputed": judgement.outcome is Outcome.DISPUTED,
    }
