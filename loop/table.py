"""Figures as a table of plain text, for a terminal and for a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLUMNS = (
    ("original_map", "mAP .33"),
    ("original_map_50", "mAP .5"),
    ("original_precision", "P"),
    ("original_recall", "R"),
    ("original_false_alarms_per_healthy", "FA/part"),
    ("new_map", "mAP .33"),
    ("new_map_50", "mAP .5"),
    ("precision", "P"),
    ("recall", "R"),
    ("false_alarms_per_healthy", "FA/part"),
)
ORIGINAL_COLUMNS = 5
_WIDTH = 8

LEGEND = (
    "mAP: mean average precision over classes at IoU 0.33 and 0.5. P, R: precision and recall of detections with a",
    "score of 0.5 or more, IoU 0.33, on defective parts. FA/part: false alarms per healthy part, same score.",
)


def table(rows: Mapping[str, Mapping[str, float | None]], *, title: str = "") -> str:
    """One line a model.

    Args:
        rows: figures by the model's name (loop.figures.model_figures).
        title: above it.
    """
    first = max([len(name) for name in rows] + [12])
    half = ORIGINAL_COLUMNS * (_WIDTH + 1)
    rest = (len(COLUMNS) - ORIGINAL_COLUMNS) * (_WIDTH + 1)
    lines = [title] if title else []
    lines.append(f"{'':<{first}} |{'original domain':^{half}} |{'new domain':^{rest}}")
    heads = [head for _, head in COLUMNS]
    lines.append(_line("", heads, first))
    lines.append("-" * len(lines[-1]))
    lines += [_line(name, [number(values.get(key)) for key, _ in COLUMNS], first) for name, values in rows.items()]
    return "\n".join([*lines, *LEGEND])


def counts(values: Mapping[str, float | int | None]) -> str:
    """One line a count, names as words; a mean of counts that is no whole number has one digit more."""
    width = max(len(name) for name in values)
    lines = []
    for name, value in values.items():
        text = "-" if value is None else f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
        lines.append(f"{name.replace('_', ' '):<{width}}  {text}")
    return "\n".join(lines)


def number(value: float | int | None) -> str:
    """A share or a rate with two digits; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.2f}"


def _line(name: str, cells: Sequence[str], first: int) -> str:
    original = "".join(f"{cell:>{_WIDTH}} " for cell in cells[:ORIGINAL_COLUMNS])
    new = "".join(f"{cell:>{_WIDTH}} " for cell in cells[ORIGINAL_COLUMNS:])
    return f"{name:<{first}} |{original} |{new}".rstrip()
