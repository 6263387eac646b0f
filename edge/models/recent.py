"""The latest frames of a model, as a baseline for the one that follows it."""

from __future__ import annotations

import collections
import math

from edge.models.probation import LEAST_LATENCIES, Baseline


class Recent:
    """A window of frames. Belongs to one thread, or is guarded by its owner.

    Args:
        limit: most frames, the newest.
    """

    def __init__(self, limit: int) -> None:
        self._frames: collections.deque[tuple[int, bool]] = collections.deque(maxlen=limit)

    def add(self, latency_us: int, *, alarm: bool) -> None:
        """One more frame that was answered."""
        self._frames.append((latency_us, alarm))

    def baseline(self) -> Baseline:
        """What the window says."""
        return Baseline(
            frames=len(self._frames),
            alarms=sum(alarm for _, alarm in self._frames),
            p99_us=self.p99_us() if len(self._frames) >= LEAST_LATENCIES else 0,
        )

    def p99_us(self) -> int:
        """99th percentile (nearest rank), microseconds; 0 without frames."""
        if not self._frames:
            return 0
        latencies = sorted(latency for latency, _ in self._frames)
        return latencies[math.ceil(0.99 * len(latencies)) - 1]
