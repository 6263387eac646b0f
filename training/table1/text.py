"""The table as text, for a terminal and a file."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from training.simulation.judging import Character
from training.table1.display import duration
from training.table1.document import Document
from training.table1.statistics import Estimate
from training.table1.summary import COLUMNS, DOMAINS, Row

WIDTH = 150


def to_text(document: Document) -> str:
    """table.txt: both domains, what it cost, what follows from it."""
    parts = [_drawn(document, domain) for domain in reversed(DOMAINS)]
    parts.append("\n".join(document.verdict.words))
    parts.append(notes(document))
    return "\n\n".join(parts) + "\n"


def notes(document: Document) -> str:
    """What has to be known to read the table."""
    plan = document.plan
    who, one = plan.character, " (one seed: no interval)" if plan.seeds == 1 else ""
    reading = (
        f"Mean of seeds ± half of the 95 % t interval{one}; in brackets the difference to the baseline of the same"
    )
    lines = [
        f"{reading} seeds. False alarms are per healthy part.",
        f"Data {plan.data}, {plan.experiment_name or plan.new}; head {plan.head}; seeds 0 to {plan.seeds - 1}.",
        scale_words(document),
        f"Simulated operator: {operator_words(who)}.",
    ]
    if document.budgeted is not None and document.budgeted.warning:
        lines.append(f"Warning: {document.budgeted.warning}.")
    lines += gap_words(document)
    if document.missing:
        lines.append(f"Not there: {', '.join(job.name for job in document.missing)}.")
    lines += [f"Failed: {job.name}: {message}" for job, message in document.failures.items()]
    return "\n".join(lines)


def operator_words(character: Character) -> str:
    """What the simulated operator is like."""
    shares = f"errors {character.error_rate:g}, indecision {character.indecision:g}, fatigue {character.fatigue:g}"
    return f"{character.pace}; {shares}{'; draws missed defects' if character.draws else ''}"


def scale_words(document: Document) -> str:
    """What the budget did to the rows, in a sentence."""
    plan, fitted = document.plan, document.budgeted
    words = f"Every row has {plan.scale:g} of its recipe's steps"
    if plan.steps:
        words += f" ({', '.join(f'{name} {count}' for name, count in plan.steps.items())} as asked)"
    if fitted is not None:
        words += f", {'cut to fit' if fitted.scale < fitted.asked_scale else 'which fits'} {duration(fitted.budget)}"
    trained = sum(row.training_seconds.mean * len(row.seeds) for row in document.rows)
    return f"{words}; training took {duration(trained)} of one thread, this command {duration(document.wall_seconds)}."


def gap_words(document: Document) -> list[str]:
    """Which seeds say nothing about the gap; empty: none."""
    left_out = sorted({seed for row in document.rows for entry in row.rounds for seed in entry.gap_left_out})
    if not left_out:
        return []
    seeds = f"{'seeds' if len(left_out) > 1 else 'seed'} {', '.join(str(seed) for seed in left_out)}"
    return [f"Gap closed leaves out {seeds}, where full annotation gained nothing and cannot be a measure."]


def number(value: Estimate | None, digits: int = 3) -> str:
    """0.812 ±0.034, or a dash."""
    if value is None:
        return "–"
    words = f"{value.mean:.{digits}f}"
    return words if value.half is None else f"{words} ±{value.half:.{digits}f}"


def change(value: Estimate | None, digits: int = 2) -> str:
    """+0.14, as the paper writes it, or a dash."""
    return "–" if value is None else f"{value.mean:+.{digits}f}"


def percent(value: Estimate | None) -> str:
    """81 % ±4."""
    if value is None:
        return "–"
    words = f"{value.mean * 100:.0f} %"
    return words if value.half is None else f"{words} ±{value.half * 100:.0f}"


def _drawn(document: Document, domain: str) -> str:
    drawn = Table(title=f"{domain} domain", title_justify="left")
    drawn.add_column("recipe")
    for column in COLUMNS:
        drawn.add_column(column.title, justify="right")
    if domain == "new":
        for heading in ("gap closed", "operator", "of annotating"):
            drawn.add_column(heading, justify="right")
    for row in document.rows:
        cells = [row.recipe + _mark(document, row)]
        for column in COLUMNS:
            shown = number(row.last.figures[domain][column.field], column.digits)
            if column.field == COLUMNS[0].field and row.role != "baseline":
                # A hundredth of the original domain is the limit, and two digits would round over it.
                shown += f" ({change(row.last.gain[domain][column.field], 3 if domain == 'original' else 2)})"
            cells.append(shown)
        if domain == "new":
            asked = row.last.seconds.mean
            cells += [
                percent(row.last.gap_closed),
                duration(asked) if asked else "–",
                f"{row.last.share.mean:.0%}" if asked else "–",
            ]
        drawn.add_row(*cells)
    text = io.StringIO()
    Console(file=text, width=WIDTH).print(drawn)
    return text.getvalue().rstrip()


def _mark(document: Document, row: Row) -> str:
    if row.recipe == document.verdict.recommended:
        return " *"
    return ""
