"""The fold: what a frame's feedback events amount to, whatever the order they arrived in.

Pure. Two events are ordered by revision, then by key, both the client's own; arrival never matters, so late and
reordered events fold to the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lineside.records import FeedbackEvent, Gesture, Judgement, Outcome

Target = tuple[str, ...]


def target_of(event: FeedbackEvent) -> Target:
    """What an event is about: ("detection", id), ("frame",) or ("missed", operator, index).

    A missed defect belongs to who drew it: two operators' boxes are two defects until a person says otherwise.
    """
    if event.detection_id is not None:
        return ("detection", event.detection_id)
    if event.gesture is Gesture.MISSED or event.missed_index:
        return ("missed", event.operator, str(event.missed_index))
    return ("frame",)


def standing(events: Iterable[FeedbackEvent]) -> dict[Target, list[FeedbackEvent]]:
    """What still stands about each target of a frame: the last word of each operator.

    Per target and operator the event of the highest revision counts; RETRACT leaves nothing. Targets ascending, and
    the operators of each.
    """
    latest: dict[tuple[Target, str], FeedbackEvent] = {}
    for event in events:
        place = (target_of(event), event.operator)
        known = latest.get(place)
        if known is None or (event.revision, event.key) > (known.revision, known.key):
            latest[place] = event
    by_target: dict[Target, list[FeedbackEvent]] = {}
    for (target, _), event in sorted(latest.items()):
        if event.gesture is not Gesture.RETRACT:
            by_target.setdefault(target, []).append(event)
    return by_target


def fold(events: Iterable[FeedbackEvent]) -> tuple[Judgement, ...]:
    """Judgements of one frame, one per target that anybody still says something about.

    UNSURE gives way to anybody else's opinion. Operators that say the same class is there, or that nothing is, agree;
    others are DISPUTED. Sorted by target.
    """
    return tuple(judgement_of(said) for said in standing(events).values())


def judgement_of(events: Sequence[FeedbackEvent]) -> Judgement:
    """What the standing events about one target amount to; at least one."""
    sure = [event for event in events if event.gesture is not Gesture.UNSURE] or events
    # The strictest of agreeing answers leads: a poor box says all that a confirm says, and more.
    leading = max(sure, key=lambda event: (event.gesture is Gesture.POOR_BOX, event.revision, event.key))
    counting = sorted(sure, key=lambda event: event.log_sequence)
    return Judgement(
        outcome=Outcome.SAID if len({meaning(event) for event in sure}) == 1 else Outcome.DISPUTED,
        detection_id=leading.detection_id,
        gesture=leading.gesture,
        class_name=leading.class_name,
        box=leading.box,
        operators=tuple(sorted({event.operator for event in counting})),
        seconds=sum(event.seconds for event in counting),
        events=tuple(event.log_sequence for event in counting),
    )


def meaning(event: FeedbackEvent) -> tuple[str, str | None]:
    """Equal for answers that agree."""
    if event.gesture in (Gesture.CONFIRM, Gesture.POOR_BOX):
        return ("defect as named", None)
    return (event.gesture.name, event.class_name)
