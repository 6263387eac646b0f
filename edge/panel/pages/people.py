"""What each operator did: how much, how quickly, and how often two who judged the same thing agreed. Pure."""

from __future__ import annotations

import collections
import statistics
from collections.abc import Iterable, Sequence

from edge.panel.wire import Json
from lineside.fold import meaning, standing
from lineside.records import FeedbackEvent, Gesture
from lineside.replay.figures import wilson

_SETTLED = frozenset({Gesture.CONFIRM, Gesture.POOR_BOX, Gesture.REJECT, Gesture.WRONG_CLASS})


def people_json(frames: Iterable[Sequence[FeedbackEvent]]) -> list[Json]:
    """Operators by name.

    Args:
        frames: all events about each frame.
    """
    clicks: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
    same: collections.Counter[str] = collections.Counter()
    both: collections.Counter[str] = collections.Counter()
    for events in frames:
        for event in events:
            clicks[event.operator].append(event)
        for said in standing(events).values():
            settled = [event for event in said if event.gesture in _SETTLED]
            for one in settled:
                for other in settled:
                    if one.operator != other.operator:
                        both[one.operator] += 1
                        same[one.operator] += meaning(one) == meaning(other)
    return [_person(name, events, same[name], both[name]) for name, events in sorted(clicks.items())]


def _person(name: str, events: Sequence[FeedbackEvent], same: int, both: int) -> Json:
    gestures = collections.Counter(event.gesture for event in events)
    answers = [event for event in events if event.gesture is not Gesture.RETRACT]
    low, high = wilson(same / both, both) if both else (0.0, 1.0)
    return {
        "name": name,
        "clicks": len(answers),
        "seconds": round(statistics.median(event.seconds for event in answers), 2) if answers else None,
        "minutes": round(sum(event.seconds for event in answers) / 60, 1),
        "confirmed": gestures[Gesture.CONFIRM] + gestures[Gesture.POOR_BOX],
        "rejected": gestures[Gesture.REJECT] + gestures[Gesture.WRONG_CLASS],
        "unsure": gestures[Gesture.UNSURE],
        "taken_back": gestures[Gesture.RETRACT],
        "compared": both,
        "agreed": same,
        "agreement": round(same / both, 4) if both else None,
        "low": round(low, 4) if both else None,
        "high": round(high, 4) if both else None,
    }
