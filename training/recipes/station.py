"""What a station's engineer runs: everything the operators said, from the serving model's weights; and the ceiling."""

from __future__ import annotations

import dataclasses

from training.config import FeedbackPlan, TrainConfig
from training.models.config import DetectorConfig
from training.recipes.paper import transfer


def recommended(detector: DetectorConfig) -> TrainConfig:
    """Transfer, taught by single answers and by whole frames; beside a confirmed defect is background; and half of the
    original pictures are shown as the new camera takes them."""
    plan = FeedbackPlan(gestures="classes", frames="healthy", show_again_from=SHOW_AGAIN_FROM)
    return dataclasses.replace(
        transfer(detector),
        recipe="recommended",
        whole_frames=True,
        surroundings=True,
        camera=CAMERA_SHARE,
        feedback=plan,
    )


def full(detector: DetectorConfig) -> TrainConfig:
    """The new domain fully annotated, from the baseline's weights: what clicks can be measured against."""
    start = transfer(detector)
    return dataclasses.replace(
        start,
        recipe="full",
        new_labels="full",
        objective=dataclasses.replace(start.objective, background_new=start.objective.background),
    )


CAMERA_SHARE = 0.5
SHOW_AGAIN_FROM = 0.3
"""Score from which a second round asks: the model has learned to be silent where nothing is, and what it still doubts
is mostly a defect."""
