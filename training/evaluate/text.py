"""Figures as a table of text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from training.evaluate.figures import Figures

COLUMNS = (
    ("mAP@0.33", "map_33", ".3f"),
    ("mAP@0.5", "map_50", ".3f"),
    ("precision", "precision", ".3f"),
    ("recall", "recall", ".3f"),
    ("false alarms/healthy", "false_alarms_per_healthy", ".2f"),
    ("escapes", "escapes", ".3f"),
)
"""Heading, field of `Figures`, format."""


def number(value: float | None, form: str = ".3f") -> str:
    """A figure, or a dash where nothing was measured."""
    return "–" if value is None else format(value, form)


def table(rows: Sequence[Figures], *, title: str) -> str:
    """One row a domain."""
    drawn = Table(title=title)
    drawn.add_column("domain")
    for heading, _, _ in COLUMNS:
        drawn.add_column(heading, justify="right")
    for row in rows:
        drawn.add_row(row.domain, *(number(getattr(row, field), form) for _, field, form in COLUMNS))
    text = io.StringIO()
    Console(file=text, width=110).print(drawn)
    return text.getvalue().rstrip()
