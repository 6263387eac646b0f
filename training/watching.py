"""Watches a run by original parts held out of training: the figure its floor is about, and the weights that stand."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from training.checkpoint import Checkpoint
from training.data.sample import Dataset
from training.evaluate.figures import average_precisions
from training.evaluate.predictor import Predictor
from training.floor import FloorConfig, FloorWatch
from training.models.detector import Detector
from training.processes import Processes

logger = logging.getLogger(__name__)

Values = Mapping[str, torch.Tensor]
"""Weights and statistics of a network, by name."""


class Watcher:
    """Answers for a set of pictures with whatever weights it is given.

    The figure itself, and no cheaper stand-in: the loss on these pictures falls and rises with how sure the network is,
    which mAP does not ask, and a floor on mAP is what is promised.

    Args:
        dataset: fully annotated; pictures without defect do not count in mAP and are left out.
        network: of the run; a copy is made.
    """

    def __init__(self, dataset: Dataset, network: Detector) -> None:
        self._pictures = dataset.defective
        self._predictor = Predictor(copy.deepcopy(network))

    def measure(self, values: Values) -> float:
        """mAP at IoU 0.33, 0 to 1, of a network with these weights and statistics."""
        self._predictor.detector.load_state_dict(values)
        answers = [(sample, self._predictor.detect(sample.picture.read())) for sample in self._pictures]
        return float(np.nanmean(average_precisions(answers, len(self._pictures.classes))[0]))


class Guard:
    """Keeps the weights of the last measurement that stood at or above the floor.

    Args:
        config: of the floor.
        watched: the pictures.
        network: of the run, with its first weights.
        parent: whose figure the floor is below; None: there is no floor and the curve alone is drawn.
        from_parent: whether the run begins with the parent's weights, which then are the first to stand.
        processes: the first measures, the others are told.
    """

    def __init__(
        self,
        config: FloorConfig,
        watched: Dataset,
        network: Detector,
        *,
        parent: Checkpoint | None,
        from_parent: bool,
        processes: Processes,
    ) -> None:
        self._watcher = Watcher(watched, network)
        self._processes = processes
        self._kept: dict[str, torch.Tensor] = {}
        self._watch = FloorWatch(config=config, parent=None)
        if parent is not None:
            values = parent.detector.state_dict()
            figure = self._measured(values)
            self._watch = FloorWatch(config=config, parent=figure)
            if from_parent:
                self._note(0, figure, values)

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self._watch.stopped

    def due(self, step: int, *, last: bool) -> bool:
        """Whether to measure after so many steps."""
        return self._watch.due(step, last=last)

    def measure(self, step: int, values: Values) -> float:
        """The figure of weights after so many steps. What stands is kept."""
        figure = self._measured(values)
        self._note(step, figure, values)
        return figure

    def to_be_saved(self, values: Values) -> Values:
        """The run's last weights, or those of the last measurement that stood where the last one did not."""
        if self._watch.keeps_latest:
            return values
        logger.warning(
            "the original domain fell below its floor of %.3f mAP; saved are the weights of step %s, with %.3f",
            self._watch.floor,
            self._watch.above,
            self._watch.figure,
        )
        return self._kept

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is kept, for a saved state."""
        return self._kept

    def facts(self) -> dict[str, Any]:
        """Plain values, for a saved state and a checkpoint."""
        return self._watch.facts()

    def put_back(self, tensors: Values, facts: Mapping[str, Any]) -> None:
        """The reverse of `tensors` and `facts`."""
        self._kept = dict(tensors)
        self._watch.put_back(facts)

    def _measured(self, values: Values) -> float:
        return self._processes.from_first(self._watcher.measure(values) if self._processes.first else 0.0)

    def _note(self, step: int, figure: float, values: Values) -> None:
        if self._watch.note(step, figure):
            self._kept = {name: value.detach().clone() for name, value in values.items()}
