"""The result by part reference: which kind of part a candidate does worse on. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from lineside.replay.findings import Group, findings_of
from lineside.replay.judging import DEFECTS, DENIALS, FrameResult


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceLine:
    """All frames of one part reference: what was asked there, and what was found."""

    reference: str
    frames: int
    defects: int
    escapes: int
    other_class: int
    rejected: int
    still_fire: int
    alarms: int
    verdicts: int
    """Verdicts that change."""

    @property
    def findings(self) -> int:
        """Everything that speaks against the candidate."""
        return self.escapes + self.other_class + self.still_fire + self.alarms


def by_reference(frames: Sequence[FrameResult], pattern: str = "") -> tuple[ReferenceLine, ...]:
    """A line for each reference, the worst first: most escapes, then most of the others, then by name.

    Args:
        frames: the records that were used.
        pattern: regular expression that finds the reference in a part id: its first group, or else the whole match. A
            part id without a match is its own reference; so is every one where there is no pattern.

    Raises:
        ValueError: the pattern is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    counts: dict[str, dict[str, int]] = {}

    def add(frame: FrameResult, name: str, number: int = 1) -> None:
        reference = _reference(frame.part, compiled) if pattern else frame.part
        line = counts.setdefault(reference, dict.fromkeys(_NAMES, 0))
        line[name] += number

    for frame in frames:
        add(frame, "frames")
        add(frame, "defects", sum(item.expectation.kind in DEFECTS for item in frame.results))
        add(frame, "rejected", sum(item.expectation.kind in DENIALS for item in frame.results))
    for finding in findings_of(frames):
        add(finding.frame, _COUNTED[finding.group])
    lines = [ReferenceLine(reference=reference, **values) for reference, values in counts.items()]
    return tuple(sorted(lines, key=lambda line: (-line.escapes, -line.findings, -line.verdicts, line.reference)))


_NAMES = tuple(field.name for field in dataclasses.fields(ReferenceLine) if field.name != "reference")
_COUNTED = {
    Group.ESCAPE: "escapes",
    Group.RENAMED: "other_class",
    Group.FIRES: "still_fire",
    Group.ALARM: "alarms",
    Group.FLIP: "verdicts",
}


def _reference(part: str, pattern: re.Pattern[str]) -> str:
    found = pattern.search(part)
    if found is None:
        return part
    return (found.group(1) if pattern.groups else found.group()) or part
