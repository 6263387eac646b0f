"""What a station's engineer runs: everything the operators said, from the serving model's weights; and the ceiling."""

from __future__ import annotations

import dataclasses

from training.adapt.teacher import TeacherConfig
from training.config import FeedbackPlan, TrainConfig
from training.models.config import DetectorConfig
from training.recipes.paper import transfer


def recommended(detector: DetectorConfig) -> TrainConfig:
    """Transfer, taught by single answers and by whole frames, asked where the model is not sure; the surest confirmed
    box of a defect is taught as it lies, beside it is background, and a mean teacher finds what nobody was shown."""
    plan = FeedbackPlan(
        gestures="classes",
        frames="healthy",
        show_from=SHOWN[0],
        show_to=SHOWN[1],
        show_again_from=SHOW_AGAIN_FROM,
    )
    start = transfer(detector)
    return dataclasses.replace(
        start,
        recipe="recommended",
        whole_frames=True,
        agreed_boxes=True,
        best_boxes=True,
        surroundings=True,
        healthy_new=HEALTHY,
        crop=dataclasses.replace(start.crop, loose=True),
        teacher=TeacherConfig(),
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


HEALTHY = 0.15
"""Of the new frames drawn, how many are flagged healthy: by chance it would be half of them, which hold no defect."""
SHOWN = (0.4, 0.9)
"""Scores between which operators are asked. A surer detection costs a click and teaches little; for the same time they
answer detections below the threshold, among them defects the station would have let go."""
SHOW_AGAIN_FROM = 0.3
"""Score from which a second round asks: the model has learned to be silent where nothing is, and what it still doubts
is mostly a defect."""
