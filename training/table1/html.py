"""report.html: one file, no script, nothing fetched. Everything that was named by somebody is escaped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from training.table1 import charts
from training.table1.crops import Crop
from training.table1.display import duration
from training.table1.document import Document
from training.table1.statistics import Estimate
from training.table1.summary import CLASS_FIELDS, COLUMNS, Column
from training.table1.text import gap_words, operator_words, percent, scale_words
from training.table1.verdict import RULE

TEMPLATE = "report.html.j2"
CLASS_TITLES = dict(zip(CLASS_FIELDS, ("AP@0.33", "AP@0.5", "precision", "recall"), strict=True))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Pictures of one row's worst errors on the new domain, by kind."""

    recipe: str
    seed: int
    kinds: Mapping[str, tuple[Crop, ...]]
    """Heading to crops."""


Histories = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
"""By row, of each seed the lines of history.jsonl."""


def to_html(document: Document, histories: Histories, galleries: Sequence[Gallery]) -> str:
    """The report."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "duration": duration}
    rows = {row.recipe: row for row in document.rows}
    verdict = document.verdict
    return environment.get_template(TEMPLATE).render(
        document=document,
        plan=document.plan,
        verdict=verdict,
        rows=document.rows,
        chosen=rows.get(verdict.recommended or ""),
        columns=COLUMNS,
        class_titles=CLASS_TITLES,
        mean=mean,
        half=half,
        change=change,
        better=better,
        shade=shade,
        scale_words=scale_words(document),
        gap_words=gap_words(document),
        operator=operator_words(document.plan.character),
        rule=RULE,
        intervals=charts.intervals(document.rows, verdict.recommended) if document.rows else "",
        gap=charts.gap_against_cost(document.rows, verdict.recommended),
        curves=charts.curves(histories),
        galleries=galleries,
        plan_json=json.dumps(document.plan.to_json(), indent=1, ensure_ascii=False),
    )


def mean(value: Estimate | None, digits: int = 3) -> str:
    """0.812, or a dash."""
    return "–" if value is None else f"{value.mean:.{digits}f}"


def half(value: Estimate | None, digits: int = 3) -> str:
    """±0.034, or nothing."""
    return "" if value is None or value.half is None else f"±{value.half:.{digits}f}"


def change(value: Estimate | None, digits: int = 2) -> str:
    """+0.14, with a real minus."""
    return "" if value is None else f"{value.mean:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def better(value: Estimate | None, column: Column) -> str:
    """Whether a change is shown to be for the better or the worse: "good", "bad", or "" where it may be chance."""
    if value is None or value.low is None or value.high is None or value.low <= 0 <= value.high:
        return ""
    return "good" if (value.low > 0) == column.more_is_better else "bad"


def shade(value: Estimate | None) -> str:
    """How dark a cell of a share from 0 to 1 is: one hue, so that it can be read without seeing colours."""
    if value is None:
        return "0"
    return f"{0.04 + 0.5 * max(0.0, min(1.0, value.mean)) ** 2:.2f}"
