"""What other thresholds would change: findings that come, and findings that go. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from lineside.replay.findings import Finding, findings_of
from lineside.replay.judging import FrameResult


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Findings with the tried thresholds that were not there before, and those that are gone; the gravest first."""

    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]

    def counts(self) -> dict[str, tuple[int, int]]:
        """By kind of finding, the gravest first: how many are new, how many are gone."""
        new, gone = (Counter(item.group for item in items) for items in (self.new, self.gone))
        order = dict.fromkeys(item.group for item in sorted((*self.new, *self.gone), key=_gravity))
        return {group.value: (new[group], gone[group]) for group in order}


def effect_of(before: Sequence[FrameResult], after: Sequence[FrameResult]) -> Effect:
    """Compares two replays of one log.

    Args:
        before: the results with the package's own thresholds.
        after: with those that are tried.
    """
    was, now = findings_of(before), findings_of(after)
    known, present = {_key(item) for item in was}, {_key(item) for item in now}
    return Effect(
        new=tuple(item for item in now if _key(item) not in known),
        gone=tuple(item for item in was if _key(item) not in present),
    )


def _key(finding: Finding) -> tuple[object, ...]:
    """The same finding whatever the scores: what kind, on which frame, about which place and class."""
    return finding.group, finding.frame.frame_id, finding.class_name, finding.box


def _gravity(finding: Finding) -> int:
    return list(type(finding.group)).index(finding.group)
