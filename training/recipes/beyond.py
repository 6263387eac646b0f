"""The rows the paper only wished for (Cordier et al., section 5) and others: the clicks of `transfer`, used otherwise.

Each starts from `transfer`, so that a difference is the method's.
"""

from __future__ import annotations

import dataclasses

from training.adapt.dann import DannConfig
from training.adapt.distil import DistilConfig
from training.adapt.teacher import TeacherConfig
from training.config import TrainConfig
from training.models.config import DetectorConfig
from training.recipes.paper import EPSILON, transfer


def transfer_dann(detector: DetectorConfig) -> TrainConfig:
    """Transfer with the domain judge."""
    return dataclasses.replace(transfer(detector), recipe="transfer_dann", dann=DannConfig())


def transfer_omnia(detector: DetectorConfig) -> TrainConfig:
    """Transfer with the background the baseline is sure of."""
    return dataclasses.replace(transfer(detector), recipe="transfer_omnia", omnia=EPSILON)


def distil(detector: DetectorConfig) -> TrainConfig:
    """Transfer with the baseline's soft answers where no operator has spoken."""
    return dataclasses.replace(transfer(detector), recipe="distil", distil=DistilConfig())


def teacher(detector: DetectorConfig) -> TrainConfig:
    """Transfer with a mean teacher's confident answers where no operator has spoken."""
    return dataclasses.replace(transfer(detector), recipe="teacher", teacher=TeacherConfig())


def robust(detector: DetectorConfig) -> TrainConfig:
    """Transfer with a loss in which answers that everything else contradicts pull less."""
    start = transfer(detector)
    objective = dataclasses.replace(start.objective, robust=ROBUST)
    return dataclasses.replace(start, recipe="robust", objective=objective)


def reliable(detector: DetectorConfig) -> TrainConfig:
    """Transfer in which answers count by how reliable their operator is."""
    return dataclasses.replace(transfer(detector), recipe="reliable", reliability=True)


ROBUST = 0.5
"""Exponent of the generalised cross-entropy; its authors' 0.7 is for harder noise than a tired operator's."""
