"""What was looked at and how it is, as values, and the page of them. Decides; looks at nothing itself."""

from __future__ import annotations

import dataclasses
import enum
import textwrap
from collections.abc import Sequence


class State(enum.Enum):
    """How something is."""

    OK = "ok"
    OFF = "off"
    """Not here, and nobody asked for it."""
    WARNING = "warning"
    """The station would run; somebody should know."""
    FAULT = "fault"
    """The station would not run, or not as its configuration says."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the page."""

    section: str
    """station, backends, cameras, ports, keys, disk, clock, log, outputs."""
    name: str
    state: State
    text: str
    """What was seen."""
    todo: str = ""
    """What to do about it; empty: nothing."""


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether the station would run as it is configured."""
    return all(finding.state is not State.FAULT for finding in findings)


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """For programs."""
    return {
        "healthy": is_healthy(findings),
        "findings": [{**dataclasses.asdict(finding), "state": finding.state.value} for finding in findings],
    }


def as_page(findings: Sequence[Finding], columns: int = 120) -> str:
    """For people: a block for each section in the order in which they came, a line for each finding."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    for section in dict.fromkeys(finding.section for finding in findings):
        lines.append(section)
        for finding in findings:
            if finding.section == section:
                head = f"  {finding.state.value:<7}  {finding.name:<{width}}  "
                hanging = " " * len(head)
                said = [(finding.text, head, hanging)]
                said += [(f"-> {finding.todo}", hanging, hanging + "   ")] if finding.todo else []
                for text, first, then in said:
                    lines += textwrap.wrap(
                        text, columns, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
                    ) or [head.rstrip()]
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    if counts[State.FAULT]:
        lines.append(f"\n{_many(counts[State.FAULT], 'fault')}, {_many(counts[State.WARNING], 'warning')}")
    else:
        lines.append(f"\nthe station can run; {_many(counts[State.WARNING], 'warning')}")
    return "\n".join(lines)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
