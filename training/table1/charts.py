"""The report's charts, as SVG inside `data:` addresses: gap against cost, intervals side by side, curves of every row.

Colours are Okabe and Ito's; what matters is told by shape and label as well.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.table1.statistics import Estimate
from training.table1.summary import Row

INK, SOFT, FAINT = "#1f2933", "#7b8794", "#d9dee4"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
_FONTS = re.compile(r"font-family: 'DejaVu Sans'[^;\"]*")
WIDTH = 11.4
"""Inches of a chart; a page is as wide."""
STYLE: Any = {
    "svg.fonttype": "none",
    # Same figures, same file.
    "svg.hashsalt": "lineside",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}


def intervals(rows: Sequence[Row], recommended: str | None) -> str:
    """mAP at IoU 0.33 of every row, both domains, with intervals; the baseline's new-domain mean as a line."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.33 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            chosen = row.recipe == recommended
            for value, colour, marker, filled in (
                (row.original(), SOFT, "D", False),
                (row.new(), BLUE, "o", True),
            ):
                if value is not None:
                    _interval(axes, value, place, colour, marker, filled=filled, strong=chosen)
        baseline = next((row.new() for row in rows if row.role == "baseline"), None)
        if baseline is not None:
            axes.axvline(baseline.mean, color=BLUE, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        axes.set_yticks(range(len(rows)), [row.recipe for row in rows])
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row.recipe == recommended else "normal")
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("mAP at IoU 0.33")
        axes.plot([], [], "o", color=BLUE, label="new domain")
        axes.plot([], [], "D", color=SOFT, markerfacecolor="white", label="original domain")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return svg_uri(figure)


