"""What stands about each target of one frame, and what becomes of the answers behind it. Pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from lineside.fold import Target, judgement_of, standing, target_of
from lineside.log_snapshot import box_trouble
from lineside.records import FeedbackEvent, Gesture, Judgement, Outcome, RecordedFrame
from training.data.account import USED, Fate, Ledger, disputed, skipped
from training.data.merging import Told
from training.data.without import Without

WHOLE = (Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE)
DAMAGED = "the detection is damaged"
UNSURE = "the operator was unsure"


class Weighing(Protocol):
    """How far answers are to be believed (training/reliability)."""

    def weighed(self, frame_id: str, judgement: Judgement) -> tuple[Judgement, float]:
        """The judgement to teach (a clear dispute settled) and the probability that it is right."""
        ...

    def told(self) -> dict[str, dict[str, float]]:
        """By operator: numbers for the account."""
        ...


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Heard:
    """One judgement on its way into a lesson."""

    target: Target
    judgement: Judgement
    fate: Fate
    weight: float
    """max(0, 2 P(right) - 1)."""


def hear(told: Told, weighing: Weighing | None) -> list[Heard]:
    """The judgements about a frame, by target; one with an answer that contradicts itself is disputed."""
    stands = standing(told.events)
    fought: dict[Target, list[FeedbackEvent]] = collections.defaultdict(list)
    reasons: dict[Target, str] = {}
    for contested in told.contested:
        fought[target_of(contested.event)].append(contested.event)
        reasons[target_of(contested.event)] = contested.reason
    heard = []
    for target in sorted({*stands, *fought}):
        judgement = judgement_of([*stands.get(target, ()), *fought.get(target, ())])
        fate, right = USED, 1.0
        if target in fought:
            fate = disputed(reasons[target])
            judgement = doubted(judgement)
        elif weighing is not None:
            judgement, right = weighing.weighed(told.frame_id, judgement)
            if right <= 0.5 and judgement.outcome is Outcome.SAID:
                fate = skipped("answers to hidden repeats speak against it")
        heard.append(Heard(target=target, judgement=judgement, fate=fate, weight=max(0.0, 2 * right - 1)))
    return heard


def fates_of_answers(told: Told, heard: Sequence[Heard]) -> list[Fate]:
    """What became of each of a frame's answers, in the order of `told.events`."""
    stands = standing(told.events)
    judged = {item.target: item for item in heard}
    fates = []
    for event in told.events:
        here = stands.get(target_of(event), [])
        if event.gesture is Gesture.RETRACT:
            fates.append(skipped("takes an answer back"))
        elif event not in here:
            fates.append(skipped("superseded or taken back by the same operator"))
        elif event.gesture is Gesture.UNSURE and any(other.gesture is not Gesture.UNSURE for other in here):
            fates.append(skipped(UNSURE))
        elif event.operator not in judged[target_of(event)].judgement.operators:
            fates.append(disputed("outweighed by more reliable operators"))
        else:
            fates.append(judged[target_of(event)].fate)
    return fates


def damage(
    judgement: Judgement, frame: RecordedFrame, sound: Mapping[str, object], faults: Mapping[str, str]
) -> Fate | None:
    """Why a judgement's geometry cannot be taught, or None.

    Args:
        judgement: about a detection, the frame, or a drawn defect.
        frame: it belongs to.
        sound: the frame's detections by id.
        faults: what is wrong with detections, by id.
    """
    if judgement.detection_id is not None and judgement.detection_id not in sound:
        return skipped(f"{DAMAGED}: {faults.get(judgement.detection_id, 'it is not in the log')}")
    trouble = None if judgement.box is None else box_trouble(judgement.box, frame)
    return None if trouble is None else skipped(f"{DAMAGED}: {trouble}")


def doubted(judgement: Judgement) -> Judgement:
    """The same, as something that teaches nothing and leaves its place unsettled."""
    return dataclasses.replace(judgement, outcome=Outcome.DISPUTED)


def doubts(told: Told, heard: Sequence[Heard]) -> list[Judgement]:
    """What was said of a place and is not taught: a word about the whole frame must not settle that place."""
    places = [item.judgement for item in heard if item.fate is not USED]
    places += [judgement_of([event]) for event in told.left_out]
    return [doubted(item) for item in places if item.detection_id is not None or item.box is not None]


def leave_out(told: Sequence[Told], rules: Sequence[Without], ledger: Ledger) -> list[Told]:
    """The same frames, with what is left out on request told apart and accounted for."""
    result = []
    for item in told:
        kept, lost = [], []
        for event in item.events:
            rule = next((rule for rule in rules if rule.covers(event, item.frame)), None)
            if rule is None:
                kept.append(event)
            else:
                lost.append(event)
                ledger.book("answers", skipped(rule.reason), event.key, operator=event.operator)
        result.append(dataclasses.replace(item, events=tuple(kept), left_out=tuple(lost)))
    return result
