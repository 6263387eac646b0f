"""Keeps the tally over a restart: a line for each span that is over, and one for the last when the station stops.

A line may be missing after a power cut, never wrong: they are statistics, the log is the truth.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from edge.panel.pages.tally import MOST_SPANS, Span, Tally, span_of

logger = logging.getLogger(__name__)

FILE_NAME = "counts.jsonl"


class TallyFile:
    """Belongs to one thread.

    Args:
        folder: where the file lies; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._written: dict[int, Span] = {}

    def load(self) -> Tally:
        """What was counted before; lines that cannot be read are left out."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return Tally()
        spans = [self._read(line) for line in lines[-2 * MOST_SPANS :]]
        tally = Tally(span for span in spans if span is not None)
        self._written = {span.at: span_of(span.to_json()) for span in tally.spans()}
        if len(lines) > 2 * MOST_SPANS:
            self._write("w", tally.spans())
        return tally

    def keep(self, span: Span) -> None:
        """Writes what has been counted in a span since it was last written."""
        before = self._written.get(span.at, Span(at=span.at))
        more = Span(
            at=span.at,
            parts=span.parts - before.parts,
            rejected=span.rejected - before.rejected,
            no_verdict=span.no_verdict - before.no_verdict,
            found={
                name: count - before.found.get(name, 0)
                for name, count in span.found.items()
                if count > before.found.get(name, 0)
            },
        )
        if more.parts and self._write("a", [more]):
            self._written[span.at] = span_of(span.to_json())

    def _read(self, line: str) -> Span | None:
        try:
            return span_of(json.loads(line))
        except (ValueError, RecursionError):
            logger.warning("a line of %s cannot be read and is left out", self._path)
            return None

    def _write(self, mode: str, spans: list[Span]) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode, encoding="utf-8") as file:
                file.writelines(json.dumps(span.to_json(), ensure_ascii=False) + "\n" for span in spans)
        except OSError as error:
            logger.warning("counts are not kept over a restart: %s", error.strerror)
            return False
        return True
