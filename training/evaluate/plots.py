"""Pictures of a report, as data URIs: curves, precision over recall, frames with their errors."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from training.data.sample import Sample
from training.evaluate.matching import match
from training.evaluate.predictor import Answer

Answers = Sequence[tuple[Sample, Answer]]

MET, MISSED, RIGHT, FALSE_ALARM = "#2ca02c", "#ff7f0e", "#1f77b4", "#d62728"


def curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Losses over steps out of the lines of history.jsonl."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    steps = [line["done"] for line in history]
    axes.plot(steps, [line["loss_original"] for line in history], label="original")
    if any(line["loss_new"] for line in history):
        axes.plot(steps, [line["loss_new"] for line in history], label="new")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return data_uri(figure)


def precision_recall(answers: Answers, classes: Sequence[str], thresholds: Sequence[float]) -> str:
    """One curve a class over all pictures, healthy ones included."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(classes):
        scores, right, defects = [], [], 0
        for sample, answer in answers:
            outcome = match(answer.found, sample.boxes, sample.classes)
            mine = answer.found.classes == index
            scores.append(answer.found.scores[mine])
            right.append(outcome.right[mine])
            defects += int((sample.classes == index).sum())
        score = np.concatenate(scores)
        if not defects or not len(score):
            continue
        order = np.argsort(-score, kind="stable")
        met = np.cumsum(np.concatenate(right)[order])
        recall, precision = met / defects, met / np.arange(1, len(order) + 1)
        (line,) = axes.plot(recall, precision, label=name, drawstyle="steps-post")
        raised = int((score >= thresholds[index]).sum())
        if raised:
            axes.plot(recall[raised - 1], precision[raised - 1], "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left")
    return data_uri(figure)


def pictures(answers: Answers, classes: Sequence[str], *, count: int = 8) -> str:
    """The pictures with most errors at the deployed thresholds, defects and detections drawn in."""

    def errors(entry: tuple[Sample, Answer]) -> int:
        outcome = match(entry[1].deployed, entry[0].boxes, entry[0].classes)
        return int((~outcome.right).sum() + (~outcome.met).sum())

    # Sorting is stable: equal ones stay in the order of the set.
    worst = sorted(answers, key=errors, reverse=True)[:count]
    rows = max(1, (len(worst) + 3) // 4)
    figure = Figure(figsize=(14, 3.7 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (sample, answer) in zip(grid, worst, strict=False):
        pixels = sample.picture.read()
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255)
        axes.set_title(sample.name, fontsize=8)
        outcome = match(answer.deployed, sample.boxes, sample.classes)
        for box, met in zip(sample.boxes, outcome.met, strict=True):
            _draw(axes, box, MET if met else MISSED, dashed=not met)
        for box, score, kind, right in zip(
            answer.deployed.boxes, answer.deployed.scores, answer.deployed.classes, outcome.right, strict=True
        ):
            _draw(axes, box, RIGHT if right else FALSE_ALARM, text=f"{classes[kind]} {score:.2f}")
    return data_uri(figure, dpi=70)


def data_uri(figure: Figure, dpi: int = 90) -> str:
    """A figure as a PNG inside a `data:` address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _draw(axes: Axes, box: np.ndarray[Any, Any], colour: str, *, dashed: bool = False, text: str = "") -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    style = "--" if dashed else "-"
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=style, linewidth=1.5))
    if text:
        axes.text(x1, y1, text, fontsize=6, color="white", backgroundcolor=colour, va="bottom")
