"""Passed or refused: a function of the figures and the policy. Pure."""

from __future__ import annotations

import dataclasses

from lineside.replay.figures import Share, Tally
from lineside.replay.policy import WEIGHTED, Policy

NAMED_PARTS = 20
"""Most parts a sentence names; the rest are counted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One limit that was not kept. `parts` are all parts behind it, the worst first; `text` says it to a person."""

    limit: str
    text: str
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's word. No refusal: passed."""

    refusals: tuple[Refusal, ...]

    @property
    def passed(self) -> bool:
        """Whether every limit was kept."""
        return not self.refusals


def decide(tally: Tally, policy: Policy) -> Decision:
    """Holds the figures against the limits."""
    refusals: list[Refusal] = []

    def refuse(limit: str, text: str, parts: tuple[str, ...] = ()) -> None:
        refusals.append(Refusal(limit=limit, text=text + _named(parts), parts=parts))

    if tally.unanswered:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in tally.unanswered.items())
        refuse(
            "answers", f"the candidate gave no usable answer for {sum(tally.unanswered.values())} records: {reasons}"
        )
    if tally.escapes.hits > policy.most_escapes:
        refuse(
            "most_escapes",
            f"{tally.escapes.hits} of {tally.escapes.total} known defects escape, {policy.most_escapes} allowed",
            tuple(tally.escaped_parts),
        )
    for name, share in tally.found_by_class.items():
        value, limit = _value(share, policy), policy.found_limit(name)
        if value < limit:
            refuse(
                "least_found_share",
                f"{value:.1%} of the {name} defects are found ({policy.shares}), {limit:.1%} asked for",
                tally.unfound_parts.get(name, ()),
            )
    for limit_name, share, limit, what, parts in (
        (
            "most_firing_share",
            tally.firing,
            policy.most_firing_share,
            "rejected detections still fire",
            tally.firing_parts,
        ),
        (
            "most_sound_firing_share",
            tally.sound_firing,
            policy.most_sound_firing_share,
            "sound frames show an alarm",
            tally.alarmed_parts,
        ),
    ):
        value = _value(share, policy)
        # Nothing rejected at all: a share of nothing is NaN and keeps every limit.
        if value > limit:
            refuse(limit_name, f"{value:.1%} of the {what} ({policy.shares}), {limit:.1%} allowed", tuple(parts))
    if tally.used < policy.least_records:
        refuse("least_records", f"{tally.used} judged records could be used, {policy.least_records} needed to decide")
    return Decision(refusals=tuple(refusals))


def _value(share: Share, policy: Policy) -> float:
    return share.weighted if policy.shares == WEIGHTED else share.raw


def _named(parts: tuple[str, ...]) -> str:
    if not parts:
        return ""
    more = f" and {len(parts) - NAMED_PARTS} more" if len(parts) > NAMED_PARTS else ""
    return f": {', '.join(parts[:NAMED_PARTS])}{more}"
