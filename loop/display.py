"""How a run shows where it is: bars on a terminal, plain lines in a file, JSON lines for another program."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

Advance = Callable[[int, int, str], None]
"""Pieces done, pieces in all (0: not known), and a few words."""

LINE_EVERY_SECONDS = 10.0
"""Between two plain lines of one step."""


class Display(Protocol):
    """Where a run says what it does."""

    def say(self, text: str) -> None:
        """One line, for good."""
        ...

    def step(self, title: str) -> AbstractContextManager[Advance]:
        """A piece of work from entering to leaving."""
        ...


class BarDisplay:
    """Bars on a terminal; a context manager."""

    def __init__(self, stream: TextIO | None = None) -> None:
        # Columns of fixed width, so that in a narrow terminal the words give way and the bars stay.
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(width=30, no_wrap=True)),
            BarColumn(bar_width=14, table_column=Column(width=14)),
            TaskProgressColumn(table_column=Column(width=5)),
            TimeElapsedColumn(table_column=Column(width=8)),
            TextColumn("[dim]{task.fields[words]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=Console(file=stream or sys.stderr),
            expand=True,
        )

    def __enter__(self) -> BarDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Advance]:
        """A bar."""
        task = self._progress.add_task(title, total=None, words="")

        def advance(done: int, total: int, words: str) -> None:
            self._progress.update(task, completed=done, total=total or None, words=words)

        yield advance
        known = self._progress.tasks[self._progress.task_ids.index(task)].total
        self._progress.update(task, total=known or 1, completed=known or 1)
        self._progress.stop_task(task)


class LineDisplay:
    """Plain lines, at most one in a while for each step."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _to_stderr
        self._lock = threading.Lock()

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """A line."""
        with self._lock:
            self._write(text)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Advance]:
        """A line at the beginning, now and then, and at the end."""
        started = last = time.monotonic()
        latest = ""
        self.say(f"{title} ...")

        def advance(done: int, total: int, words: str) -> None:
            nonlocal last, latest
            latest = words
            now = time.monotonic()
            if now - last >= LINE_EVERY_SECONDS:
                last = now
                share = f"{done / total:4.0%}" if total else f"{done}"
                self.say(f"{title}: {share}{', ' + words if words else ''}")

        yield advance
        self.say(f"{title}: done in {time.monotonic() - started:.1f} s{', ' + latest if latest else ''}")


class JsonDisplay:
    """One JSON object a line, for the program that started this one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """{"say": text}"""
        self._tell({"say": text})

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Advance]:
        """{"step": title, "done": n, "total": n, "words": text}, at last with "over"."""
        self._tell({"step": title, "done": 0, "total": 0, "words": ""})
        last = time.monotonic()
        latest = ""

        def advance(done: int, total: int, words: str) -> None:
            nonlocal last, latest
            latest = words
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                self._tell({"step": title, "done": done, "total": total, "words": words})

        yield advance
        self._tell({"step": title, "words": latest, "over": True})

    def _tell(self, values: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(values), file=self._stream, flush=True)


def open_display(stream: TextIO | None = None) -> BarDisplay | LineDisplay:
    """Bars where somebody looks, lines where a file does. A context manager."""
    target = stream or sys.stderr
    return BarDisplay(target) if target.isatty() else LineDisplay()


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
