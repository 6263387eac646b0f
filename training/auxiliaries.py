"""Which auxiliary losses a run's configuration asks for."""

from __future__ import annotations

from training.adapt.dann import Dann
from training.adapt.distil import Distil
from training.adapt.teacher import Teacher
from training.auxiliary import Auxiliary
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.models.detector import Detector


def auxiliaries_for(config: TrainConfig, network: Detector, parent: Checkpoint | None) -> tuple[Auxiliary, ...]:
    """The auxiliary losses of a run, in the order in which they are added.

    Called once, after the network got its first weights. With a seed fixed before, what is drawn here is the same in
    each run and each process.

    Args:
        config: of the run.
        network: the one to be trained; `network.backbone.outputs` is the width of its features.
        parent: the model it starts from or is taught by; None: there is none.
    """
    found: list[Auxiliary] = []
    if config.dann is not None:
        found.append(Dann(config.dann, features=network.backbone.outputs))
    if config.distil is not None and parent is not None:
        found.append(Distil(config.distil, parent.detector))
    if config.teacher is not None:
        found.append(Teacher(config.teacher, network))
    return tuple(found)
