"""Controls: what a gain must be compared with before clicks get the credit."""

from __future__ import annotations

import dataclasses

from training.config import TrainConfig
from training.models.config import DetectorConfig
from training.recipes.paper import mentored, transfer


def unbalanced(detector: DetectorConfig) -> TrainConfig:
    """As `mentored`, but without 1:1 batches: pictures as chance draws them (section 3.3 says that this fails)."""
    return dataclasses.replace(mentored(detector), recipe="unbalanced", balanced=False)


def longer(detector: DetectorConfig) -> TrainConfig:
    """As long and from the same weights as `transfer`, without a single click."""
    start = transfer(detector)
    return dataclasses.replace(start, recipe="longer", new_labels="none")


def camera(detector: DetectorConfig) -> TrainConfig:
    """As `longer`, with original pictures shown as the new camera takes them: what that is worth without a click."""
    return dataclasses.replace(longer(detector), recipe="camera", camera=CAMERA_SHARE)


def unspoken_is_healthy(detector: DetectorConfig) -> TrainConfig:
    """As `transfer`, but areas nobody spoke about are simply called healthy, missed defects among them."""
    return dataclasses.replace(transfer(detector), recipe="unspoken_is_healthy", omnia=1.0)


CAMERA_SHARE = 0.5
