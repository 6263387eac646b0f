"""The rows of the paper's Table 1 (Cordier et al., sections 3.3 and 3.4), each by what it changes.

Operators confirm or reject, and nothing else (section 3.2); what more they could say is in `training.recipes.asked`.

Training from scratch sees half as many original pictures a step, because the other half of a batch is new. It gets
twice the steps, so that the original samples are matched and no false loss shows there.
"""

from __future__ import annotations

import dataclasses

from training.adapt.dann import DannConfig
from training.config import FeedbackPlan, TrainConfig
from training.models.config import DetectorConfig

EPSILON = 0.01
"""OMNIA's threshold in the paper."""


def baseline(detector: DetectorConfig) -> TrainConfig:
    """Original data alone."""
    return TrainConfig(recipe="baseline", detector=detector)


def mentored(detector: DetectorConfig) -> TrainConfig:
    """Adds the masked loss on the new domain, from scratch (section 3.3)."""
    start = baseline(detector)
    return dataclasses.replace(
        start, recipe="mentored", new_labels="mentored", steps=2 * start.steps, feedback=CONFIRM_OR_REJECT
    )


def transfer(detector: DetectorConfig) -> TrainConfig:
    """Starts from the baseline's weights, still with both domains (section 3.4.1)."""
    start = mentored(detector)
    return dataclasses.replace(
        start,
        recipe="transfer",
        from_parent=True,
        steps=TRANSFER_STEPS,
        optimiser=dataclasses.replace(start.optimiser, learning_rate=TRANSFER_RATE),
    )


def omnia(detector: DetectorConfig) -> TrainConfig:
    """Adds the background the baseline is sure of, from scratch (section 3.4.2)."""
    return dataclasses.replace(mentored(detector), recipe="omnia", omnia=EPSILON)


def healthy(detector: DetectorConfig) -> TrainConfig:
    """Adds frames flagged healthy or complete as background, from scratch (section 3.4.3)."""
    start = mentored(detector)
    return dataclasses.replace(
        start, recipe="healthy", whole_frames=True, feedback=dataclasses.replace(start.feedback, frames="healthy")
    )


def dann(detector: DetectorConfig) -> TrainConfig:
    """Adds a domain judge whose gradient is reversed into the features, from scratch (section 3.4.4)."""
    return dataclasses.replace(mentored(detector), recipe="dann", dann=DannConfig())


CONFIRM_OR_REJECT = FeedbackPlan(gestures="binary")
TRANSFER_STEPS = 1500
TRANSFER_RATE = 2e-3
