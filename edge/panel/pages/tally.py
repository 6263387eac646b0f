"""What came along the line, counted in spans of ten minutes: parts, rejects, detections by class. Pure.

The log cannot say this: it keeps the frames that policies chose. Events count every part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from lineside.v1 import inspection_pb2

SPAN_SECONDS = 600
MOST_SPANS = 14 * 24 * 6
"""Two weeks."""
MOST_CLASSES = 256


@dataclasses.dataclass(slots=True)
class Span:
    """Ten minutes; `at` is their beginning in seconds since the epoch, a multiple of SPAN_SECONDS."""

    at: int
    parts: int = 0
    rejected: int = 0
    no_verdict: int = 0
    found: dict[str, int] = dataclasses.field(default_factory=dict)
    """Detections by class."""

    def add(self, other: Span) -> None:
        """Counts of another span of the same time: of before a restart."""
        self.parts += other.parts
        self.rejected += other.rejected
        self.no_verdict += other.no_verdict
        for name, count in other.found.items():
            self._found(name, count)

    def see(self, result: inspection_pb2.InspectionResult) -> None:
        """Counts one part."""
        self.parts += 1
        self.rejected += result.verdict == inspection_pb2.VERDICT_REJECT
        self.no_verdict += result.verdict not in (inspection_pb2.VERDICT_REJECT, inspection_pb2.VERDICT_PASS)
        for found in result.detections:
            self._found(found.class_name, 1)

    def _found(self, name: str, count: int) -> None:
        if name in self.found or len(self.found) < MOST_CLASSES:
            self.found[name] = self.found.get(name, 0) + count

    def to_json(self) -> dict[str, Any]:
        """As it is kept and shown."""
        return dataclasses.asdict(self)


def span_of(document: Mapping[str, Any]) -> Span:
    """A kept span.

    Raises:
        ValueError: it is none.
    """
    try:
        found = {str(name): int(count) for name, count in document["found"].items()}
        numbers = {name: int(document[name]) for name in ("at", "parts", "rejected", "no_verdict")}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no span: {error!r}") from None
    if numbers["at"] % SPAN_SECONDS or min(*numbers.values(), *found.values(), 0) < 0:
        raise ValueError("no span: a count is negative, or its time is no multiple of ten minutes")
    return Span(**numbers, found=found)


class Tally:
    """Spans, oldest first. Belongs to one thread.

    Args:
        spans: of before, in any order, some twice.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: dict[int, Span] = {}
        for span in sorted(spans, key=lambda item: item.at):
            self._at(span.at).add(span)

    def see(self, result: inspection_pb2.InspectionResult) -> Span | None:
        """Counts a part by the time it was captured; gives back the span that is over by it, if one is."""
        at = result.captured_unix_ns // 1_000_000_000 // SPAN_SECONDS * SPAN_SECONDS
        last = next(reversed(self._spans), None)
        self._at(at).see(result)
        return self._spans.get(last) if last is not None and at > last else None

    def spans(self, since: float = 0.0) -> list[Span]:
        """Spans that end after `since`, seconds since the epoch."""
        return [span for _, span in sorted(self._spans.items()) if span.at + SPAN_SECONDS > since]

    def _at(self, at: int) -> Span:
        span = self._spans.setdefault(at, Span(at=at))
        while len(self._spans) > MOST_SPANS:
            del self._spans[min(self._spans)]
        return span
