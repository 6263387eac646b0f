"""An estimate as text for a terminal. Pure."""

from __future__ import annotations

import io
import math

from rich.console import Console
from rich.table import Table

from training.estimate.intervals import Share
from training.estimate.parts import Parts, Rate
from training.estimate.precision import Precision
from training.estimate.recall import Recall
from training.estimate.report import Census, ClassEstimate, Estimate
from training.estimate.thresholds import FEWEST, Advice

WIDTH = 120


def text_of(estimate: Estimate) -> str:
    """Everything, the most important first."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=WIDTH, markup=False, highlight=False, emoji=False)
    for line in census_lines(estimate):
        console.print(printable(line))
    console.print(_classes(estimate))
    console.print(_thresholds(estimate))
    for line in factory_lines(estimate):
        console.print(printable(line))
    for note in estimate.notes:
        console.print(printable(f"note: {note}"))
    return buffer.getvalue().rstrip()


def census_lines(estimate: Estimate) -> list[str]:
    """Which model, and what became of every record."""
    census = estimate.census
    error = f"; each click taken as wrong with probability {estimate.error:.3g}" if estimate.error else ""
    return [
        f"model {estimate.model[:19]} {estimate.name}".rstrip() + error,
        f"records: {census.records}, used {census.used}{counts(census.skipped)}",
        f"answered: {census.touched} records; searched: {estimate.searched}",
        f"records without a detection: {estimate.bare_kept}, searched {estimate.bare_searched}",
        f"detections: {census.raised}{counts(census.detections)}",
    ]


def factory_lines(estimate: Estimate) -> list[str]:
    """Escapes, false rejects, seconds, agreement."""
    parts = estimate.parts
    inspected = "not known without an audit or --inspected"
    if parts.inspected is not None:
        inspected = f"{parts.inspected.point:,.0f}"
        if parts.inspected.high > parts.inspected.low:
            inspected = f"about {inspected} ({parts.inspected.low:,.0f} to {parts.inspected.high:,.0f})"
    lines = [
        f"parts inspected: {inspected}",
        f"parts in the log: {_judged(parts)}",
        f"escapes per 1,000 parts: {rate(parts.escapes)}",
        f"false rejects per 1,000 parts: {rate(parts.false_rejects)}",
        f"false rejects among the rejected parts: {share(parts.false_among_rejected)}",
        f"operators' time: {_time(estimate.census)}",
    ]
    if estimate.answered_twice:
        meaning = (
            "such answers say nothing"
            if math.isnan(estimate.agreement_error)
            else f"as if each were wrong in {estimate.agreement_error:.1%} of the answers"
        )
        lines.append(
            f"answered by two or more people: {estimate.answered_twice} detections, they disagree on"
            f" {estimate.disagreed}; {meaning}"
        )
    return lines


def share(value: Share) -> str:
    """A share with its interval."""
    return span(value.point, value.low, value.high)


def span(point: float, low: float, high: float) -> str:
    """A share with limits, in percent."""
    if math.isnan(low):
        return "–"
    if math.isnan(point):
        return "–" if low <= 0 and high >= 1 else f"({_limits(low, high)})"
    return f"{point:.1%} ({_limits(low, high)})"


def rate(value: Rate) -> str:
    """A rate with its limits."""
    if math.isnan(value.point):
        return "not known"
    seen = f", {value.seen} seen" + (f", {value.open} open" if value.open else "")
    return f"{value.point:.1f} ({value.low:.1f} to {value.high:.1f}{seen})"


def bounds(value: Precision) -> str:
    """Limits of precision whatever the open answers are."""
    return "–" if math.isnan(value.low) else _limits(value.low, value.high) if value.open else "same"


def recall(value: Recall) -> str:
    """Recall with its limits."""
    return span(value.point, value.low, value.high)


def counts(values: object) -> str:
    """A mapping of counts in words."""
    assert isinstance(values, dict)
    return "".join(f", {count} {reason}" for reason, count in values.items())


def printable(text: str) -> str:
    """Text whose characters cannot steer a terminal: names come from logs."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def steps_of(advice: Advice) -> str:
    """The advised thresholds in words."""
    if len(advice.confirmed) + len(advice.rejected) < FEWEST:
        return f"fewer than {FEWEST} settled answers"
    said = []
    for target, step in advice.for_precision.items():
        if step is None:
            said.append(f"{target:.0%}: none")
        else:
            said.append(f"{target:.0%}: {step.threshold:.3f} keeps {step.kept.point:.0%}")
    return "; ".join(said)


def _limits(low: float, high: float) -> str:
    return f"{100 * low:.1f}–{100 * high:.1f}%"


def _judged(parts: Parts) -> str:
    rejected = f"{parts.rejected} rejected ({parts.judged_rejected} judged)"
    return f"{rejected}, {parts.passed} passed ({parts.judged_passed} judged)"


def _time(census: Census) -> str:
    return f"{census.seconds:,.0f} s for the answers that stand ({census.seconds / 60:.1f} min)"


def _classes(estimate: Estimate) -> Table:
    table = Table(title="Precision and recall, 95 %", title_justify="left")
    table.add_column("class")
    for heading in ("right", "wrong", "open", "precision", "with open ones", "found", "not found", "recall"):
        table.add_column(heading, justify="right")

    def add(name: str, entry: ClassEstimate | Estimate) -> None:
        mine = entry.precision
        table.add_row(
            printable(name),
            *(str(count) for count in (mine.right, mine.wrong, mine.open)),
            share(mine.share),
            bounds(mine),
            str(entry.recall.found),
            str(entry.recall.renamed + entry.recall.missed),
            recall(entry.recall),
        )

    for item in estimate.classes:
        add(item.name or "(not named)", item)
    table.add_section()
    add("all", estimate)
    return table


def _thresholds(estimate: Estimate) -> Table:
    table = Table(title="Lowest threshold that surely gives a precision, and what it keeps", title_justify="left")
    for heading in ("class", "deployed", "shown from", "advice"):
        table.add_column(heading)
    for item in estimate.classes:
        advice = item.advice
        table.add_row(
            printable(item.name or "(not named)"),
            "–" if advice.deployed is None else f"{advice.deployed:.3f}",
            "–" if math.isnan(advice.shown_from) else f"{advice.shown_from:.3f}",
            steps_of(advice),
        )
    return table
