"""The running average of a network's weights and batch statistics, which answers steadier than the last step's."""

from __future__ import annotations

import torch
from torch import nn


class RunningAverage:
    """Keeps a copy of every parameter and buffer, moved towards the network a little at each step."""

    def __init__(self, network: nn.Module) -> None:
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """`value = decay * value + (1 - decay) * network's`; counters are copied."""
        state = network.state_dict()
        mine = [value for value in self.values.values() if value.is_floating_point()]
        theirs = [state[name] for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for name, value in self.values.items():
            if not value.is_floating_point():
                value.copy_(state[name])
