"""The state of an unfinished run, as safetensors: a resumed run continues bit for bit.

What has to be kept: weights, their running average, the optimiser's moments, the state of auxiliary losses, and the
step. Batches need nothing, being a function of (seed, step).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from training.checkpoint import write_atomically

FILE_NAME = "state.safetensors"
_KEY = "lineside-state"


def save_state(path: Path, tensors: Mapping[str, torch.Tensor], *, step: int, fingerprint: str) -> None:
    """Writes the state after `step` steps; `fingerprint` names configuration and data."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps({"step": step, "fingerprint": fingerprint})
    write_atomically(path, safetensors.torch.save(plain, {_KEY: text}))


def load_state(path: Path, *, fingerprint: str) -> tuple[int, dict[str, torch.Tensor]]:
    """Reads a saved state.

    Returns:
        The number of steps done, and the tensors by name.

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
    return int(said["step"]), tensors
