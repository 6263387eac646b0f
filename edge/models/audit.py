"""Who did what to the station's models: one line of JSON each, appended, never changed.

Every line carries the SHA-256 of the line before it, so that one which was changed or taken out shows; a copy of the
last line kept elsewhere guards the whole file. A line that a power cut tore stays where it is and is passed over.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.models.journal import sync_folder

_LOGGER = logging.getLogger(__name__)

NOTHING_BEFORE = "0" * 64
DONE = "done"
STATION = "station"
"""The actor where nobody asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line; fields as in AuditEntry of swap.proto."""

    number: int
    unix_ns: int
    actor: str
    action: str
    digest: str = ""
    name: str = ""
    version: str = ""
    outcome: str = DONE
    message: str = ""
    previous: str = NOTHING_BEFORE


def is_alarm(entry: Entry) -> bool:
    """Whether the station itself spoke against a model: took it back (or would have), or refused it."""
    return entry.actor == STATION and entry.action in ("rollback", "refuse")


class Audit:
    """The file. Thread-safe.

    Args:
        path: of the file; its folder exists.
        on_entry: told of every line that is noted from now on, in order, quickly.
    """

    def __init__(self, path: Path, on_entry: Callable[[Entry], None] = lambda _: None) -> None:
        self._path = path
        self._on_entry = on_entry
        self._lock = threading.Lock()
        self._number, self._last = 0, NOTHING_BEFORE
        self.last_alarm: Entry | None = None
        """The latest line that `is_alarm`, over starts too."""
        for line, entry in _lines(path):
            self._number, self._last = entry.number, _digest(line)
            self.last_alarm = entry if is_alarm(entry) else self.last_alarm
        self.changed_before = tuple(broken_links(path))
        """Numbers of the entries that do not fit the line before them: it was changed, or lines were taken out."""
        if self.changed_before:
            _LOGGER.error("the audit was changed before the entries %s", ", ".join(map(str, self.changed_before)))
        self._torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0

    def note(
        self,
        *,
        now: int,
        actor: str,
        action: str,
        digest: str = "",
        name: str = "",
        version: str = "",
        outcome: str = DONE,
        message: str = "",
    ) -> None:
        """Appends a line; on the disk on return. A disk that cannot take it is logged and holds nobody up.

        Args:
            now: nanoseconds since the epoch.
        """
        with self._lock:
            entry = Entry(
                number=self._number + 1,
                unix_ns=now,
                actor=actor,
                action=action,
                digest=digest,
                name=name,
                version=version,
                outcome=outcome,
                message=message,
                previous=self._last,
            )
            self.last_alarm = entry if is_alarm(entry) else self.last_alarm
            self._on_entry(entry)
            line = json.dumps(dataclasses.asdict(entry), ensure_ascii=False).encode()
            new = not self._path.exists()
            try:
                with open(self._path, "ab") as stream:
                    stream.write((b"\n" if self._torn else b"") + line + b"\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                if new:
                    sync_folder(self._path.parent)
            except OSError:
                # Perhaps half of it is there: the next line begins with an end of line.
                self._torn = True
                _LOGGER.exception("the audit cannot be written: %s", line.decode())
                return
            self._torn = False
            self._number, self._last = entry.number, _digest(line)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Lines with a higher number, in order."""
        for _, entry in _lines(self._path):
            if entry.number > after:
                yield entry


def broken_links(path: Path) -> list[int]:
    """Numbers of the entries before which a line was changed or taken out, or that do not follow their number."""
    found, last, number = [], NOTHING_BEFORE, 0
    for line, entry in _lines(path):
        if entry.previous != last or entry.number != number + 1:
            found.append(entry.number)
        last, number = _digest(line), entry.number
    return found


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _lines(path: Path) -> Iterator[tuple[bytes, Entry]]:
    """The whole lines of a file; none where there is no file."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with stream:
        for raw in stream:
            line = raw.rstrip(b"\n")
            try:
                document: dict[str, Any] = json.loads(line)
                entry = Entry(**document)
            except (ValueError, TypeError):
                continue
            yield line, entry
