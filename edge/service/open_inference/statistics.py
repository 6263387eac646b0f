"""What the models have done since the station started: counts and times, as ModelStatistics tells them."""

from __future__ import annotations

import collections
import threading
import time
from typing import NamedTuple

from lineside.open_inference import inference_pb2


class Spent(NamedTuple):
    """Where the time of one answered request went, nanoseconds."""

    pictures: int
    total_ns: int
    queue_ns: int
    input_ns: int
    """Reading and preparing pictures."""
    infer_ns: int
    """Waiting for the engine and running it."""
    output_ns: int


class Statistics:
    """Counts by model and version; thread-safe. Of each model the version that answered last is told, and those before.

    Args:
        keep: so many pairs of name and version are remembered, the oldest go first.
    """

    def __init__(self, keep: int = 64) -> None:
        self._lock = threading.Lock()
        self._keep = keep
        self._models: collections.OrderedDict[tuple[str, str], inference_pb2.ModelStatistics] = (
            collections.OrderedDict()
        )

    def answered(self, name: str, version: str, spent: Spent) -> None:
        """One request was answered."""
        with self._lock:
            entry = self._entry(name, version)
            entry.last_inference = time.time_ns() // 1_000_000
            entry.inference_count += spent.pictures
            entry.execution_count += spent.pictures  # the engine takes pictures one by one
            stats = entry.inference_stats
            for duration, ns in (
                (stats.success, spent.total_ns),
                (stats.queue, spent.queue_ns),
                (stats.compute_input, spent.input_ns),
                (stats.compute_infer, spent.infer_ns),
                (stats.compute_output, spent.output_ns),
            ):
                duration.count += 1
                duration.ns += max(0, ns)

    def failed(self, name: str, version: str, total_ns: int) -> None:
        """One request for a model there is was refused, or could not be answered."""
        with self._lock:
            duration = self._entry(name, version).inference_stats.fail
            duration.count += 1
            duration.ns += max(0, total_ns)

    def of(self, name: str, version: str) -> inference_pb2.ModelStatistics:
        """A copy; zeros where nothing has been asked."""
        made = inference_pb2.ModelStatistics(name=name, version=version)
        with self._lock:
            entry = self._models.get((name, version))
            if entry is not None:
                made.CopyFrom(entry)
        return made

    def _entry(self, name: str, version: str) -> inference_pb2.ModelStatistics:
        key = (name, version)
        entry = self._models.get(key)
        if entry is None:
            entry = self._models[key] = inference_pb2.ModelStatistics(name=name, version=version)
            if len(self._models) > self._keep:
                self._models.popitem(last=False)
        return entry
