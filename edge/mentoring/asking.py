"""Which detections of the kept frames are put to operators: composable policies within a budget of their time.

A detection that any policy wants is asked about; each policy wants it with a probability of its own, and the first that
takes it names itself as the reason. What all policies together want is thinned to the budget (`edge.mentoring.budget`):

    probability = fill of the budget * (1 - product over policies of (1 - want))

Probabilities depend on the past alone, draws on seed and detection id alone, so answers can be weighed by them without
bias. What a policy may not do is rank: the next part may always be the better one.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Iterable, Mapping, Sequence

from edge.inspection import Detection
from edge.mentoring.ask_settings import (
    AnyAskSettings,
    AskingSettings,
    AskPolicySettings,
    BalanceAskSettings,
    BandAskSettings,
    BelowAskSettings,
    NoveltyAskSettings,
)
from edge.mentoring.budget import Budget
from edge.mentoring.draws import draw
from edge.mentoring.novelty import Look, Looks, look_of
from lineside.pixels import Pixels

REMEMBERED_ASKED = 200
"""Latest questions by which it is judged which classes were asked about often."""
UNKNOWN_THRESHOLD = 0.5
"""Of a class for which the caller cannot say it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Why something is put to operators.

    Raises:
        ValueError: the probability is not in (0, 1].
    """

    because: str
    """Kind of the policy; empty: wanted, and not drawn this time."""
    probability: float
    """With which it was to be asked."""

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability}, expected above 0 and at most 1")


class Asker:
    """Asks the policies, and remembers what it takes to judge the next detection. Thread-safe.

    Args:
        settings: policies and budget.
        seed: of the random choices.
    """

    def __init__(self, settings: AskingSettings, seed: int = 0) -> None:
        self._policies = settings.policies
        self._seed = seed
        self._lock = threading.Lock()
        self._budget = Budget(settings.budget)
        self._asked: collections.deque[str] = collections.deque(maxlen=REMEMBERED_ASKED)
        self._classes: set[str] = set()
        novelties = [item.remember for item in settings.policies if isinstance(item, NoveltyAskSettings)]
        self._looks = Looks(max(novelties)) if novelties else None

    def ask(
        self,
        detections: Sequence[Detection],
        *,
        raised: bool,
        thresholds: Mapping[str, float],
        unix_ns: int,
        pixels: Pixels | None = None,
    ) -> dict[str, Asked]:
        """Which of a frame's detections are put to operators: by id those that any policy looks for.

        Args:
            detections: of one frame, all raised or all candidates below their thresholds.
            raised: which of the two.
            thresholds: by class name, those that raised the detections.
            unix_ns: when the frame was taken, for the budget.
            pixels: of the frame, uint8 (h, w) or (h, w, 3); None: novelty wants nothing.
        """
        answers: dict[str, Asked] = {}
        with self._lock:
            fill = self._budget.fill(unix_ns)
            self._classes.update(thresholds)
            for detection in detections:
                look = None if self._looks is None or pixels is None else look_of(pixels, detection.box)
                threshold = thresholds.get(detection.class_name, UNKNOWN_THRESHOLD)
                wants = [self._want(policy, detection, raised, threshold, look) for policy in self._policies]
                answer = self._drawn(detection.detection_id, wants, fill)
                if answer is None:
                    continue
                answers[detection.detection_id] = answer
                if answer.because:
                    self._asked.append(detection.class_name)
                    if self._looks is not None and look is not None:
                        self._looks.add(detection.class_name, look)
            self._budget.spend_on_questions(sum(bool(answer.because) for answer in answers.values()))
        return answers

    def searches(self) -> None:
        """A frame is going to be searched whole: that costs time as well."""
        with self._lock:
            self._budget.spend_on_search()

    def _drawn(self, detection_id: str, wants: Iterable[float], fill: float) -> Asked | None:
        because, refused_by_all = "", 1.0
        for number, (policy, want) in enumerate(zip(self._policies, wants, strict=True), 1):
            refused_by_all *= 1 - want
            if not because and draw(self._seed, number, policy.kind, detection_id) < want:
                because = policy.kind
        if refused_by_all == 1:
            return None
        if draw(self._seed, 0, "budget", detection_id) >= fill:
            because = ""
        return Asked(because=because, probability=fill * (1 - refused_by_all))

    def _want(
        self, policy: AskPolicySettings, detection: Detection, raised: bool, threshold: float, look: Look | None
    ) -> float:
        """The probability with which a policy wants a detection."""
        match policy:
            case AnyAskSettings():
                return policy.share if raised else 0.0
            case BandAskSettings():
                return policy.share if -policy.below <= detection.score - threshold <= policy.above else 0.0
            case BelowAskSettings():
                return policy.share if not raised and detection.score >= policy.down_to else 0.0
            case BalanceAskSettings():
                return policy.share * self._scarcity(detection.class_name) if raised else 0.0
            case NoveltyAskSettings():
                if not raised or look is None or self._looks is None:
                    return 0.0
                nearest = self._looks.nearest(detection.class_name, look, policy.remember)
                return policy.share if nearest >= policy.distance else 0.0

    def _scarcity(self, class_name: str) -> float:
        """1 for a class with no more than an equal part of the latest questions, else the equal part over its own."""
        own = self._asked.count(class_name)
        return min(1.0, len(self._asked) / (max(1, len(self._classes)) * own)) if own else 1.0
