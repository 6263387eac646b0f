"""The state of an unfinished run, as safetensors: a resumed run continues bit for bit.

What has to be kept: weights, their running average, the optimiser's moments, the state of auxiliary losses, the step,
and what was decided on the way (time spent, the floor's watch). Batches need nothing, being a function of (seed, step).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from training.checkpoint import write_atomically

FILE_NAME = "state.safetensors"
_KEY = "lineside-state"


class Saved(NamedTuple):
    """steps done; tensors by name; plain values of whoever keeps something between steps."""

    step: int
    tensors: dict[str, torch.Tensor]
    facts: Mapping[str, Any]


def save_state(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    step: int,
    fingerprint: str,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes the state after `step` steps; `fingerprint` names configuration and data."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps({"step": step, "fingerprint": fingerprint, "facts": dict(facts or {})})
    write_atomically(path, safetensors.torch.save(plain, {_KEY: text}))


def clear_leftovers(folder: Path) -> None:
    """Removes what a run left that was killed while it wrote a state; each such file is as large as one."""
    for leftover in folder.glob(f".{FILE_NAME}.*.tmp"):
        leftover.unlink(missing_ok=True)


def read_state(content: bytes, *, fingerprint: str) -> Saved:
    """Reads the content of a saved state.

    Raises:
        ValueError: it is of another run or cannot be read.
    """
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{FILE_NAME} cannot be read: {error}; train without --resume") from None
    # Eight bytes of length, then a header in JSON; the library reads its metadata from files only.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said: dict[str, Any] = json.loads(header.get("__metadata__", {}).get(_KEY, "{}"))
    if said.get("fingerprint") != fingerprint:
        raise ValueError(f"{FILE_NAME} is of a run with another configuration or data; train without --resume")
    return Saved(int(said["step"]), tensors, said.get("facts", {}))
