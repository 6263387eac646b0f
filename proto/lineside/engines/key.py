"""What an engine depends on, as values: batch sizes and the key under which it is stored. Decides; touches nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

ANY = "any"
"""Of a GPU or driver on which the engine does not depend."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchRange:
    """Batch sizes one optimisation profile of an engine takes; it is tuned for `best`."""

    smallest: int = 1
    best: int = 1
    largest: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.best <= self.largest:
            raise ValueError(
                f"batch sizes are {self.smallest}, {self.best}, {self.largest}; expected 1 or more, not falling"
            )

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """SMALLEST:BEST:LARGEST, or one number for all three.

        Raises:
            ValueError: it is neither.
        """
        parts = text.split(":")
        if len(parts) not in (1, 3) or not all(part.isascii() and part.isdigit() and len(part) < 7 for part in parts):
            raise ValueError(f"batch sizes are {text!r}; expected SMALLEST:BEST:LARGEST such as 1:1:8, or one number")
        numbers = [int(part) for part in parts] * (3 if len(parts) == 1 else 1)
        return cls(smallest=numbers[0], best=numbers[1], largest=numbers[2])

    def __str__(self) -> str:
        return f"{self.smallest}:{self.best}:{self.largest}"


def check_profiles(profiles: Sequence[BatchRange], graph_batch: int | None) -> None:
    """Whether a graph takes these batch sizes.

    Args:
        graph_batch: what the graph is fixed to; None: any number.

    Raises:
        ValueError: no profile, two alike, or the graph takes another size alone.
    """
    if not profiles:
        raise ValueError("no batch sizes; expected at least one SMALLEST:BEST:LARGEST")
    if len(set(profiles)) != len(profiles):
        raise ValueError(f"batch sizes {', '.join(map(str, profiles))} name a profile twice")
    for profile in profiles:
        if graph_batch is not None and (profile.smallest, profile.largest) != (graph_batch, graph_batch):
            raise ValueError(
                f"the graph is fixed to batches of {graph_batch}, asked for {profile}; build with"
                f" --batch {graph_batch}, or export the graph with a batch of any size"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What an engine depends on: another value in any field is another engine."""

    graph_sha256: str
    """Of the ONNX graph that the builder read: weights and quantisation are in it."""
    builder: str
    """Name and version, e.g. "tensorrt_rtx 1.7.1.116": an engine is of one version of the runtime."""
    target: str
    """Compute capability, e.g. "SM89"."""
    gpu: str
    """Name of the GPU on which its kernels were timed; ANY where nothing was timed (tensorrt_rtx)."""
    driver: str
    """Driver and CUDA version of that machine; ANY where the engine does not depend on them (tensorrt_rtx)."""
    precision: str
    """fp32, fp16, bf16 or int8: what the graph's tensors say."""
    profiles: str
    """Smallest, best and largest input of each profile, e.g. "1x320x320x1 1x320x320x1 8x320x320x1"."""
    options: str = ""
    """What else changes the engine, e.g. "workspace 1024 MB"."""

    def __post_init__(self) -> None:
        given = dataclasses.asdict(self)
        empty = [name for name, value in given.items() if name != "options" and not value]
        if empty:
            raise ValueError(f"an engine's key lacks {', '.join(empty)}")

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """The first 32 digits: the engine's name in the store."""
        return self.digest[:32]


def shapes_of(profiles: Sequence[BatchRange], sides: Sequence[int]) -> str:
    """The key's text for profiles of an input with these sides (height, width, channels)."""
    tail = "x".join(map(str, sides))
    return "; ".join(
        " ".join(f"{count}x{tail}" for count in (profile.smallest, profile.best, profile.largest))
        for profile in profiles
    )