def gap_against_cost(rows: Sequence[Row], recommended: str | None) -> str:
    """Gap closed against the operator's time; rounds of a row are joined. Empty where no row has a gap."""
    shown = [row for row in rows if row.role == "row" and any(entry.gap_closed is not None for entry in row.rounds)]
    if not shown:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
        axes = figure.subplots()
        axes.axhline(1.0, color=GREEN, linewidth=1.2, zorder=1)
        axes.annotate(
            "full annotation",
            (0.01, 1.0),
            (0, 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="left",
            color=GREEN,
        )
        axes.axhline(0.0, color=SOFT, linewidth=1.2, zorder=1)
        labels: list[tuple[float, float, str, bool]] = []
        for row in shown:
            points = [
                (entry.share.mean * 100, entry.gap_closed) for entry in row.rounds if entry.gap_closed is not None
            ]
            chosen = row.recipe == recommended
            colour = ORANGE if chosen else BLUE
            x, y = [point[0] for point in points], [point[1].mean for point in points]
            axes.plot(x, y, "-", color=colour, linewidth=1.2, alpha=0.8, zorder=2)
            for place, (cost, value) in enumerate(points):
                last = place == len(points) - 1
                if value.low is not None and value.high is not None and last:
                    axes.plot([cost, cost], [value.low, value.high], color=colour, alpha=0.25, linewidth=1.5, zorder=1)
                axes.plot(
                    cost,
                    value.mean,
                    "o",
                    color=colour,
                    markersize=7 if chosen else 5.5,
                    markerfacecolor=colour if last else "white",
                    zorder=3,
                )
            labels.append((x[-1], y[-1], row.recipe, chosen))
        means = [entry.gap_closed.mean for row in shown for entry in row.rounds if entry.gap_closed is not None]
        axes.set_ylim(min(-0.1, *means) - 0.05, max(1.1, *means) + 0.08)
        right = max(label[0] for label in labels)
        axes.set_xlim(-0.04 * max(right, 1.0), max(right, 1.0) * 1.08)
        _label(axes, labels)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.set_xlabel("operator's time, as a share of annotating everything by hand")
        axes.set_ylabel("gap to full annotation closed")
        return svg_uri(figure)


def curves(histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> str:
    """Small multiples, a row each: losses over steps, a thin line a seed; all on the same scale."""
    shown = {name: runs for name, runs in histories.items() if any(runs)}
    if not shown:
        return ""
    columns = min(5, len(shown))
    lines = math.ceil(len(shown) / columns)
    with mpl.rc_context({**STYLE, "font.size": 8.5}):
        figure = Figure(figsize=(WIDTH, 1.5 * lines + 0.5), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in grid.ravel()[len(shown) :]:
            axes.axis("off")
        for axes, (name, runs) in zip(grid.ravel(), shown.items(), strict=False):
            for run in runs:
                steps = _once(run)
                for field, colour, style in (("loss_original", SOFT, "-"), ("loss_new", ORANGE, (0, (4, 1)))):
                    values = [entry[field] for entry in steps]
                    if any(values):
                        axes.plot(
                            [entry["done"] for entry in steps], values, color=colour, linewidth=1, linestyle=style
                        )
            axes.set_yscale("log")
            axes.set_title(name, fontsize=9, loc="left", pad=2)
            axes.tick_params(which="both", length=2)
            axes.grid(visible=False, which="minor")
            axes.locator_params(axis="x", nbins=3)
        figure.supxlabel("step", fontsize=8.5)
        figure.supylabel("loss", fontsize=8.5)
        return svg_uri(figure)


def svg_uri(figure: Figure) -> str:
    """A figure as an SVG inside a `data:` address."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # Laid out in the library's own font, which is wide, and shown in the page's.
    drawn = _FONTS.sub("font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", text.getvalue())
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def _interval(
    axes: Axes, value: Estimate, place: float, colour: str, marker: str, *, filled: bool, strong: bool
) -> None:
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [place, place], color=colour, linewidth=3 if strong else 1.8, alpha=0.45)
    axes.plot(
        value.mean,
        place,
        marker,
        color=colour,
        markersize=7 if strong else 5.5,
        markerfacecolor=colour if filled else "white",
    )


def _label(axes: Axes, labels: Sequence[tuple[float, float, str, bool]]) -> None:
    """Names in a column at the right, in the order of the points, each with a faint line to its own."""
    bottom, top = axes.get_ylim()
    right = axes.get_xlim()[1]
    ordered = sorted(labels, key=lambda item: item[1])
    heights = spread([item[1] for item in ordered], (top - bottom) / 24, bottom, top)
    for (x, y, name, strong), height in zip(ordered, heights, strict=True):
        colour = ORANGE if strong else INK
        axes.annotate(
            name,
            (x, y),
            (right, height),
            va="center",
            fontsize=9,
            fontweight="bold" if strong else "normal",
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": ORANGE if strong else "#b8c2cc", "linewidth": 0.6, "shrinkB": 4},
        )


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in their order, at least so far apart and inside where there is room.

    Args:
        wanted: rising.
        apart: least distance.
        low, high: ends of the room.
    """
    groups: list[list[float]] = []  # each the wanted places of neighbours that touch
    for value in wanted:
        groups.append([value])
        while len(groups) > 1 and _first(groups[-1], apart) < _first(groups[-2], apart) + len(groups[-2]) * apart:
            last = groups.pop()
            groups[-1] += last
    places = [_first(group, apart) + apart * number for group in groups for number in range(len(group))]
    ceiling = high
    for place in range(len(places) - 1, -1, -1):
        places[place] = min(places[place], ceiling)
        ceiling = places[place] - apart
    floor = low
    for place, value in enumerate(places):
        places[place] = max(value, floor)
        floor = places[place] + apart
    return places


def _first(group: Sequence[float], apart: float) -> float:
    """Where a group begins so that it lies around its members' mean."""
    return sum(group) / len(group) - apart * (len(group) - 1) / 2


def _once(run: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of training, each step's last: a resumed run tells some steps again."""
    by_step = {entry["done"]: entry for entry in run if "loss_original" in entry and entry.get("stage") == "training"}
    return [by_step[step] for step in sorted(by_step)]
