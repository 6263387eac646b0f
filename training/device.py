"""Where a network is computed: a GPU where there is one, else the processor."""

from __future__ import annotations

import torch

DEVICES = ("auto", "cpu", "cuda")
"""What a command line may ask for."""
CPU = torch.device("cpu")


def choose_device(name: str = "auto", *, local_rank: int = 0, gpus: int | None = None) -> torch.device:
    """The device of a process.

    Args:
        name: one of `DEVICES`; "auto" takes a GPU where there is one.
        local_rank: number of the process among those of this machine; it takes the GPU of that number.
        gpus: how many there are here; None: as torch counts them.

    Raises:
        ValueError: the name is unknown, or a GPU was asked for and this process has none.
    """
    if name not in DEVICES:
        raise ValueError(f"device is {name!r}, expected one of {', '.join(DEVICES)}")
    count = torch.cuda.device_count() if gpus is None else gpus
    if name == "cpu" or (name == "auto" and not count):
        return CPU
    if local_rank >= count:
        raise ValueError(
            f"process {local_rank} of this machine asks for a GPU of its own, and there are {count}; start as many"
            " processes as there are GPUs, or use --device cpu"
        )
    return torch.device("cuda", local_rank)


def uses_bfloat16(precision: str, device: torch.device = CPU) -> bool:
    """What a configured precision means on a device: "auto" is bfloat16 where it computes in it."""
    if precision == "auto":
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return precision == "bfloat16"
