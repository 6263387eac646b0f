"""All figures of one model, as one value. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from training.estimate.judged import Answer, JudgedFrame
from training.estimate.parts import Parts, factory_words, parts_of
from training.estimate.precision import (
    Precision,
    agreement_of,
    answered_weights,
    error_from,
    precision_of,
)
from training.estimate.recall import Audit, Recall, audit_advice, recall_of, searches_of
from training.estimate.thresholds import Advice, advice_for


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What became of every record of the log: `records` = `used` + the skipped ones.

    Raises:
        ValueError: the numbers do not add up.
    """

    records: int
    used: int
    skipped: Mapping[str, int]
    """Records by reason."""
    touched: int
    """Used records about which something was said."""
    detections: Mapping[str, int]
    """Detections of used records by their answer's word."""
    raised: int
    """Detections of used records."""
    seconds: float
    """Of the operators' time, for the answers that stand on used records."""

    def __post_init__(self) -> None:
        if self.used + sum(self.skipped.values()) != self.records:
            raise ValueError(
                f"{self.used} records used and {dict(self.skipped)} skipped, expected {self.records} in all"
            )
        if sum(self.detections.values()) != self.raised:
            raise ValueError(f"answers {dict(self.detections)}, expected {self.raised} in all")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassEstimate:
    """One class."""

    name: str
    precision: Precision
    recall: Recall
    advice: Advice


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One model, as the log lets one see it."""

    model: str
    """Digest."""
    name: str
    """Name and version, where the log has its manifest."""
    census: Census
    precision: Precision
    recall: Recall
    classes: tuple[ClassEstimate, ...]
    parts: Parts
    audit: Audit
    searched: int
    """Frames."""
    bare_searched: int
    """Of those, without a detection."""
    bare_kept: int
    marked_elsewhere: int
    """Missed defects marked on frames nobody searched."""
    answered_twice: int
    """Detections that two or more people answered."""
    disagreed: int
    agreement_error: float
    """Error rate of one person that would explain it; NaN without such detections, or where answers say nothing."""
    error: float
    """Error rate that the figures take into account; 0: answers are taken as right."""
    notes: tuple[str, ...]
    """What a reader has to know, most important first."""


def estimate_of(
    frames: Sequence[JudgedFrame],
    *,
    model: str = "",
    name: str = "",
    thresholds: Mapping[str, float] | None = None,
    skipped: Mapping[str, int] | None = None,
    inspected: int | None = None,
    error: float = 0.0,
) -> Estimate:
    """Everything that can be said about one model.

    Args:
        frames: what was kept of this model's detections.
        model: its digest.
        name: for people.
        thresholds: deployed ones by class.
        skipped: records of the log that are not among the frames, by reason.
        inspected: parts that the line inspected in this time, where it is known.
        error: probability that a click is wrong or a missed defect is overlooked.

    Raises:
        ValueError: `inspected` or `error` is impossible.
    """
    weights = answered_weights(frames)
    searches = searches_of(frames)
    thresholds = thresholds or {}
    names = sorted(
        {item.class_name for frame in frames for item in frame.detections}
        | {kind for frame in frames for kind in (*frame.defects.renamed, *frame.defects.missed)}
        | set(thresholds)
    )

    def both(class_name: str | None) -> tuple[Precision, Recall]:
        precision = precision_of(frames, weights, class_name=class_name, error=error)
        seen = precision_of(frames, weights, class_name=class_name).share.point if error else precision.share.point
        factor = precision.share.point / seen if seen > 0 else 1.0
        recall = recall_of(frames, weights, searches, class_name=class_name, precision_factor=factor, overlooked=error)
        return precision, recall

    precision, recall = both(None)
    classes = []
    for kind in names:
        own = both(kind)
        advice = advice_for(kind, frames, weights, deployed=thresholds.get(kind))
        classes.append(ClassEstimate(name=kind, precision=own[0], recall=own[1], advice=advice))
    parts = factory_words(parts_of(frames), inspected=inspected, error=error)
    answers = Counter(item.answer for frame in frames for item in frame.detections)
    skipped = skipped or {}
    census = Census(
        records=len(frames) + sum(skipped.values()),
        used=len(frames),
        skipped=dict(skipped),
        touched=sum(frame.touched for frame in frames),
        detections={answer.value: answers[answer] for answer in Answer if answers[answer]},
        raised=sum(len(frame.detections) for frame in frames),
        seconds=math.fsum(frame.seconds for frame in frames),
    )
    twice, disagreed = agreement_of(frames)
    return Estimate(
        model=model,
        name=name,
        census=census,
        precision=precision,
        recall=recall,
        classes=tuple(classes),
        parts=parts,
        audit=searches.audit,
        searched=searches.searched,
        bare_searched=searches.bare_searched,
        bare_kept=searches.bare_kept,
        marked_elsewhere=searches.marked_elsewhere,
        answered_twice=twice,
        disagreed=disagreed,
        agreement_error=error_from(twice, disagreed) if 2 * disagreed < twice else math.nan,
        error=error,
        notes=tuple(_notes(audit_advice(recall.found, searches), census, parts, searches.marked_elsewhere, answers)),
    )


def _notes(audit: str, census: Census, parts: Parts, marked: int, answers: Mapping[Answer, int]) -> list[str]:
    notes = [audit] if audit else []
    if not census.touched:
        notes.append("nobody has said anything about this model's detections")
    untouched = answers.get(Answer.UNTOUCHED, 0)
    if untouched > 0.2 * census.raised:
        notes.append(
            f"{untouched} of {census.raised} detections lie on frames nobody spoke about; the figures take them to be"
            " like the others: let the order of answering not depend on how easy a frame looks"
        )
    left = answers.get(Answer.UNANSWERED, 0)
    if left:
        notes.append(f"{left} detections were left unanswered beside others that were answered: they widen the limits")
    if marked:
        notes.append(
            f"{marked} missed defects were marked on frames that nobody called complete: they are real, but not met by"
            " chance, and not in the figures"
        )
    if parts.frames_per_part > 20:
        notes.append(
            f"one part id has {parts.frames_per_part} frames: if part ids name kinds of part, give --part-ids reference"
        )
    elif parts.frames_per_part > 1:
        notes.append(
            f"up to {parts.frames_per_part} frames show one part, and the audit sees them one by one: the upper limit"
            " for escapes allows for a defect that shows on another frame"
        )
    return notes
