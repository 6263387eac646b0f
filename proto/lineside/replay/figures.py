"""Counts and shares of a replay, raw and as the line would see them. Pure.

A log is no fair sample: a frame was kept with the probability pi that its record states. Beside each raw count stands
the Horvitz-Thompson total, the sum of 1/pi, which estimates the count over everything the station inspected; a weighted
share is the ratio of two such totals (Hajek's estimator). D. G. Horvitz, D. J. Thompson, JASA 47 (1952).

Intervals, 95 %: a raw share has Wilson's score interval, each judgement taken as independent. A weighted share has
Wilson's interval as well, with the effective number of frames in place of the number of judgements (L. Kish, Survey
Sampling, 1965): n_eff = (sum w_f n_f)^2 / sum (w_f n_f)^2 for frames f of weight w_f = 1/pi_f with n_f judgements each.
That takes the judgements of one frame as one, so it errs towards too wide. A total has the standard error of frames
that were each chosen independently: sqrt(sum (1 - pi_f) / pi_f^2 * y_f^2) for y_f hits.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from lineside.replay.judging import DEFECTS, DENIALS, WHOLE_FRAMES, Answer, FrameResult, Kind, Result, Truth

Z95 = 1.959963984540054
"""Quantile of the normal distribution for two-sided 95 %."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many, raw and weighted. Shares and bounds are 0 to 1, NaN where there is nothing to count."""

    hits: int
    total: int
    low: float
    high: float
    weighted_hits: float
    weighted_total: float
    weighted_low: float
    weighted_high: float
    weighted_hits_error: float
    """Standard error of `weighted_hits`."""
    effective: float
    """Effective number of frames behind the weighted share."""

    @property
    def raw(self) -> float:
        """hits / total."""
        return self.hits / self.total if self.total else math.nan

    @property
    def weighted(self) -> float:
        """weighted_hits / weighted_total."""
        return self.weighted_hits / self.weighted_total if self.weighted_total else math.nan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A record that was not used, why, and for each of its judgements why it was not asked."""

    frame_id: str
    part: str
    reason: str
    judgements: tuple[str, ...]
    detail: str = ""
    """For people; the same reason can have many."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Everything a gate may decide on. `records` = `used` + `skipped` + `unanswered`; so it is with judgements."""

    records: int
    used: int
    skipped: Mapping[str, int]
    """Records by reason."""
    unanswered: Mapping[str, int]
    """Records for which the candidate gave no usable answer, by reason."""
    judgements: int
    answered: Mapping[str, int]
    """Judgements by Answer's words."""
    set_aside: Mapping[str, int]
    """Judgements by reason, those of skipped and unanswered records included."""
    found: Share
    """Defects still found, of their class."""
    found_by_class: Mapping[str, Share]
    found_unseen: Share
    """As `found`, of judgements given after those the candidate was trained on."""
    escapes: Share
    """Defects at whose place the candidate says nothing."""
    escapes_by_class: Mapping[str, Share]
    firing: Share
    """Denied detections that fire again."""
    firing_by_class: Mapping[str, Share]
    sound_firing: Share
    """Frames called healthy or complete on which something fires that nobody confirmed."""
    escaped_parts: Mapping[str, int]
    """Escapes by part."""
    unfound_parts: Mapping[str, tuple[str, ...]]
    """By class, the parts with a defect that is not found under it, each once."""
    firing_parts: Mapping[str, int]
    """Denied detections that fire, by part."""
    alarmed_parts: Mapping[str, int]
    """Sound frames with an alarm, by part."""
    flips: Mapping[str, int]
    """Changed verdicts as "REJECT to PASS, defective"."""


