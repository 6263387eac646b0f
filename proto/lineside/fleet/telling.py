"""What somebody at a terminal sees while many stations are worked on: a line for each; in a file, what is new."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from lineside.fleet.page import printable

QUIET_SECONDS = 10.0
"""In a file the same step of a station is not told more often."""


class Teller(Protocol):
    """Told from any thread."""

    def words(self, name: str, text: str) -> None:
        """What a station is at; it begins with the step and a colon."""

    def progress(self, name: str, sent: int, total: int) -> None:
        """How far a push is, bytes."""


class Lines:
    """One line of text for what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, float]] = {}

    def words(self, name: str, text: str) -> None:
        """Prints it, unless the same step of this station was told just now."""
        step = text.partition(":")[0]
        with self._lock:
            before, at = self._last.get(name, ("", 0.0))
            if step == before and time.monotonic() - at < QUIET_SECONDS:
                return
            self._last[name] = (step, time.monotonic())
            sys.stderr.write(printable(f"{name}  {text}") + "\n")
            sys.stderr.flush()

    def progress(self, name: str, sent: int, total: int) -> None:
        """Told as words."""
        if total:
            self.words(name, f"push: {sent / total:.0%} of {total / 1e6:.1f} MB")


class Bars:
    """A line for each station, redrawn in place."""

    def __init__(self, bars: Any, tasks: dict[str, Any]) -> None:
        self._bars, self._tasks = bars, tasks

    def words(self, name: str, text: str) -> None:
        """Beside the station's name."""
        self._bars.update(self._tasks[name], words=printable(text)[:160])

    def progress(self, name: str, sent: int, total: int) -> None:
        """As the bar's length."""
        self._bars.update(self._tasks[name], completed=sent, total=total)


@contextlib.contextmanager
def teller(names: Sequence[str]) -> Iterator[Teller]:
    """Shows while inside.

    Args:
        names: of all stations.
    """
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[words]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        yield Bars(bars, {name: bars.add_task(name, total=None, start=True, words="") for name in names})
