"""Answers that are to be left out on request: an operator, a station, a stretch of time or of the log. Pure.

Leaving out is as if it had never been said, with one exception: what an answer spoke of stays unsettled, so that
another's word about the whole frame does not settle it. An operator's earlier revision stands again where only the
later one is left out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable

from lineside.records import FeedbackEvent, RecordedFrame

WORDS = ("operator", "station", "sequences", "time")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """One rule: an answer is left out where all that is given holds."""

    operator: str | None = None
    station: str | None = None
    sequences: tuple[int, int] | None = None
    """First and last log sequence."""
    time: tuple[int, int] | None = None
    """When the station received it, nanoseconds since the epoch, from and up to but not including."""

    def __post_init__(self) -> None:
        if all(getattr(self, field.name) is None for field in dataclasses.fields(self)):
            raise ValueError(f"a rule that leaves everything out; expected at least one of {', '.join(WORDS)}")
        for name in ("sequences", "time"):
            span = getattr(self, name)
            if span is not None and span[0] > span[1]:
                raise ValueError(f"{name} is {span[0]} to {span[1]}, expected the first before the last")

    def covers(self, event: FeedbackEvent, frame: RecordedFrame | None) -> bool:
        """Whether an answer is left out."""
        if self.operator is not None and event.operator != self.operator:
            return False
        if self.station is not None and (frame is None or frame.station != self.station):
            return False
        if self.sequences is not None and not self.sequences[0] <= event.log_sequence <= self.sequences[1]:
            return False
        return self.time is None or self.time[0] <= event.received_unix_ns < self.time[1]

    @property
    def reason(self) -> str:
        """For the account."""
        parts = []
        if self.operator is not None:
            parts.append(f"operator {self.operator}")
        if self.station is not None:
            parts.append(f"station {self.station}")
        if self.sequences is not None:
            parts.append(f"sequences {self.sequences[0]}-{self.sequences[1]}")
        if self.time is not None:
            parts.append("time " + "/".join(_told(moment) for moment in self.time))
        return "left out on request: " + ", ".join(parts)


def parse_without(text: str) -> Without:
    """Reads `operator=NAME,station=NAME,sequences=FROM-TO,time=FROM/TO`, any of them.

    Times are ISO 8601; without an offset they are UTC.

    Raises:
        ValueError: it is none.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        word, equals, value = part.strip().partition("=")
        if word not in WORDS or not equals or not value or word in values:
            raise ValueError(
                f"--without is {text!r}, expected e.g. operator=bob or operator=bob,time=2026-03-01/2026-03-02"
                f" (words are {', '.join(WORDS)}, each once)"
            )
        values[word] = value
    sequences = values.get("sequences")
    moments = values.get("time")
    try:
        return Without(
            operator=values.get("operator"),
            station=values.get("station"),
            sequences=None if sequences is None else _two(int, sequences, "-"),
            time=None if moments is None else _two(_moment, moments, "/"),
        )
    except ValueError as error:
        raise ValueError(f"--without {text}: {error}; expected sequences=FROM-TO, time=FROM/TO in ISO 8601") from None


def _two(read: Callable[[str], int], text: str, between: str) -> tuple[int, int]:
    first, found, last = text.partition(between)
    if not found:
        raise ValueError(f"{text!r} has no {between!r}")
    return read(first), read(last)


def _moment(text: str) -> int:
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    whole = moment - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + whole.microseconds * 1000


def _told(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment / 1e9, dt.timezone.utc).isoformat(timespec="seconds")