def wilson(share: float, count: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share seen in `count` trials (need not be whole).

    E. B. Wilson, JASA 22 (1927). (NaN, NaN) without trials.
    """
    if count <= 0:
        return math.nan, math.nan
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At 0 and 1 the bound is 0 and 1 exactly; the square root leaves a rounding error.
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


def share_of(frames: Iterable[tuple[float, int, int]]) -> Share:
    """A share over frames.

    Args:
        frames: (weight = 1/pi, hits, total) of each.
    """
    kept = [(weight, hits, total) for weight, hits, total in frames if total]
    hits, total = sum(item[1] for item in kept), sum(item[2] for item in kept)
    weighted_hits = math.fsum(weight * hit for weight, hit, _ in kept)
    weighted_total = math.fsum(weight * count for weight, _, count in kept)
    squares = math.fsum((weight * count) ** 2 for weight, _, count in kept)
    effective = weighted_total**2 / squares if squares else 0.0
    low, high = wilson(hits / total, total) if total else (math.nan, math.nan)
    ratio = weighted_hits / weighted_total if weighted_total else math.nan
    weighted_low, weighted_high = wilson(min(1.0, ratio), effective) if total else (math.nan, math.nan)
    # (1 - pi) / pi^2 = w (w - 1)
    variance = math.fsum(weight * (weight - 1) * hit * hit for weight, hit, _ in kept)
    return Share(
        hits=hits,
        total=total,
        low=low,
        high=high,
        weighted_hits=weighted_hits,
        weighted_total=weighted_total,
        weighted_low=weighted_low,
        weighted_high=weighted_high,
        weighted_hits_error=math.sqrt(max(0.0, variance)),
        effective=effective,
    )


def tally_of(
    frames: Sequence[FrameResult],
    *,
    skipped: Sequence[Unused] = (),
    unanswered: Sequence[Unused] = (),
    last_trained: int = 0,
) -> Tally:
    """Adds a replay up.

    Args:
        frames: the records that were used.
        skipped: those that were not.
        unanswered: those on which the candidate failed.
        last_trained: last log sequence the candidate was trained on; 0: none.
    """
    results = [result for frame in frames for result in frame.results]
    set_aside = Counter(reason for frame in frames for reason in frame.set_aside)
    set_aside.update(reason for unused in [*skipped, *unanswered] for reason in unused.judgements)
    answered = Counter(result.answer.value for result in results)

    def share(kinds: Collection[Kind], hit: Answer, keep: Callable[[Result], bool] = lambda _: True) -> Share:
        counted = []
        for frame in frames:
            mine = [item for item in frame.results if item.expectation.kind in kinds and keep(item)]
            counted.append((frame.weight, sum(item.answer is hit for item in mine), len(mine)))
        return share_of(counted)

    def by_class(kinds: Collection[Kind], hit: Answer) -> dict[str, Share]:
        names = sorted({item.expectation.class_name for item in results if item.expectation.kind in kinds})
        return {name: share(kinds, hit, lambda item: item.expectation.class_name == name) for name in names}  # noqa: B023

    def parts(kinds: Collection[Kind], hit: Answer) -> dict[str, int]:
        return _sorted(
            Counter(
                frame.part
                for frame in frames
                for item in frame.results
                if item.expectation.kind in kinds and item.answer is hit
            )
        )

    unfound: dict[str, list[str]] = {}
    for frame in frames:
        for item in frame.results:
            if item.answer in (Answer.LOST, Answer.RENAMED):
                unfound.setdefault(item.expectation.class_name, []).append(frame.part)

    return Tally(
        records=len(frames) + len(skipped) + len(unanswered),
        used=len(frames),
        skipped=_sorted(Counter(unused.reason for unused in skipped)),
        unanswered=_sorted(Counter(unused.reason for unused in unanswered)),
        judgements=len(results) + sum(set_aside.values()),
        answered=_sorted(answered),
        set_aside=_sorted(set_aside),
        found=share(DEFECTS, Answer.FOUND),
        found_by_class=by_class(DEFECTS, Answer.FOUND),
        found_unseen=share(DEFECTS, Answer.FOUND, lambda item: item.expectation.last_event > last_trained),
        escapes=share(DEFECTS, Answer.LOST),
        escapes_by_class=by_class(DEFECTS, Answer.LOST),
        firing=share(DENIALS, Answer.FIRES),
        firing_by_class=by_class(DENIALS, Answer.FIRES),
        sound_firing=share(WHOLE_FRAMES, Answer.FIRES),
        escaped_parts=parts(DEFECTS, Answer.LOST),
        unfound_parts={name: tuple(dict.fromkeys(each)) for name, each in sorted(unfound.items())},
        firing_parts=parts(DENIALS, Answer.FIRES),
        alarmed_parts=parts(WHOLE_FRAMES, Answer.FIRES),
        flips=_sorted(Counter(flip_of(frame) for frame in frames if frame.flipped)),
    )


def flip_of(frame: FrameResult) -> str:
    """A changed verdict in words, with what is known of the part."""
    return f"{frame.before} to {frame.after}, {frame.truth.value}"


def is_harmful(frame: FrameResult) -> bool:
    """Whether the changed verdict is the wrong one for what is known of the part."""
    wrong = {"PASS": Truth.DEFECTIVE, "REJECT": Truth.SOUND}
    return frame.flipped and wrong[frame.after] is frame.truth


def _sorted(counts: Counter[str]) -> dict[str, int]:
    """Largest count first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
