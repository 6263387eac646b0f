"""Each operator's agreement as Cohen's kappa with an interval: what an engineer reads and the panel shows. Pure.

An answer is compared with a *reference* it did not know of: the truth of a known part that was mixed in, or, on a
hidden repeat, what all other operators said where they are of one mind. With o the share of answers that agree with
their reference, and e the share that would by chance, from how often each side says yes,

    kappa = (o - e) / (1 - e)        Cohen (1960): 1 in full agreement, 0 no better than chance

The interval is Wilson's for o, carried through with e held fixed: closed form, and never of width 0 where somebody was
right twenty times out of twenty, as a bootstrap's is. Where everybody always says the same, e is 1 and there is none.

`training.reliability.model` weighs answers; this is the figure for people, which anybody can recompute.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from lineside.fold import standing
from lineside.records import FeedbackEvent, Gesture
from lineside.replay.figures import wilson

YES = frozenset({Gesture.CONFIRM, Gesture.POOR_BOX})
NO = frozenset({Gesture.REJECT, Gesture.WRONG_CLASS})
"""What says that a detection is right as named, and that it is not. Unsure says neither."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of one operator. All NaN where there is nothing to compare, or both sides always say the same."""

    kappa: float
    low: float
    high: float
    """Limits of the 95 % interval."""
    compared: int
    """Answers that had a reference."""

    def below(self, other: Agreement) -> bool:
        """Whether the whole interval lies below another one's."""
        return self.high < other.low


Pair = tuple[bool, bool]
"""What the operator said, and the reference."""


def agreement_of(pairs: Sequence[Pair]) -> Agreement:
    """Kappa of answers with their references."""
    count = len(pairs)
    nothing = Agreement(kappa=math.nan, low=math.nan, high=math.nan, compared=count)
    if not count:
        return nothing
    own = sum(said for said, _ in pairs) / count
    true = sum(reference for _, reference in pairs) / count
    by_chance = own * true + (1 - own) * (1 - true)
    if by_chance >= 1:
        return nothing
    share = sum(said == reference for said, reference in pairs) / count
    low, high = wilson(share, count)

    def kappa(observed: float) -> float:
        return (observed - by_chance) / (1 - by_chance)

    return Agreement(kappa=kappa(share), low=kappa(low), high=kappa(high), compared=count)


def pairs_on_frames(frames: Iterable[Iterable[FeedbackEvent]]) -> dict[str, list[Pair]]:
    """Answers about detections that several operators judged, by operator: for a station's own page.

    Args:
        frames: of each frame everything that was said.
    """
    pairs: dict[str, list[Pair]] = {}
    for events in frames:
        for target, said in standing(events).items():
            votes = {event.operator: event.gesture in YES for event in said if event.gesture in YES | NO}
            if target[0] == "detection":
                add_votes(pairs, list(votes.items()), None)
    return pairs


def add_votes(pairs: dict[str, list[Pair]], votes: Sequence[tuple[str, bool]], truth: bool | None) -> None:
    """Takes down each answer to one question that has a reference.

    Args:
        pairs: by operator; added to.
        votes: who said what; one operator may have answered more than once.
        truth: of a known part; None: what all others said, where they are of one mind.
    """
    for name, said in votes:
        references = {truth} if truth is not None else {vote for other, vote in votes if other != name}
        if len(references) == 1:
            pairs.setdefault(name, []).append((said, bool(references.pop())))
