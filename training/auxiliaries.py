"""Which auxiliary losses a run's configuration asks for."""

from __future__ import annotations

from training.auxiliary import Auxiliary
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.models.detector import Detector


def auxiliaries_for(config: TrainConfig, network: Detector, parent: Checkpoint | None) -> tuple[Auxiliary, ...]:  # noqa: ARG001
    """The auxiliary losses of a run, in the order in which they are added.

    Called once, after the network got its first weights. With a seed fixed before, what is drawn here is the same in
    each run and each process.

    Args:
        config: of the run.
        network: the one to be trained; `network.backbone.outputs` is the width of its features.
        parent: the model it starts from or is taught by; None: there is none.
    """
    return ()
