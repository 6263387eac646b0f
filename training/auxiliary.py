"""Losses beside the objective, and how they get into a step: what the training loop asks of one, and nothing more.

A domain classifier behind a gradient reversal, distillation from a parent, a mean teacher: each is one class that
follows `Auxiliary`, built from the run's configuration in `training/auxiliaries.py`. The loop knows none of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import nn

from training.data.batches import Batch
from training.models.detector import Detector, RawOutput
from training.processes import Total


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """One forward pass over both domains, as an auxiliary loss sees it.

    With several processes `features`, `output` and `batch` are this process's share. A loss that is a mean divides its
    sum by `total(number)`, so that all shares add up to the mean over the whole batch.
    """

    network: Detector
    """In training mode; shared, so that a loss must not change it."""
    features: torch.Tensor
    """(N, F, h, w), the backbone's last map, with gradient. bfloat16 in mixed precision."""
    output: RawOutput
    """The head's answer to `features`, float32, with gradient."""
    batch: Batch
    """Pictures and label states; `batch.new` tells the domains apart."""
    step: int
    """Counted from 0."""
    steps: int
    """Of the whole run as planned now; a time budget may change it while the run goes on."""
    total: Total
    """Sum of a number over all processes."""


class Auxiliary(Protocol):
    """One loss that is added to the objective.

    A `torch.nn.Module` that has these is one. `parameters`, `state_dict` and `load_state_dict` are then the module's
    own, and its batch norms count over all processes as the network's do. Its `loss` is called in the network's
    precision (autocast): what needs float32 converts its logits.
    """

    name: str
    """Unique in a run: the key of its curve and of its part of a saved state."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What the optimiser is to move together with the network. Each must take part in every `loss`."""
        ...

    def loss(self, context: Context) -> torch.Tensor:
        """A scalar with its weight already in it. Where there is nothing to learn: 0 with a gradient, never NaN."""
        ...

    def after_step(self, network: Detector, step: int) -> None:
        """Called after the optimiser's step of that number: the place of a teacher's running average."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that changes during a run, by name, for a saved state."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> object:
        """Puts such a state back, bit for bit."""
        ...
