"""How far a roll-out came, on the disk: one line of JSON for each step, appended and fsynced, so that it can be killed.

The journal says what this desk has done and what it learned; what a station holds and serves is asked of the station.
An activation is written before it is asked for: whatever happens between, an undo knows whom it may concern.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from lineside.fleet.plan import Plan

PLAN = "plan"
BEGUN, DONE, REFUSED, ALARM = "begun", "done", "refused", "alarm"
UNREACHABLE, STALLED, STOPPED = "unreachable", "stalled", "stopped"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of one station. `station` is empty for what concerns them all."""

    station: str
    step: str
    """push, prepare, activate, watch, confirm, rollback; "" for the whole roll-out."""
    outcome: str
    """begun, done, or what stood in the way: refused, alarm, unreachable, stalled, stopped."""
    text: str = ""
    at: str = ""
    """Time, ISO 8601, UTC; filled in when it is written."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a journal amounts to."""

    plan: Plan | None = None
    lines: tuple[Line, ...] = ()

    def stations(self, step: str, outcome: str) -> frozenset[str]:
        """Names of the stations that once got as far."""
        return frozenset(line.station for line in self.lines if (line.step, line.outcome) == (step, outcome))

    @property
    def settled(self) -> frozenset[str]:
        """Stations whose new model was watched to the end and found well."""
        return self.stations("watch", DONE) - self.undone

    @property
    def touched(self) -> frozenset[str]:
        """Stations where the model was activated, or may have been; those rolled back again left out."""
        return self.stations("activate", BEGUN) - self.undone

    @property
    def undone(self) -> frozenset[str]:
        """Stations whose last word is a rollback."""
        last = {line.station: line for line in self.lines if line.step in ("activate", "watch", "rollback")}
        return frozenset(name for name, line in last.items() if (line.step, line.outcome) == ("rollback", DONE))

    @property
    def alarm(self) -> Line | None:
        """What stopped it for good, if anything did: a model that alarmed is not brought to a station twice."""
        return next((line for line in self.lines if line.outcome == ALARM), None)

    @property
    def finished(self) -> bool:
        """Every station of the plan has settled."""
        return self.plan is not None and set(self.plan.names) <= self.settled


def read(path: Path) -> Progress:
    """What a journal says; nothing where there is none. A last line that a kill has torn is passed over.

    Raises:
        ValueError: a line before the last is damaged, or it is no journal.
    """
    if not path.exists():
        return Progress()
    raw = path.read_bytes().split(b"\n")
    plan: Plan | None = None
    lines: list[Line] = []
    for number, text in enumerate(raw[:-1], 1):  # what follows the last end of line is torn, or nothing
        entry = _entry(text, f"{path}: line {number}")
        if isinstance(entry, Plan):
            plan, lines = entry, []
        else:
            lines.append(entry)
    return Progress(plan=plan, lines=tuple(lines))


def _entry(text: bytes, place: str) -> Plan | Line:
    try:
        document = json.loads(text)
        return Plan.from_json(document[PLAN]) if PLAN in document else Line(**document)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{place} is no line of a roll-out: {error}") from None


class Journal:
    """Writes one; thread-safe. A context manager that keeps others off the same file.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stream: TextIO | None = None
        self.progress = Progress()

    def __enter__(self) -> Journal:
        """Opens it and reads what is there.

        Raises:
            ValueError: another process writes it, or it is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "a", encoding="utf-8")
        try:
            _keep_others_off(self._stream, self.path)
            self.progress = read(self.path)
            _drop_torn_end(self.path)
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def begin(self, plan: Plan) -> None:
        """A roll-out begins; what stood here before counts no more."""
        with self._lock:
            self._write({PLAN: plan.to_json(), "at": _now()})
            self.progress = Progress(plan=plan)

    def note(self, line: Line) -> None:
        """On the disk on return."""
        line = dataclasses.replace(line, at=_now())
        with self._lock:
            self._write(dataclasses.asdict(line))
            self.progress = dataclasses.replace(self.progress, lines=(*self.progress.lines, line))

    def _write(self, document: dict[str, Any]) -> None:
        if self._stream is None:
            raise RuntimeError("the journal is not open")
        self._stream.write(json.dumps(document, ensure_ascii=False) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


def _drop_torn_end(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)


def _keep_others_off(stream: TextIO, path: Path) -> None:
    with contextlib.suppress(ImportError):  # no fcntl: not a Unix; then nobody is kept off
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{path} is being written by another roll-out; wait for it, or stop it") from None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
