"""The limits of the replay gate. See docs/replay.md for what each one means on the line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from lineside.replay.matching import LEAST_OVERLAP

RAW, WEIGHTED = "raw", "weighted"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits a candidate has to keep. Shares are 0 to 1."""

    least_records: int = 20
    """Records that could be used; with fewer nothing is decided, and that is a refusal. With 20 parts and no escape the
    true share of escapes can still be 16 % (Wilson, 95 %)."""
    most_escapes: int = 0
    """Defects an operator vouched for at whose place the candidate says nothing. A count, never weighted."""
    least_found_share: float = 0.95
    """Of each class's defects, so many found under that class."""
    least_found_share_by_class: Mapping[str, float] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    """Instead of `least_found_share` for the classes named."""
    most_firing_share: float = 0.5
    """Of the detections operators rejected, so many may fire again. The model they were shown has 1.0."""
    most_sound_firing_share: float = 0.1
    """Of the frames called healthy or complete, so many may show something that nobody confirmed."""
    shares: str = WEIGHTED
    """Whether limits on shares look at the "weighted" share (what the line would see) or the "raw" one."""
    least_overlap: float = LEAST_OVERLAP
    """Intersection over union from which two boxes are the same place, above 0."""

    def __post_init__(self) -> None:
        for name in ("least_records", "most_escapes"):
            value = getattr(self, name)
            least = 1 if name == "least_records" else 0
            if type(value) is not int or value < least:
                raise ValueError(f"{name} is {value!r}, expected a whole number, at least {least}")
        shares = {
            name: getattr(self, name)
            for name in ("least_found_share", "most_firing_share", "most_sound_firing_share", "least_overlap")
        }
        by_class = self.least_found_share_by_class
        if not isinstance(by_class, Mapping):
            raise ValueError(f"least_found_share_by_class is {by_class!r}, expected a table of shares by class name")
        shares |= {f"least_found_share_by_class.{name}": value for name, value in by_class.items()}
        for name, value in shares.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"{name} is {value!r}, expected a share from 0 to 1")
        if self.least_overlap == 0:
            raise ValueError("least_overlap is 0, expected above 0: boxes far apart would be the same place")
        if self.shares not in (RAW, WEIGHTED):
            raise ValueError(f"shares is {self.shares!r}, expected {RAW!r} or {WEIGHTED!r}")

    def found_limit(self, class_name: str) -> float:
        """Least share of this class's defects to be found."""
        return self.least_found_share_by_class.get(class_name, self.least_found_share)

    def to_json(self) -> dict[str, object]:
        """The limits by name."""
        return {
            field.name: dict(value) if isinstance(value := getattr(self, field.name), Mapping) else value
            for field in dataclasses.fields(self)
        }
