"""The processes of one run: which pictures of a batch are whose, and sums over all of them.

`torchrun` starts them and says how many there are (RANK, WORLD_SIZE, LOCAL_RANK). Every process draws the same whole
batch and cuts its own share of it, so data order does not depend on their number; every mean is a sum of the shares
divided by a total over all processes, so gradients add up to those of the whole batch.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping

import torch
from torch import distributed

Total = Callable[[torch.Tensor], torch.Tensor]
"""Sum of a number over all processes of the run; itself where there is one process. Carries no gradient."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a batch that one process computes: every `count`-th picture, so that each has both domains."""

    rank: int = 0
    """From 0."""
    count: int = 1
    """Processes in all."""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.rank < self.count:
            raise ValueError(f"process {self.rank} of {self.count}; expected 0 up to below the number of processes")

    @property
    def chosen(self) -> slice:
        """Of the whole batch's pictures."""
        return slice(self.rank, None, self.count)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The process group as a run sees it. What is asked of all of them must be asked by all, in the same order."""

    share: Share = dataclasses.field(default_factory=Share)
    local_rank: int = 0
    """Among the processes of this machine: the number of its GPU."""

    @property
    def several(self) -> bool:
        """Whether there is anybody to sum with."""
        return self.share.count > 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.share.rank == 0

    def total(self, number: torch.Tensor) -> torch.Tensor:
        """See `Total`."""
        if not self.several:
            return number
        summed = number.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def from_first(self, number: float) -> float:
        """The first process's number, in all of them: what is decided by a clock must be decided once."""
        if not self.several:
            return number
        told = torch.tensor(number, dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def bytes_from_first(self, content: bytes | None) -> bytes | None:
        """The first process's bytes, in all of them: only its machine needs to have the file. None stays None."""
        if not self.several:
            return content
        length = int(self.from_first(-1 if content is None else len(content)))
        if length < 0:
            return None
        told = torch.empty(length, dtype=torch.uint8)
        if self.first and content:
            told.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        if length:
            distributed.broadcast(told, src=0)
        return told.numpy().tobytes()

    def wait(self) -> None:
        """Until all processes are here."""
        self.from_first(0.0)


ALONE = Processes()


def join(environment: Mapping[str, str] | None = None) -> Processes:
    """Joins the group that `torchrun` announces in the environment; alone without one.

    Numbers travel by gloo; what lies on a GPU by NCCL, where this torch has it.

    Raises:
        ValueError: the environment names a group without its numbers.
    """
    processes = announced(environment)
    if processes.several and not distributed.is_initialized():
        gpus = torch.cuda.is_available() and distributed.is_nccl_available()
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    return processes


def announced(environment: Mapping[str, str] | None = None) -> Processes:
    """What `torchrun` says about this process, without joining anybody.

    Raises:
        ValueError: the environment names a group without its numbers.
    """
    said = os.environ if environment is None else environment
    if "WORLD_SIZE" not in said or said["WORLD_SIZE"] == "1":
        return ALONE
    try:
        share = Share(rank=int(said["RANK"]), count=int(said["WORLD_SIZE"]))
        return Processes(share=share, local_rank=int(said["LOCAL_RANK"]))
    except KeyError as error:
        raise ValueError(f"WORLD_SIZE is set but {error} is not; start several processes with torchrun") from None


def leave(processes: Processes) -> None:
    """Ends the group after a run that went well. (One that failed just ends: torchrun then ends the others, and
    waiting for them here could take for ever.)"""
    if processes.several and distributed.is_initialized():
        distributed.destroy_process_group()
