"""What is put to operators, as a station's owner decides it: section [mentoring.asking] of station.toml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from edge.mentoring.budget import BudgetSettings
from edge.settings import Settings

Share = Annotated[float, Field(ge=1e-6, le=1)]
"""A probability with which a policy takes what it looks for."""


class AnyAskSettings(Settings):
    """Every detection that was raised (Cordier et al., section 3.2)."""

    kind: Literal["any_detection"] = "any_detection"
    share: Share = 1.0


class BandAskSettings(Settings):
    """Scores around the threshold of their class: where the model is not sure. Above is what was raised, below are
    questions."""

    kind: Literal["band"] = "band"
    above: float = Field(default=0.4, ge=0, le=1)
    """How far above its threshold a detection still counts."""
    below: float = Field(default=0.1, ge=0, le=1)
    """How far below its threshold a candidate still counts."""
    share: Share = 1.0


class BelowAskSettings(Settings):
    """Candidates below their thresholds, down to a fixed score: what the station would let go."""

    kind: Literal["below_threshold"] = "below_threshold"
    down_to: float = Field(default=0.3, gt=0, lt=1)
    share: Share = 1.0


class BalanceAskSettings(Settings):
    """Raised detections of classes that are asked about seldom: a class is wanted with the probability that would give
    every class as many questions."""

    kind: Literal["balance"] = "balance"
    share: Share = 1.0


class NoveltyAskSettings(Settings):
    """Raised detections that look unlike all of their class that were asked about lately."""

    kind: Literal["novelty"] = "novelty"
    distance: float = Field(default=0.3, gt=0, le=2)
    """From which two looks are unlike: 0 equal, 1 nothing in common."""
    remember: int = Field(default=400, ge=1, le=10_000)
    """Latest looks compared with, per class."""
    share: Share = 1.0


AskPolicySettings = Annotated[
    AnyAskSettings | BandAskSettings | BelowAskSettings | BalanceAskSettings | NoveltyAskSettings,
    Field(discriminator="kind"),
]


class AskingSettings(Settings):
    """Section [mentoring.asking]: what is put to operators out of the frames that are kept."""

    policies: tuple[AskPolicySettings, ...] = (AnyAskSettings(),)
    """Which detections; one that any policy wants is asked about."""
    budget: BudgetSettings = BudgetSettings()
    repeat_share: float = Field(default=0.0, ge=0, le=0.5)
    """Of the questions shown to an operator, how many somebody else has answered already, without his being told: by
    these operators' agreement is known."""
    known_by: tuple[str, ...] = ()
    """Operators whose answers are taken as the truth: repeats are of theirs alone. Empty: of anybody's."""


def reach_below(policies: Sequence[AskPolicySettings]) -> tuple[float, float]:
    """How far below a threshold, and down to which score, policies want candidates; (0, 1): they do not."""
    below = max((item.below for item in policies if isinstance(item, BandAskSettings)), default=0.0)
    down_to = min((item.down_to for item in policies if isinstance(item, BelowAskSettings)), default=1.0)
    return below, down_to
