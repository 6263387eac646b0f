"""The factory's words: escapes and false rejects per 1,000 parts. Pure.

A part is what the part id names; its kept frames belong together. It was rejected if any of them was. A rejected part
is a false reject if all that was raised on it is settled as wrong and no defect is known on it; where nobody searched
it, it may still have one that was missed, so the figure then is an upper one. A part that passed is an escape if it has
a defect; that shows only where every kept frame of it was searched.

A part stands for the sum of its frames' weights (each frame of it is as good a way to meet the part as any other:
P. Lavallee, Indirect Sampling, 2007, with shares alike), over the number of frames a part has, which cancels in a rate.
The number of parts inspected is estimated by the sum of these weights; that needs an audit, or nothing is known of
parts that passed. Or it is given. Both totals and their ratio as in `intervals`.

Where a part has several frames, an audit sees one of them at a time: of K frames the others may hold the defect, so the
upper limit for escapes is K times what one frame shows.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

from training.estimate.intervals import Row, Share, Total, ratio_of, share_of, total_of
from training.estimate.judged import OPEN, Answer, JudgedFrame, Search
from training.estimate.precision import undo_errors
from training.estimate.weights import Unit, response_weights

THOUSAND = 1000.0


class PartTruth(enum.Enum):
    """What the answers say of a part."""

    DEFECTIVE = "defective"
    SOUND = "sound"
    OPEN = "open"
    UNKNOWN = "not judged"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """All kept frames of one part."""

    name: str
    rejected: bool
    truth: PartTruth
    weight: float
    """Sum of its frames' weights."""
    frames: int
    flagged: bool
    """Its truth rests on words about whole frames alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Per 1,000 parts, 95 %: `low` and `high` with all open answers for and against. NaN: not known."""

    seen: int
    open: int
    point: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Factory words."""

    rejected: int
    """Parts in the log, judged or not."""
    passed: int
    judged_rejected: int
    judged_passed: int
    frames_per_part: int
    """The most frames kept of one part."""
    inspected: Total | None
    """Parts inspected: estimated, or given (then without width); None: not known."""
    escapes: Rate
    false_rejects: Rate
    false_among_rejected: Share
    """Of the rejected parts, those rejected for nothing; 0 to 1."""


def parts_of(frames: Sequence[JudgedFrame]) -> list[Part]:
    """The parts, in the order in which they first appear."""
    groups: dict[str, list[JudgedFrame]] = {}
    for frame in frames:
        groups.setdefault(frame.part, []).append(frame)
    parts = []
    for name, group in groups.items():
        rejected = any(frame.rejected for frame in group)
        parts.append(
            Part(
                name=name,
                rejected=rejected,
                truth=_truth(group, rejected),
                weight=math.fsum(frame.weight for frame in group),
                frames=len(group),
                flagged=all(item.operators == 0 for frame in group for item in frame.detections),
            )
        )
    return parts


def factory_words(parts: Sequence[Part], *, inspected: int | None = None, error: float = 0.0) -> Parts:
    """Escapes and false rejects per 1,000 parts.

    Args:
        parts: of the log.
        inspected: how many parts the line inspected in this time, where that is known.
        error: probability that a click is wrong and that a missed defect is overlooked, 0 to below 0.5.

    Raises:
        ValueError: fewer parts inspected than there are in the log.
    """
    if inspected is not None and inspected < len(parts):
        raise ValueError(f"{inspected} parts inspected, and the log alone has {len(parts)}")
    each = max((part.frames for part in parts), default=1)
    weights = response_weights(
        [
            Unit("rejected" if part.rejected else "passed", part.weight, part.truth is not PartTruth.UNKNOWN)
            for part in parts
        ]
    )
    passed = [(part, weight) for part, weight in zip(parts, weights, strict=True) if not part.rejected]
    rejected = [(part, weight) for part, weight in zip(parts, weights, strict=True) if part.rejected]
    audited = any(weight > 0 for _, weight in passed)
    total: Total | None = None
    if inspected is not None:
        total = Total(point=inspected, low=inspected, high=inspected)
    elif passed:
        total = total_of((part.name, part.weight / each) for part in parts)
    escapes = false = Rate(seen=0, open=0, point=math.nan, low=0.0, high=THOUSAND)
    if total is not None and audited:
        largest = max(weight for _, weight in passed) / (1 - error) / each
        escapes = _rate(passed, PartTruth.DEFECTIVE, total, each=each, largest=largest, factor=1 / (1 - error))
        escapes = dataclasses.replace(escapes, high=min(THOUSAND, escapes.high * each))
    seen, among = _sound_among(rejected, 0.0), _sound_among(rejected, error)
    if total is not None and any(weight for _, weight in rejected):
        factor = among.point / seen.point if seen.point > 0 else 1.0
        largest = max(weight for _, weight in rejected) / each
        false = _rate(rejected, PartTruth.SOUND, total, each=each, largest=largest, factor=factor)
    return Parts(
        rejected=len(rejected),
        passed=len(passed),
        judged_rejected=sum(weight > 0 for _, weight in rejected),
        judged_passed=sum(weight > 0 for _, weight in passed),
        frames_per_part=each,
        inspected=total,
        escapes=escapes,
        false_rejects=false,
        false_among_rejected=among,
    )


def _truth(group: Sequence[JudgedFrame], rejected: bool) -> PartTruth:
    known = any(frame.defects.known for frame in group)
    searched = all(frame.search is Search.SEARCHED for frame in group)
    touched = any(frame.touched for frame in group)
    if not touched:
        return PartTruth.UNKNOWN
    unclear = any(frame.count(*OPEN, Answer.NOT_THAT) or frame.search is Search.OPEN for frame in group)
    if rejected:
        if known:
            return PartTruth.DEFECTIVE
        whole = not any(frame.count(Answer.UNTOUCHED) for frame in group)
        return PartTruth.OPEN if unclear or not whole else PartTruth.SOUND
    if searched and not unclear:
        return PartTruth.DEFECTIVE if known else PartTruth.SOUND
    # A defect marked where nobody searched is real, but such parts were not met by chance.
    return PartTruth.OPEN if known or unclear else PartTruth.UNKNOWN


def _sound_among(rejected: Sequence[tuple[Part, float]], error: float) -> Share:
    """Share of the rejected parts that were rejected for nothing. Wrong answers are undone as if a part had one click:
    where it had several, a wrong one changes its truth less often, and this goes a little too far."""
    settled = [(part, weight) for part, weight in rejected if weight and part.truth is not PartTruth.OPEN]
    whole = math.fsum(weight for _, weight in settled)
    clicked = math.fsum(weight for part, weight in settled if not part.flagged)
    # Words about whole frames say "sound", so it is the share of defective parts that clicks alone can raise.
    defective = undo_errors(
        share_of(Row(part.name, weight, part.truth is PartTruth.DEFECTIVE, 1) for part, weight in settled),
        error * clicked / whole if whole else error,
        error,
    )
    return Share(
        point=1 - defective.point, low=1 - defective.high, high=1 - defective.low, effective=defective.effective
    )


def _rate(
    weighted: Sequence[tuple[Part, float]],
    counted: PartTruth,
    total: Total,
    *,
    each: int,
    largest: float,
    factor: float = 1.0,
) -> Rate:
    """Parts of one truth per 1,000 inspected; `factor` undoes wrong answers."""
    sure = [(part.name, weight * factor / each) for part, weight in weighted if part.truth is counted]
    maybe = [(part.name, weight * factor / each) for part, weight in weighted if part.truth is PartTruth.OPEN]
    known, most = total_of(sure, largest=largest), total_of([*sure, *maybe], largest=largest)
    low, high = ratio_of(known, total)[0], ratio_of(most, total)[1]
    point = known.point / total.point if total.point > 0 else math.nan
    return Rate(
        seen=len(sure),
        open=len(maybe),
        point=min(THOUSAND, THOUSAND * point),
        low=min(THOUSAND, THOUSAND * low),
        high=min(THOUSAND, THOUSAND * high),
    )
