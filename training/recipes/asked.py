"""Rows that differ by what operators are asked to do. They learn as `transfer` or `recommended` does, of more or other
answers."""

from __future__ import annotations

import dataclasses

from training.config import FeedbackPlan, TrainConfig
from training.models.config import DetectorConfig
from training.recipes.paper import transfer
from training.recipes.station import recommended


def uncertain(detector: DetectorConfig) -> TrainConfig:
    """Transfer, asking only about detections near the threshold (section 3.2's more elaborate mining)."""
    start = transfer(detector)
    plan = dataclasses.replace(start.feedback, show_from=UNCERTAIN[0], show_to=UNCERTAIN[1])
    return dataclasses.replace(start, recipe="uncertain", feedback=plan)


def wrong_class(detector: DetectorConfig) -> TrainConfig:
    """Transfer, where operators also say which class a detection really is."""
    return dataclasses.replace(transfer(detector), recipe="wrong_class", feedback=FeedbackPlan(gestures="classes"))


def missed(detector: DetectorConfig) -> TrainConfig:
    """Also missed defects, tapped; that the frame is complete then is not taught (the control of `complete`)."""
    return dataclasses.replace(complete(detector), recipe="missed", whole_frames=False)


def complete(detector: DetectorConfig) -> TrainConfig:
    """As `recommended`, with every frame searched: missed defects tapped, then the frame called complete or healthy."""
    start = recommended(detector)
    # Who searches the frame wants to see all that is known of it, sure things too; and what the model half saw is a
    # click, and its box a better one than a tap's.
    plan = dataclasses.replace(start.feedback, frames="complete", audit=1.0, show_to=None)
    return dataclasses.replace(start, recipe="complete", feedback=plan)


def second_round(detector: DetectorConfig) -> TrainConfig:
    """As `recommended`, then once more with what the new model shows."""
    return _rounds(detector, "second_round", 2)


def third_round(detector: DetectorConfig) -> TrainConfig:
    """As `second_round`, and once more."""
    return _rounds(detector, "third_round", 3)


def _rounds(detector: DetectorConfig, name: str, rounds: int) -> TrainConfig:
    start = recommended(detector)
    return dataclasses.replace(start, recipe=name, feedback=dataclasses.replace(start.feedback, rounds=rounds))


UNCERTAIN = (0.2, 0.7)
"""Scores between which `uncertain` asks; the deployed thresholds are near 0.5."""
