"""A table's progress on a terminal: a line for the whole, a line for every run at work. Or JSON lines, or nothing."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator

from training.table1.pool import JobProgress
from training.table1.progress import Standing, Tracker

Say = Callable[[str], None]
"""A line about the whole table."""


@contextlib.contextmanager
def shown(kind: str, tracker: Tracker) -> Iterator[Callable[[JobProgress], None]]:
    """What runs are to tell their progress to, from whatever thread.

    Args:
        kind: "bar", "json" (one object a line) or "none".
        tracker: of the table.
    """
    lock = threading.Lock()
    if kind == "bar":
        with _bars(tracker, lock) as take:
            yield take
        return

    def take_line(told: JobProgress) -> None:
        with lock:
            tracker.take(told)
            if kind == "json":
                sys.stdout.write(json.dumps(as_values(told, tracker.standing(time.monotonic()))) + "\n")
                sys.stdout.flush()

    yield take_line


def as_values(told: JobProgress, standing: Standing) -> dict[str, object]:
    """One line of progress as plain values."""
    values: dict[str, object] = {
        "stage": told.stage,
        "recipe": told.job.recipe,
        "seed": told.job.seed,
        "done": told.done,
        "total": told.total,
        "runs_done": standing.done,
        "runs": standing.total,
        "share": round(standing.share, 4),
        "seconds_left": None if standing.seconds_left is None else round(standing.seconds_left),
    }
    if told.message:
        values["message"] = told.message
    return values


@contextlib.contextmanager
def _bars(tracker: Tracker, lock: threading.Lock) -> Iterator[Callable[[JobProgress], None]]:
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    columns = (
        TextColumn("{task.description}", markup=True),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns) as bars:
        whole = bars.add_task("[bold]table[/bold]", total=1.0, what="")
        lines: dict[object, TaskID] = {}

        def take(told: JobProgress) -> None:
            with lock:
                tracker.take(told)
                standing = tracker.standing(time.monotonic())
                bars.update(whole, completed=standing.share, what=_of_table(standing))
                if told.stage in ("done", "failed"):
                    line = lines.pop(told.job, None)
                    if line is not None:
                        bars.remove_task(line)
                    if told.stage == "failed":
                        bars.print(f"[red]failed[/red] {escape(told.job.name)}: {escape(told.message)}")
                    return
                if told.job not in lines:
                    lines[told.job] = bars.add_task(
                        f"{escape(told.job.recipe)}, seed {told.job.seed}", total=None, what=""
                    )
                what = f"{told.stage} {told.done}/{told.total}" if told.total else told.stage
                bars.update(lines[told.job], completed=told.done, total=told.total or None, what=what)

        yield take


def _of_table(standing: Standing) -> str:
    words = f"{standing.done} of {standing.total} runs"
    if standing.failed:
        words += f", {standing.failed} failed"
    if standing.seconds_left is not None:
        words += f", {duration(standing.seconds_left)} left"
    return words


def duration(seconds: float) -> str:
    """Hours and minutes, or seconds, as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
