"""Precision from feedback: of the detections the model raises, how many are right. Pure.

Every detection of an answered frame counts with the frame's weight (`weights`); rows are clustered by part. Two
intervals: `share` is of the settled answers, what sampling leaves open. `bounds` is what is certain whatever the open
ones are (unsure, disputed, contradicted, left beside answers): its lower end is the interval's with all of them wrong,
its upper end with all of them right.

Answers can be wrong. If each click is turned round with probability e, right and wrong alike, of a true share p one
sees p (1 - e) + (1 - p) e on the clicks (W. J. Rogan, B. Gladen, Am. J. Epidemiology 107, 1978); what was denied by a
word about the whole frame is taken as denied. `undo_errors` turns that round.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from training.estimate.intervals import Row, Share, share_of
from training.estimate.judged import OPEN, SETTLED, Answer, JudgedDetection, JudgedFrame
from training.estimate.weights import Unit, response_weights


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Of one class, or of all. Shares 0 to 1, NaN where nothing was answered."""

    right: int
    wrong: int
    open: int
    untouched: int
    """Detections on frames nobody spoke about."""
    share: Share
    low: float
    """With all open ones wrong."""
    high: float
    """With all open ones right."""


def answered_weights(frames: Sequence[JudgedFrame]) -> list[float]:
    """Of each frame, 0 where nobody said anything: those that were answered stand for those that were not."""
    return response_weights(
        [Unit("with detections" if frame.detections else "without", frame.weight, frame.touched) for frame in frames]
    )


def precision_of(
    frames: Sequence[JudgedFrame],
    weights: Sequence[float],
    *,
    class_name: str | None = None,
    keep: Callable[[JudgedDetection], bool] = lambda _: True,
    error: float = 0.0,
) -> Precision:
    """Precision of a class, or of all.

    Args:
        frames: what was kept.
        weights: of each, from `answered_weights`.
        class_name: None: all detections.
        keep: leaves detections out.
        error: probability that an operator's click is wrong, 0 to below 0.5.
    """
    if not 0 <= error < 0.5:
        raise ValueError(f"the share of wrong answers is {error}, expected 0 to below 0.5: beyond, answers say nothing")
    settled: list[Row] = []
    pessimistic: list[Row] = []
    optimistic: list[Row] = []
    counts = {"right": 0, "wrong": 0, "open": 0, "untouched": 0}
    flagged = clicked = 0.0
    for frame, weight in zip(frames, weights, strict=True):
        mine = [item for item in frame.detections if class_name in (None, item.class_name) and keep(item)]
        right = sum(item.answer is Answer.RIGHT for item in mine)
        wrong = sum(item.answer in SETTLED for item in mine) - right
        unclear = sum(item.answer in OPEN for item in mine)
        for name, count in zip(counts, (right, wrong, unclear, len(mine) - right - wrong - unclear), strict=True):
            counts[name] += count
        if weight:
            settled.append(Row(frame.part, weight, right, right + wrong))
            pessimistic.append(Row(frame.part, weight, right, right + wrong + unclear))
            optimistic.append(Row(frame.part, weight, right + unclear, right + wrong + unclear))
            # Errors of a single click; that several people agree on a wrong answer is left out of account.
            by_frame = sum(item.answer is Answer.WRONG and item.operators == 0 for item in mine)
            flagged += weight * by_frame
            clicked += weight * (right + wrong - by_frame)
    share = share_of(settled)
    worst, best = (share_of(rows) for rows in (pessimistic, optimistic))
    flips = error * clicked / (clicked + flagged) if clicked + flagged else error
    share, worst, best = (undo_errors(each, flips, error) for each in (share, worst, best))
    low = min(share.low, worst.low) if share.effective else worst.low
    high = max(share.high, best.high) if share.effective else best.high
    return Precision(**counts, share=share, low=low, high=high)


def undo_errors(share: Share, flips: float, error: float) -> Share:
    """The share behind a seen one: (seen - flips) / (1 - 2 error), cut to 0 to 1; its interval likewise.

    Args:
        share: as seen.
        flips: share of all answers that would be turned to "right" if none were: `error` where all were clicks.
        error: of a click.
    """
    if not error or not share.effective:
        return share

    def undo(seen: float) -> float:
        return min(1.0, max(0.0, (seen - flips) / (1 - 2 * error)))

    return Share(
        point=undo(share.point),
        low=undo(share.low),
        high=undo(share.high),
        effective=share.effective * (1 - 2 * error) ** 2,
    )


def agreement_of(frames: Sequence[JudgedFrame]) -> tuple[int, int]:
    """Detections that two or more people answered, and on how many of those they disagreed."""
    twice = [
        item for frame in frames for item in frame.detections if item.operators > 1 and item.answer is not Answer.UNSURE
    ]
    return len(twice), sum(item.answer is Answer.DISPUTED for item in twice)


def error_from(twice: int, disagreed: int) -> float:
    """The error rate of one person at which two disagree so often: 2 e (1 - e) = disagreed / twice; NaN without pairs.

    Raises:
        ValueError: they disagree on half of them or more: such answers say nothing.
    """
    if not twice:
        return math.nan
    share = disagreed / twice
    if share >= 0.5:
        raise ValueError(
            f"operators disagree on {disagreed} of {twice} detections answered twice: such answers say nothing;"
            " see with them what each defect looks like"
        )
    return (1 - math.sqrt(1 - 2 * share)) / 2
