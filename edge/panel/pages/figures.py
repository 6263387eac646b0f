"""How right the model was, as judged: precision in all, by class and over time, with intervals. Pure.

A detection is right when its class was confirmed (a poor box counts), wrong when it was rejected, named otherwise, or
the whole frame was called healthy. Unsure and disputed ones are open and counted apart. What operators were shown is a
choice, so this is the precision of what was judged; `lineside train estimate` weighs it for the line.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from edge.panel.wire import Json
from lineside.records import Gesture, Judgement, MentoringRecord, Outcome
from lineside.replay.figures import wilson

_RIGHT = frozenset({Gesture.CONFIRM, Gesture.POOR_BOX})
_WRONG = frozenset({Gesture.REJECT, Gesture.WRONG_CLASS})


@dataclasses.dataclass(slots=True)
class Score:
    """Detections by what was said of them."""

    right: int = 0
    wrong: int = 0
    open: int = 0

    def add(self, word: str) -> None:
        """One more: "right", "wrong" or "open"."""
        setattr(self, word, getattr(self, word) + 1)

    def to_json(self) -> Json:
        """With precision and its 95 % interval (Wilson); None where nothing was settled."""
        settled = self.right + self.wrong
        share = self.right / settled if settled else math.nan
        low, high = wilson(share, settled) if settled else (math.nan, math.nan)
        numbers = {"share": share, "low": low, "high": high}
        return {
            "right": self.right,
            "wrong": self.wrong,
            "open": self.open,
            **{name: None if math.isnan(value) else round(value, 4) for name, value in numbers.items()},
        }


def words_of(record: MentoringRecord) -> Mapping[str, str]:
    """ "right", "wrong" or "open" by detection id, for those that somebody said something about."""
    by_detection: dict[str, Judgement] = {}
    healthy = False
    for judgement in record.judgements:
        if judgement.detection_id:
            by_detection[judgement.detection_id] = judgement
        elif judgement.gesture is Gesture.FRAME_HEALTHY and judgement.outcome is Outcome.SAID:
            healthy = True
    words = {}
    for found in record.detections:
        said = by_detection.get(found.detection_id)
        if said is None:
            if healthy:
                words[found.detection_id] = "wrong"
        elif said.outcome is Outcome.DISPUTED or said.gesture not in _RIGHT | _WRONG:
            words[found.detection_id] = "open"
        else:
            words[found.detection_id] = "right" if said.gesture in _RIGHT else "wrong"
    return words


def precision_json(records: Iterable[MentoringRecord], edges: Sequence[float]) -> Json:
    """Precision in all, by class and by time.

    Args:
        records: judged ones.
        edges: n + 1 ascending times, seconds since the epoch; records outside are left out.
    """
    total, missed = Score(), 0
    by_class: dict[str, Score] = {}
    by_time = [Score() for _ in edges[1:]]
    for record in records:
        place = _place(record.frame.recorded_unix_ns / 1e9, edges)
        if place is None:
            continue
        words = words_of(record)
        for found in record.detections:
            word = words.get(found.detection_id)
            if word is not None:
                for score in (total, by_class.setdefault(found.class_name, Score()), by_time[place]):
                    score.add(word)
        missed += sum(item.gesture is Gesture.MISSED for item in record.judgements)
    return {
        "all": total.to_json(),
        "missed": missed,
        "classes": [{"name": name, **score.to_json()} for name, score in sorted(by_class.items())],
        "over_time": [
            {"from": round(edges[number] * 1000), "to": round(edges[number + 1] * 1000), **score.to_json()}
            for number, score in enumerate(by_time)
        ],
    }


def _place(time: float, edges: Sequence[float]) -> int | None:
    if not edges[0] <= time < edges[-1]:
        return None
    low, high = 0, len(edges) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if time >= edges[middle] else (low, middle)
    return low
