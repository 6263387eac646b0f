"""Which frames are worth an operator's time: composable policies, each with its reason and probability. Pure.

A choice depends on the seed, the policy and the frame id alone, so it can be repeated and needs no state. The stored
probability is that of the frame being kept at all, by whichever policy: what an unbiased estimate divides by.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from edge.inspection import Detection, Inspection, Verdict
from edge.mentoring.ask_settings import AskingSettings, reach_below
from edge.mentoring.asking import Asked, Asker
from edge.mentoring.draws import draw
from edge.mentoring.settings import (
    AnyDetectionSettings,
    AuditSettings,
    NoVerdictSettings,
    PolicySettings,
    UncertaintySettings,
)
from lineside.pixels import Pixels

LOWEST_QUESTION = 0.05
"""Score below which nothing is ever a question: a network's background."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Why a frame is kept.

    Raises:
        ValueError: there is no reason, or the probability is not in (0, 1].
    """

    because: str
    """Kind of the policy that took it; the first in the order of the configuration."""
    probability: float
    """With which a frame like this is kept, by any of the policies."""
    questions: Mapping[str, Asked] | None = dataclasses.field(default=None, compare=False)
    """What of it is put to operators, by detection id; candidates that are not there are forgotten. None: all that was
    raised, because the frame was kept."""
    search: Asked | None = dataclasses.field(default=None, compare=False)
    """Somebody is asked to search the whole frame."""

    def __post_init__(self) -> None:
        if not self.because:
            raise ValueError("because is empty, expected the name of a selection policy")
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability}, expected above 0 and at most 1")


class Selector:
    """Asks every policy about a frame: whether it is kept, and what of it is put to operators. Thread-safe.

    Args:
        policies: in the order in which they may name themselves as the reason.
        seed: two stations with the same seed choose alike.
        asking: which detections are put to operators; None: all that were raised.
    """

    def __init__(
        self, policies: Sequence[PolicySettings], seed: int = 0, *, asking: AskingSettings | None = None
    ) -> None:
        self._policies = tuple(policies)
        self._seed = seed
        asking = asking or AskingSettings()
        self._asker = Asker(asking, seed)
        self._reach = reach_below(asking.policies)

    def down_to(self, thresholds: Mapping[str, float]) -> float | None:
        """The score down to which candidates below these thresholds may be worth a question; None: none is."""
        below, fixed = self._reach
        lowest = min([fixed, *(value - below for value in thresholds.values())])
        return max(lowest, LOWEST_QUESTION) if lowest < max(thresholds.values(), default=0.0) else None

    def choose(
        self,
        inspection: Inspection,
        *,
        thresholds: Mapping[str, float] | None = None,
        pixels: Pixels | None = None,
        candidates: Sequence[Detection] = (),
    ) -> Selection | None:
        """Whether a frame is kept, and why.

        Args:
            inspection: the frame's.
            thresholds: by class name, those that raised the detections; a class that is not there has the
                policy's own.
            pixels: of the frame, for policies that look at it.
            candidates: what lies below the thresholds. A frame is kept where one of them is asked about.
        """
        thresholds = thresholds or {}
        taken_by: str | None = None
        missed_by_all, search = 1.0, None
        for number, policy in enumerate(self._policies):
            probability = wanted(policy, inspection, thresholds)
            missed_by_all *= 1 - probability
            if draw(self._seed, number, policy.kind, inspection.frame_id) < probability:
                taken_by = taken_by or policy.kind
                if isinstance(policy, AuditSettings):
                    search = Asked(because=policy.kind, probability=policy.share)
        ask = functools.partial(
            self._asker.ask, thresholds=thresholds, unix_ns=inspection.captured_unix_ns, pixels=pixels
        )
        questions = ask(candidates, raised=False)
        for asked in questions.values():
            missed_by_all *= 1 - asked.probability
            taken_by = taken_by or asked.because or None
        if taken_by is None:
            return None
        kept = 1 - missed_by_all
        for detection_id, asked in ask(inspection.detections, raised=True).items():
            questions[detection_id] = dataclasses.replace(asked, probability=kept * asked.probability)
        if search is not None:
            self._asker.searches()
        return Selection(because=taken_by, probability=kept, questions=questions, search=search)


def wanted(policy: PolicySettings, inspection: Inspection, thresholds: Mapping[str, float]) -> float:
    """The probability with which a policy takes this frame; 0: it does not look for such frames."""
    match policy:
        case AuditSettings():
            return policy.share
        case AnyDetectionSettings():
            return policy.share if inspection.detections else 0.0
        case NoVerdictSettings():
            return policy.share if inspection.verdict is Verdict.NO_VERDICT else 0.0
        case UncertaintySettings():
            near = any(
                0 <= item.score - thresholds.get(item.class_name, policy.threshold) <= policy.margin
                for item in inspection.detections
            )
            return policy.share if near else 0.0
