"""The state of an unfinished run, as safetensors: a resumed run continues bit for bit.

What has to be kept: weights, their running average, the optimiser's moments, and the step. Batches need nothing, being
a function of (seed, step).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from training.average import RunningAverage
from training.checkpoint import write_atomically

FILE_NAME = "state.safetensors"
_KEY = "lineside-state"


def save_state(
    path: Path,
    network: nn.Module,
    average: RunningAverage,
    optimiser: torch.optim.Optimizer,
    *,
    step: int,
    fingerprint: str,
) -> None:
    """Writes the state after `step` steps; `fingerprint` names configuration and data."""
    tensors: dict[str, torch.Tensor] = {}
    tensors |= {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.values.items()}
    for number, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps({"step": step, "fingerprint": fingerprint})
    write_atomically(path, safetensors.torch.save(tensors, {_KEY: text}))


def load_state(
    path: Path, network: nn.Module, average: RunningAverage, optimiser: torch.optim.Optimizer, *, fingerprint: str
) -> int:
    """Puts a saved state back.

    Returns:
        The number of steps done.

    Raises:
        ValueError: the file is of another run or cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            said: dict[str, Any] = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path.name} cannot be read: {error}; train without --resume") from None
    if said.get("fingerprint") != fingerprint:
        raise ValueError(f"{path.name} is of a run with another configuration or data; train without --resume")
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    network.load_state_dict(parts["network"])
    for name, value in average.values.items():
        value.copy_(parts["average"][name])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in parts["optimiser"].items():
        number, _, rest = name.partition(".")
        moments.setdefault(int(number), {})[rest] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(said["step"])
