"""Operators' agreement (`lineside.agreement`) on what a log holds: hidden repeats, and known parts mixed in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lineside.agreement import Agreement, Pair, add_votes, agreement_of
from training.reliability.questions import Place, Question


def agreements(questions: Iterable[Question], known: Mapping[Place, bool] | None = None) -> dict[str, Agreement]:
    """Each operator's agreement, by name; who was never compared is left out.

    Args:
        questions: all that were answered.
        known: by place, whether a detection of a known part is right as named.
    """
    pairs: dict[str, list[Pair]] = {}
    for question in questions:
        truths = {known[place] for place in question.places if place in known} if known else set()
        add_votes(pairs, question.votes, next(iter(truths)) if len(truths) == 1 else None)
    return {name: agreement_of(own) for name, own in sorted(pairs.items())}
