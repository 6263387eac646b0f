"""The account of what was read from mentoring logs: everything is used, skipped or disputed, and the totals reconcile.

Counted three times over, because three people ask: *frames* (pictures that somebody spoke about, and those nobody did),
*judgements* (what all answers about one detection, one frame or one drawn defect amount to), *answers* (each event an
operator sent). A count that does not add up to what was read is refused at birth, so an account cannot be wrong
silently.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import io
from collections.abc import Iterable, Mapping
from typing import Any

UNJUDGED = "nobody has said anything about it"
EXAMPLES = 5
"""Names kept for each reason, so that somebody can go and look."""


class Kind(enum.Enum):
    """What can become of a record."""

    USED = "used"
    SKIPPED = "skipped"
    DISPUTED = "disputed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one record, and why."""

    kind: Kind
    reason: str = ""
    """Empty only where it was used."""

    def __post_init__(self) -> None:
        if (self.kind is Kind.USED) != (not self.reason):
            raise ValueError(f"a record is {self.kind.value} with reason {self.reason!r}; all but the used need one")


USED = Fate(kind=Kind.USED)


def skipped(reason: str) -> Fate:
    """It teaches nothing, because."""
    return Fate(kind=Kind.SKIPPED, reason=reason)


def disputed(reason: str) -> Fate:
    """It is contradicted, by whom."""
    return Fate(kind=Kind.DISPUTED, reason=reason)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many records of one sort became what."""

    read: int = 0
    used: int = 0
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By reason."""
    disputed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By reason."""

    def __post_init__(self) -> None:
        told = self.used + sum(self.skipped.values()) + sum(self.disputed.values())
        if told != self.read:
            raise ValueError(f"{self.read} records were read and {told} are accounted for; expected as many")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "read": self.read,
            "used": self.used,
            "skipped": dict(self.skipped),
            "disputed": dict(self.disputed),
        }


SORTS = ("frames", "judgements", "answers")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of everything in one or several logs. Empty where no log was read."""

    frames: Count = dataclasses.field(default_factory=Count)
    judgements: Count = dataclasses.field(default_factory=Count)
    answers: Count = dataclasses.field(default_factory=Count)
    stations: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    """By name: frames, answers about them that stand, first and last log sequence of these."""
    taught: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By station: log sequences of the answers that were used, as `lineside.log.sequences` writes them."""
    operators: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    """By name: answers used, skipped and disputed; where reliability counts: repeats, mean, low, high."""
    notes: tuple[str, ...] = ()
    """What else somebody should know: missing answers, models without a head."""
    examples: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By reason: ids of a few records."""

    def lines(self) -> tuple[str, ...]:
        """What teaches nothing, of frames that somebody judged and of judgements: how many, and why."""
        # A reason that befell whole frames is told by frames.
        told = {**dict(reasons(self.judgements)), **dict(reasons(self.frames))}
        return tuple(f"{number} x {reason}" for reason, number in sorted(told.items()) if reason != UNJUDGED)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's lineage."""
        return {
            **{sort: getattr(self, sort).to_json() for sort in SORTS},
            "stations": {name: dict(values) for name, values in self.stations.items()},
            "taught": dict(self.taught),
            "operators": {name: dict(values) for name, values in self.operators.items()},
            "notes": list(self.notes),
            "examples": {reason: list(names) for reason, names in self.examples.items()},
        }


class Ledger:
    """Takes down the fate of one record after another."""

    def __init__(self) -> None:
        self._fates: dict[str, collections.Counter[Fate]] = {sort: collections.Counter() for sort in SORTS}
        self._examples: dict[str, list[str]] = {}
        self._operators: dict[str, collections.Counter[str]] = {}

    def book(self, sort: str, fate: Fate, name: str, *, operator: str | None = None, times: int = 1) -> None:
        """Takes down one record.

        Args:
            sort: "frames", "judgements" or "answers".
            fate: what became of it.
            name: of the record.
            operator: who said it, of an answer.
            times: as many records of the same fate.
        """
        if times == 0:
            return
        self._fates[sort][fate] += times
        if fate.reason and name:
            names = self._examples.setdefault(fate.reason, [])
            if len(names) < EXAMPLES and name not in names:
                names.append(name)
        if operator is not None:
            self._operators.setdefault(operator, collections.Counter())[fate.kind.value] += times

    def count(self, sort: str, *, read: int) -> Count:
        """How many became what.

        Raises:
            ValueError: other than `read` were taken down.
        """
        fates = self._fates[sort]

        def of(kind: Kind) -> dict[str, int]:
            return dict(sorted((fate.reason, number) for fate, number in fates.items() if fate.kind is kind))

        return Count(read=read, used=fates[USED], skipped=of(Kind.SKIPPED), disputed=of(Kind.DISPUTED))

    @property
    def examples(self) -> dict[str, tuple[str, ...]]:
        """By reason: ids of a few records."""
        return {reason: tuple(names) for reason, names in sorted(self._examples.items())}

    def operators(self, reliability: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """By name: answers by kind of fate, and what is known of the operator's reliability."""
        return {
            name: {**{kind.value: float(counts[kind.value]) for kind in Kind}, **reliability.get(name, {})}
            for name, counts in sorted(self._operators.items())
        }


def reasons(count: Count) -> Iterable[tuple[str, int]]:
    """Every reason with its number, skipped first."""
    yield from count.skipped.items()
    yield from count.disputed.items()


def table(account: Account) -> str:
    """The account as a short table: a line for each reason, and the totals."""
    # Only here, because rich is for people at a terminal.
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title="What the log teaches", title_justify="left", box=None, pad_edge=False)
    drawn.add_column("")
    for sort in SORTS:
        drawn.add_column(sort, justify="right")

    def line(name: str, values: Iterable[int], style: str = "") -> None:
        drawn.add_row(name, *(f"{value:,}" if value else "–" for value in values), style=style)

    counts = [getattr(account, sort) for sort in SORTS]
    line("used", (count.used for count in counts))
    for kind in (Kind.SKIPPED, Kind.DISPUTED):
        tables: list[Mapping[str, int]] = [getattr(count, kind.value) for count in counts]
        if any(tables):
            line(kind.value, (sum(values.values()) for values in tables))
        for reason in sorted({reason for values in tables for reason in values}):
            line(f"  {reason}", (values.get(reason, 0) for values in tables), style="dim")
    line("read", (count.read for count in counts), style="bold")
    text = io.StringIO()
    console = Console(file=text, width=110)
    console.print(drawn)
    for note in account.notes:
        console.print(note, highlight=False)
    return text.getvalue().rstrip()
