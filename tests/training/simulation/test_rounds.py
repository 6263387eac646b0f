"""What is shown in which round, and where a limited time ends."""

from __future__ import annotations

import numpy as np
from support.lessons import squares

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.pixels import Pixels
from training.config import FeedbackPlan
from training.data.sample import Dataset
from training.evaluate.predictor import Answer, at_thresholds
from training.simulation.judging import Character
from training.simulation.shortcut import Shortcut

DEFECTIVE = Dataset(name="squares", classes=("a", "b"), samples=squares(8).defective)


def answer(_: Pixels) -> Answer:
    """Two boxes on every picture, apart from each other: one above the threshold and one below."""
    found = Found(
        boxes=as_boxes([[0, 0, 12, 12], [18, 18, 30, 30]]),
        scores=np.array([0.6, 0.4], np.float32),
        classes=np.array([0, 1], np.int32),
        areas=(np.array([1], np.int32), np.array([9], np.int32)),
    )
    return Answer(found=found, deployed=at_thresholds(found, np.array([0.5, 0.5], np.float32)))


def clicks_of(plan: FeedbackPlan, rounds: int = 2) -> list[int]:
    shortcut = Shortcut(DEFECTIVE, Character(), plan, seed=0)
    return [sum(shortcut.round(answer).clicks.values()) for _ in range(rounds)]


def test_a_later_round_may_look_lower_and_asks_nothing_twice() -> None:
    count = len(DEFECTIVE)
    assert clicks_of(FeedbackPlan(show_again_from=0.3), rounds=3) == [count, count, 0]
    assert clicks_of(FeedbackPlan()) == [count, 0]
    assert clicks_of(FeedbackPlan(show_from=0.3, show_again_from=0.7)) == [2 * count, 0]


def test_time_is_limited_over_all_rounds_together() -> None:
    shortcut = Shortcut(DEFECTIVE, Character(), FeedbackPlan(show_again_from=0.3, budget_share=0.1), seed=0)
    for _ in range(2):
        shortcut.round(answer)
    # The picture in hand is finished.
    assert 0.1 <= shortcut.seconds / shortcut.full_seconds < 0.1 + 1.5 / shortcut.full_seconds + 1e-9
