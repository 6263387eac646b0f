"""Pictures of an estimate, as data URIs: precision by class, scores, and what thresholds would give."""

from __future__ import annotations

import base64
import io
import math
import warnings

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.estimate.report import ClassEstimate, Estimate
from training.estimate.text import printable

CONFIRMED, REJECTED, MISSES = "#1f77b4", "#d62728", "#ff7f0e"
"""Blue, red, orange: told apart by the colour-blind, and by their hatching as well."""
BINS = 20


def by_class(estimate: Estimate) -> str:
    """Precision and recall of each class with their intervals."""
    rows: list[tuple[str, ClassEstimate | Estimate]] = [(item.name, item) for item in estimate.classes]
    rows.append(("all", estimate))
    figure = Figure(figsize=(9, 1.2 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_, entry) in enumerate(rows):
        share, recall = entry.precision.share, entry.recall
        if share.effective:
            axes.hlines(place - 0.14, entry.precision.low, entry.precision.high, color=CONFIRMED, linewidth=1)
            axes.hlines(place - 0.14, share.low, share.high, color=CONFIRMED, linewidth=4, alpha=0.5)
            axes.plot(share.point, place - 0.14, "o", color=CONFIRMED, label="precision" if place == 0 else None)
        if recall.low > 0 or recall.high < 1:
            axes.hlines(place + 0.14, recall.low, recall.high, color=MISSES, linewidth=1)
            axes.hlines(place + 0.14, *recall.interval, color=MISSES, linewidth=4, alpha=0.5)
            if not math.isnan(recall.point):
                axes.plot(recall.point, place + 0.14, "s", color=MISSES, label="recall" if place == 0 else None)
    axes.set_yticks(range(len(rows)), [_plain(name or "(not named)") for name, _ in rows])
    axes.set(xlim=(-0.01, 1.01), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(alpha=0.3, axis="x")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left")
    return data_uri(figure)


def scores(entry: ClassEstimate) -> str:
    """Histogram of the confirmed and rejected scores of a class, with the deployed threshold."""
    advice = entry.advice
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = [number / BINS for number in range(BINS + 1)]
    axes.hist(
        [list(advice.confirmed), list(advice.rejected)],
        bins=edges,
        stacked=True,
        color=[CONFIRMED, REJECTED],
        label=["confirmed", "rejected"],
    )
    _not_shown(axes, advice.shown_from)
    if advice.deployed is not None:
        axes.axvline(advice.deployed, color="black", linestyle="--", label="threshold")
    axes.set(xlabel="score", ylabel="detections", xlim=(0, 1))
    axes.legend(fontsize=8)
    return data_uri(figure)


def thresholds(entry: ClassEstimate) -> str:
    """Precision and the limits of recall of a class against its threshold."""
    advice, recall = entry.advice, entry.recall
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    where = [step.threshold for step in advice.steps]
    axes.fill_between(
        where,
        [step.precision.low for step in advice.steps],
        [step.precision.high for step in advice.steps],
        color=CONFIRMED,
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(where, [step.precision.point for step in advice.steps], color=CONFIRMED, label="precision")
    axes.fill_between(
        where,
        [step.kept.low * recall.low for step in advice.steps],
        [step.kept.high * recall.high for step in advice.steps],
        color=MISSES,
        alpha=0.25,
        linewidth=0,
        hatch="//",
        label="recall, between limits",
    )
    _not_shown(axes, advice.shown_from)
    axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    return data_uri(figure)


def data_uri(figure: Figure, dpi: int = 90) -> str:
    """A figure as a PNG inside a `data:` address."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class may be named in letters that the plots' font lacks; its name stands in the text as well.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(buffer, format="png", dpi=dpi)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _not_shown(axes: Axes, shown_from: float) -> None:
    if math.isfinite(shown_from) and shown_from > 0:
        axes.axvspan(0, shown_from, color="#eeeeee", label="never shown")


def _plain(text: str) -> str:
    """A name from a log, without matplotlib's formulas."""
    return printable(text).replace("$", r"\$")
