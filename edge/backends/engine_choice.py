"""Which engine of a store may serve a graph on this machine, or in words why none. Decides; opens nothing.

An engine fits when it was built from exactly these weights (or from a copy of them that was converted to fewer bits by
whoever built it), by exactly this version of TensorRT, for this GPU. Of several the one built last is taken: whoever
built another one on purpose meant it to serve. Its answers are checked against the golden cases before it does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lineside.engines.gpu import Gpu
from lineside.engines.key import ANY, BatchRange
from lineside.engines.store import Entry, Record


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the store has for a graph."""

    fitting: tuple[Entry, ...]
    """Engines that may be read, in the order in which to try them."""
    why_none: str
    """Where there are none, for people; empty: there are some."""


def choose(entries: Sequence[Entry], *, graph_sha256: str, runtime: str, gpu: Gpu) -> Choice:
    """What may serve.

    Args:
        entries: of the store.
        graph_sha256: of the package's model.onnx.
        runtime: name and version of the TensorRT that is installed.
        gpu: of this machine.
    """
    if not entries:
        return Choice(fitting=(), why_none="no engine was built here yet")
    of_graph = [
        (entry, entry.record)
        for entry in entries
        if entry.record is not None
        and graph_sha256 in (entry.record.key.graph_sha256, entry.record.origin.source_graph_sha256)
    ]
    if not of_graph:
        unreadable = sum(entry.record is None for entry in entries)
        others = f"; {unreadable} have no readable record" if unreadable else ""
        return Choice(fitting=(), why_none=f"the {len(entries)} engines here are of other models{others}")
    faults = {entry.name: _misfit(record, runtime, gpu) for entry, record in of_graph}
    fitting = [(entry, record) for entry, record in of_graph if not faults[entry.name]]
    if not fitting:
        latest = max(of_graph, key=lambda pair: pair[1].built_at)[0]
        return Choice(fitting=(), why_none=f"the engine of this model is foreign: {faults[latest.name]}")
    fitting.sort(key=lambda pair: -pair[1].built_at)
    return Choice(fitting=tuple(entry for entry, _ in fitting), why_none="")


def _misfit(record: Record, runtime: str, gpu: Gpu) -> str:
    key = record.key
    if key.builder != runtime:
        return f"it was built by {key.builder}, installed is {runtime}"
    if key.target != gpu.capability:
        return f"it was built for {key.target}, this machine's {gpu.name} is {gpu.capability}"
    if key.gpu not in (ANY, gpu.name):
        return f"its kernels were timed on a {key.gpu}, this machine has a {gpu.name}"
    if key.driver not in (ANY, gpu.driver):
        return f"its kernels were timed with {key.driver}, this machine has {gpu.driver}"
    return ""


def batch_ranges(profile_shapes: Sequence[Sequence[Sequence[int]]]) -> tuple[BatchRange, ...]:
    """Batch sizes of an engine's profiles.

    Args:
        profile_shapes: for each profile the smallest, best and largest shape of the input, batch first.

    Raises:
        ValueError: they are no shapes of a batch.
    """
    ranges = []
    for shapes in profile_shapes:
        if len(shapes) != 3 or not all(len(shape) == 4 for shape in shapes):
            raise ValueError(f"a profile has the shapes {shapes}; expected three of (N, H, W, C)")
        smallest, best, largest = (int(shape[0]) for shape in shapes)
        ranges.append(BatchRange(smallest=smallest, best=best, largest=largest))
    return tuple(ranges)
