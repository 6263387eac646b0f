"""Recall from the audit share: of the defects on the line, how many the model raises under their class. Pure.

    recall = F / (F + M)

F, the defects raised under their class, is counted on all answered frames. M, the others, comes from two places:
raised under a wrong name, counted on answered frames as well; and missed, which only shows where somebody searched the
whole frame, so it is counted on searched frames with weights of their own. Frames without a detection are in the log by
the audit alone. Each total has its interval (`total_of`, by which also "none missed among n searched" has an upper
limit), their ratio M / F by MOVER, and recall = 1 / (1 + M / F).

Where frames with a detection were never searched, what else lies on them is not known: then there is an upper limit, no
lower one and no point. Open answers count as missed for the lower limit and as found for the upper one.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

from training.estimate.intervals import Total, ratio_of, total_of
from training.estimate.judged import OPEN, Answer, JudgedFrame, Search
from training.estimate.weights import Unit, response_weights

SHOWN_RECALL = 0.9
"""The recall for which the advice says how large an audit is needed."""
NONE_SEEN = 3.7
"""Upper limit of a Poisson count of which nothing was seen, 97.5 %."""


class Audit(enum.Enum):
    """What the searched frames can say about misses."""

    NONE = "no frame without a detection was searched"
    BARE = "no frame with a detection was searched"
    WHOLE = "frames with and without detections were searched"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Of one class, or of all. `point` NaN where it is not known; 0 <= low <= point <= high <= 1."""

    found: int
    renamed: int
    missed: int
    """On searched frames."""
    open: int
    point: float
    low: float
    """95 %, with all open answers against the model."""
    high: float
    """95 %, with all open answers for the model."""
    interval: tuple[float, float]
    """95 %, of the settled answers alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """How much was searched, and the weights that follow from it."""

    audit: Audit
    searched: int
    """Frames, with or without a detection."""
    bare_searched: int
    """Of those, without a detection."""
    bare_kept: int
    """Frames without a detection that were kept, searched or not."""
    marked_elsewhere: int
    """Missed defects marked on frames that were not searched: they exist, and have no weight."""
    weights: tuple[float, ...]
    """Of each frame; 0 where it was not searched."""


def searches_of(frames: Sequence[JudgedFrame]) -> Searches:
    """Which frames were searched, and for how many each of them stands."""
    done = [frame.search is Search.SEARCHED for frame in frames]
    bare = [not frame.detections for frame in frames]
    beside = any(frame.detections for frame in frames)
    audit = Audit.NONE
    if any(flag and empty for flag, empty in zip(done, bare, strict=True)):
        covered = not beside or any(flag and not empty for flag, empty in zip(done, bare, strict=True))
        audit = Audit.WHOLE if covered else Audit.BARE
    return Searches(
        audit=audit,
        searched=sum(done),
        bare_searched=sum(flag and empty for flag, empty in zip(done, bare, strict=True)),
        bare_kept=sum(bare),
        marked_elsewhere=sum(len(frame.defects.missed) for frame, flag in zip(frames, done, strict=True) if not flag),
        weights=tuple(
            response_weights(
                [
                    Unit("without" if empty else "with detections", frame.weight, flag)
                    for frame, empty, flag in zip(frames, bare, done, strict=True)
                ]
            )
        ),
    )


def recall_of(
    frames: Sequence[JudgedFrame],
    answered: Sequence[float],
    searches: Searches,
    *,
    class_name: str | None = None,
    precision_factor: float = 1.0,
    overlooked: float = 0.0,
) -> Recall:
    """Recall of a class, or of all.

    Args:
        frames: what was kept.
        answered: weights of the answered frames, from `answered_weights`.
        searches: of these frames.
        class_name: None: all defects, each of which has to be raised under its class.
        precision_factor: true share of right detections over the seen one, where answers can be wrong.
        overlooked: share of the missed defects that a search does not find.
    """
    found: list[tuple[str, float]] = []
    lost: list[tuple[str, float]] = []
    doubtful: list[tuple[str, float]] = []
    against: list[tuple[str, float]] = []
    counts = {"found": 0, "renamed": 0, "missed": 0, "open": 0}

    def of_class(names: Sequence[str]) -> int:
        return sum(class_name in (None, name) for name in names)

    for frame, weight, search_weight in zip(frames, answered, searches.weights, strict=True):
        renamed, missed = of_class(frame.defects.renamed), of_class(frame.defects.missed) if search_weight else 0
        mine = of_class(frame.defects.found)
        unsettled = frame.count(*OPEN, class_name=class_name)
        # "Not of that class" may be a defect of any other class; as one of its own it is not found.
        vague = sum(item.answer is Answer.NOT_THAT and item.class_name != class_name for item in frame.detections)
        vague += of_class(frame.defects.open_missed)
        for name, count in zip(counts, (mine, renamed, missed, unsettled + vague), strict=True):
            counts[name] += count
        found.append((frame.part, weight * mine * precision_factor))
        lost.append((frame.part, weight * renamed + search_weight * missed / (1 - overlooked)))
        doubtful.append((frame.part, weight * unsettled))
        against.append((frame.part, weight * (unsettled + vague)))
    if searches.audit is Audit.NONE:
        return Recall(**counts, point=math.nan, low=0.0, high=1.0, interval=(0.0, 1.0))
    largest = max(searches.weights) / (1 - overlooked)
    one_more = max(answered)
    settled = total_of(found, largest=one_more), total_of(lost, largest=largest)
    low, high = _recall(*settled)
    worst = _recall(settled[0], total_of([*lost, *against], largest=largest))[0]
    best = _recall(total_of([*found, *doubtful], largest=one_more), settled[1])[1]
    whole = settled[0].point + settled[1].point
    point = settled[0].point / whole if whole > 0 else math.nan
    if searches.audit is Audit.BARE:
        return Recall(**counts, point=math.nan, low=0.0, high=max(high, best), interval=(0.0, high))
    return Recall(**counts, point=point, low=min(low, worst), high=max(high, best), interval=(low, high))


def _recall(found: Total, lost: Total) -> tuple[float, float]:
    """Limits of F / (F + M)."""
    low, high = ratio_of(lost, found)
    return (0.0 if math.isinf(high) else 1 / (1 + high)), 1 / (1 + low)


def audit_advice(found: int, searches: Searches) -> str:
    """What to do next so that something, or more, can be said about misses; empty where nothing is needed.

    With nothing missed among frames kept with probability p, up to 3.7 / p missed defects may be on the line; the
    advice is the p for which they would still leave a recall of 0.9.

    Args:
        found: defects found in the time looked at.
        searches: what was searched in it.
    """
    if searches.audit is Audit.NONE:
        share = min(1.0, NONE_SEEN * SHOWN_RECALL / (1 - SHOWN_RECALL) / found) if found else 1.0
        kept = f"{searches.bare_kept} such frames are kept and wait for it; " if searches.bare_kept else ""
        return (
            "no audit: nothing can be said about misses, because no frame without a detection was called healthy or"
            f" complete; {kept}show frames at p = {share:.2g} (policy audit) in a time like this one and search them:"
            f" nothing missed there would show a recall of {SHOWN_RECALL:g} or more. Nothing missed among 370 searched"
            " frames shows that fewer than 1 in 100 hold a missed defect"
        )
    if searches.audit is Audit.BARE:
        return (
            "no frame with a detection was called healthy or complete: what else lies on such frames is not known, so"
            " recall has no lower limit; answer their detections, search them, and call them complete"
        )
    return ""
