"""What reliability does to answers: how much each counts, and which disputes are clear enough to be taught. Pure.

A judgement that is right with probability q counts w = max(0, 2 q - 1) in the loss. For a loss with l(yes) + l(no)
constant the expected loss over what may be true is exactly (2 q - 1) l(answer) + constant (Ghosh, Kumar and Sastry,
2017), and for cross-entropy that is the ratio of the expected gradient to the answer's own where the network is
undecided: (q - p) / (1 - p) at p = 1/2. A coin's answer counts nothing, and no answer is turned into its opposite.

A dispute is settled where one side has q >= CLEAR: what that side says in common is taught, with its weight. What is
said against a clear majority on a repeat of the same picture has q < 1/2 and counts nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from lineside.fold import judgement_of, standing
from lineside.records import FeedbackEvent, Gesture, Judgement, Outcome
from training.data.merging import Told
from training.reliability.model import Reliability, chance_of_right, chance_of_yes, estimate
from training.reliability.questions import NO, YES, Place, Question, questions_of

CLEAR = 0.8
"""Probability from which one side of a dispute is taught; its weight is 0.6 then."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatorWeighing:
    """What is known of operators and of the detections they answered."""

    reliability: Mapping[str, Reliability]
    questions: Mapping[Place, Question]
    """By place where it was shown."""
    answers: Mapping[Place, Sequence[FeedbackEvent]]
    """What stands about a detection, of those who said yes or no."""

    def weighed(self, frame_id: str, judgement: Judgement) -> tuple[Judgement, float]:
        """The judgement to teach (a clear dispute settled) and the probability that it is right."""
        place = (frame_id, judgement.detection_id or "")
        if place not in self.questions or judgement.gesture not in YES | NO:
            return judgement, chance_of_right(judgement.operators, self.reliability)
        yes = chance_of_yes(self.questions[place].votes, self.reliability)
        if judgement.outcome is Outcome.SAID:
            return judgement, yes if judgement.gesture in YES else 1 - yes
        if max(yes, 1 - yes) < CLEAR:
            return judgement, 0.5
        side = YES if yes >= CLEAR else NO
        believed = [event for event in self.answers[place] if event.gesture in side]
        if not believed:
            return judgement, 0.5
        settled = judgement_of(believed)
        if settled.outcome is Outcome.DISPUTED:
            # All of them deny the class it was given; what it is instead they do not agree about.
            settled = dataclasses.replace(
                settled, outcome=Outcome.SAID, gesture=Gesture.WRONG_CLASS, class_name=None, box=None
            )
        return settled, max(yes, 1 - yes)

    def told(self) -> dict[str, dict[str, float]]:
        """By operator: repeats, mean, low, high."""
        return {name: dataclasses.asdict(item) for name, item in sorted(self.reliability.items())}


def weigh(told: Sequence[Told], *, seed: int = 0) -> OperatorWeighing:
    """Estimates reliability from all that was said.

    Args:
        told: frames with what was said about them.
        seed: of the posterior's draws.
    """
    questions = questions_of(told)
    answers: dict[Place, list[FeedbackEvent]] = {}
    for item in told:
        for target, events in standing(item.events).items():
            if target[0] == "detection":
                answers[item.frame_id, target[1]] = [event for event in events if event.gesture in YES | NO]
    return OperatorWeighing(
        reliability=estimate(questions, seed=seed),
        questions={place: question for question in questions for place in question.places},
        answers=answers,
    )
