"""What a camera has done since the station started, in numbers."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Mapping

from lineside.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CameraCounts:
    """A moment's numbers. `frames` is what was answered for: judged + the sum of `bad`, save what is in hand."""

    frames: int = 0
    """Frames with an identity: pictures that came, and those known to be missing where each is a part."""
    judged: int = 0
    """Brought to the model."""
    bad: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Never judged, by reason."""
    missing: int = 0
    """Pictures the camera took and the station never saw, by the camera's own numbers."""
    triggers: int = 0
    """Taken up; refused ones are not counted."""
    opened: int = 0
    """Times the camera could be opened; all but the first are reconnections."""
    failed: int = 0
    """Times it was lost or could not be opened."""
    last_unix_ns: int = 0
    """When the latest frame was taken; 0: none yet."""


class CameraCounter:
    """Counts; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._last_unix_ns = 0

    def add(self, what: str, count: int = 1) -> None:
        """`what`: a field of CameraCounts that is a plain count."""
        with self._lock:
            self._numbers[what] += count

    def frame(self, unix_ns: int, bad: Reason | None = None) -> None:
        """A frame that has got its identity, and why it is not judged."""
        with self._lock:
            self._numbers["frames"] += 1
            self._last_unix_ns = unix_ns
            if bad is not None:
                self._bad[str(bad.value)] += 1

    def snapshot(self) -> CameraCounts:
        """The numbers now."""
        with self._lock:
            return CameraCounts(**self._numbers, bad=dict(self._bad), last_unix_ns=self._last_unix_ns)
