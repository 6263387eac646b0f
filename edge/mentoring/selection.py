"""Which frames are worth an operator's time: composable policies, each with its reason and probability. Pure.

A choice depends on the seed, the policy and the frame id alone, so it can be repeated and needs no state. The stored
probability is that of the frame being kept at all, by whichever policy: what an unbiased estimate divides by.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence

from edge.inspection import Inspection, Verdict
from edge.mentoring.settings import (
    AnyDetectionSettings,
    AuditSettings,
    NoVerdictSettings,
    PolicySettings,
    UncertaintySettings,
)


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

    def __post_init__(self) -> None:
        if not self.because:
            raise ValueError("because is empty, expected the name of a selection policy")
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability}, expected above 0 and at most 1")


class Selector:
    """Asks every policy about a frame.

    Args:
        policies: in the order in which they may name themselves as the reason.
        seed: two stations with the same seed choose alike.
    """

    def __init__(self, policies: Sequence[PolicySettings], seed: int = 0) -> None:
        self._policies = tuple(policies)
        self._seed = seed

    def choose(self, inspection: Inspection, *, thresholds: Mapping[str, float] | None = None) -> Selection | None:
        """Whether a frame is kept, and why.

        Args:
            inspection: the frame's.
            thresholds: by class name, those that raised the detections; a class that is not there has the
                policy's own.
        """
        taken_by: str | None = None
        missed_by_all = 1.0
        for number, policy in enumerate(self._policies):
            probability = wanted(policy, inspection, thresholds or {})
            missed_by_all *= 1 - probability
            if taken_by is None and draw(self._seed, number, policy.kind, inspection.frame_id) < probability:
                taken_by = policy.kind
        return None if taken_by is None else Selection(because=taken_by, probability=1 - missed_by_all)


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


def draw(seed: int, number: int, kind: str, frame_id: str) -> float:
    """A uniform number in [0, 1), always the same for the same arguments."""
    digest = hashlib.blake2b(f"{seed}/{number}/{kind}/{frame_id}".encode(), digest_size=8).digest()
    # 53 bits fill a double exactly; all 64 could round up to 1.
    return math.ldexp(int.from_bytes(digest, "big") >> 11, -53)
