"""The table as one value with everything a reader asks for; JSON, CSV, text and HTML are views of it. Pure."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

from training.table1.plan import Job, TablePlan
from training.table1.settle import Budgeted
from training.table1.statistics import LEVEL, Estimate
from training.table1.summary import COLUMNS, DOMAINS, Estimates, RoundRow, Row
from training.table1.verdict import RULE, Verdict


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A finished table, or what there is of it."""

    plan: TablePlan
    rows: tuple[Row, ...]
    verdict: Verdict
    failures: Mapping[Job, str]
    missing: tuple[Job, ...]
    """Runs that are not there, failed ones among them."""
    digests: Mapping[str, str]
    """Of the pictures and labels, by role."""
    pictures: Mapping[str, int]
    """How many there are, by role."""
    command: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    budgeted: Budgeted | None
    wall_seconds: float
    """Of all starts of the command."""


def to_json(document: Document) -> str:
    """table.json."""
    values = {
        "what": "mean and 95 % t interval over seeds; 'values' in the order of the row's seeds",
        "level": LEVEL,
        "data": document.plan.data,
        "experiment": document.plan.experiment_name,
        "data_digests": dict(document.digests),
        "pictures": dict(document.pictures),
        "seeds": list(range(document.plan.seeds)),
        "scale": document.plan.scale,
        "budget": document.budgeted.to_json() if document.budgeted else None,
        "command": document.command,
        "machine": dict(document.machine),
        "versions": dict(document.versions),
        "wall_seconds": round(document.wall_seconds, 1),
        "plan": document.plan.to_json(),
        "verdict": {**_plain(document.verdict), "tied": list(document.verdict.tied), "rule": RULE},
        "rows": [_plain(row) for row in document.rows],
        "failures": {job.name: message for job, message in document.failures.items()},
        "missing": [job.name for job in document.missing],
    }
    return json.dumps(values, indent=1) + "\n"


def to_csv(document: Document) -> str:
    """table.csv: a line a row and round; mean, low and high of every figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["recipe", "round", "last", "seeds"]
    estimates = _estimates(document.rows[0].last) if document.rows else {}
    for name in estimates:
        names += [name, f"{name}_low", f"{name}_high"]
    writer.writerow(names)
    for row in document.rows:
        for entry in row.rounds:
            line: list[object] = [row.recipe, entry.number, int(entry is row.last), len(row.seeds)]
            for value in _estimates(entry).values():
                line += _three(value)
            writer.writerow(line)
    return text.getvalue()


def _estimates(entry: RoundRow) -> dict[str, Estimate | None]:
    found: dict[str, Estimate | None] = {
        "operator_seconds": entry.seconds,
        "share_of_full_annotation": entry.share,
        "clicks": entry.clicks,
        "gap_closed": entry.gap_closed,
    }
    for words, by_domain in (("", entry.figures), ("gain_", entry.gain)):
        for domain in DOMAINS:
            of_domain: Estimates = by_domain[domain]
            found |= {f"{words}{domain}_{column.field}": of_domain[column.field] for column in COLUMNS}
    return found


def _three(value: Estimate | None) -> list[object]:
    """Mean, low, high; empty where there is none. Six digits: less than chance changes, more than anyone reads."""
    if value is None:
        return ["", "", ""]
    return ["" if number is None else f"{number:.6g}" for number in (value.mean, value.low, value.high)]


def _plain(value: Any) -> Any:
    """Dataclasses as mappings, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
