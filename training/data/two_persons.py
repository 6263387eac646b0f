"""The two-person rule: what would silence a class has to be said by two. Pure.

One operator's rejections of nearly everything that is raised as a class teach the next model not to raise it. That may
be right, where a class fires at nothing but look-alikes, and it is the one mistake (or deed) by which a single person
can blind a station. So where of a class's settled answers at least `SILENCING` are denials, and at least `LEAST` of
them, a denial that no second operator has confirmed is left out: as if it had not been said, and its place unsettled.

A class is judged by what is said of it in all logs together. Confirms are never left out.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from lineside.fold import standing
from lineside.records import FeedbackEvent, Gesture
from training.data.account import Ledger, skipped
from training.data.merging import Told

LEAST = 20
"""Denials of a class; fewer do not silence one."""
SILENCING = 0.9
"""Share of a class's answers, from which it would be silenced."""
DENIALS = frozenset({Gesture.REJECT, Gesture.WRONG_CLASS})
AFFIRMS = frozenset({Gesture.CONFIRM, Gesture.POOR_BOX})


def second_person(told: Sequence[Told], ledger: Ledger) -> list[Told]:
    """The same frames, without lone denials of classes that would be silenced by them.

    A frame called healthy by one person is a denial of each of its detections and counts as such; it is left out where
    one of these is of such a class and nobody else has denied it.

    Args:
        told: frames with what was said.
        ledger: gets what is left out.
    """
    denied: collections.Counter[str] = collections.Counter()
    affirmed: collections.Counter[str] = collections.Counter()
    for item in told:
        names = {detection.detection_id: detection.class_name for detection in item.detections}
        for detection_id, name in names.items():
            deniers, affirmers = _said(item, detection_id)
            denied[name] += bool(deniers) and not affirmers
            affirmed[name] += bool(affirmers)
    silenced = {
        name for name, count in denied.items() if count >= LEAST and count >= SILENCING * (count + affirmed[name])
    }
    return [_without_lone(item, silenced, ledger) for item in told] if silenced else list(told)


def _said(item: Told, detection_id: str) -> tuple[set[str], set[str]]:
    """Who denies a detection, also by calling its frame healthy, and who affirms it."""
    stands = standing(item.events)
    own = stands.get(("detection", detection_id), [])
    spoke = {event.operator for event in own}
    healthy = {event.operator for event in stands.get(("frame",), []) if event.gesture is Gesture.FRAME_HEALTHY}
    deniers = {event.operator for event in own if event.gesture in DENIALS} | (healthy - spoke)
    return deniers, {event.operator for event in own if event.gesture in AFFIRMS}


def _without_lone(item: Told, silenced: set[str], ledger: Ledger) -> Told:
    lone = {
        detection.detection_id: detection.class_name
        for detection in item.detections
        if detection.class_name in silenced and len(_said(item, detection.detection_id)[0]) == 1
    }
    kept: list[FeedbackEvent] = []
    lost: list[FeedbackEvent] = []
    for event in item.events:
        names = [lone[event.detection_id]] if event.gesture in DENIALS and event.detection_id in lone else []
        if event.gesture is Gesture.FRAME_HEALTHY:
            names = sorted(set(lone.values()))
        if names:
            lost.append(event)
            reason = f"would silence {', '.join(names)}: a second person has to agree"
            ledger.book("answers", skipped(reason), event.key, operator=event.operator)
        else:
            kept.append(event)
    if not lost:
        return item
    return dataclasses.replace(item, events=tuple(kept), left_out=(*item.left_out, *lost))
