"""The limits of the gate, from a small TOML file. See docs/replay.md for what each one means on the line."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from export.replay.matching import LEAST_OVERLAP

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def load_policy(path: Path) -> Policy:
    """Reads a policy file; what it leaves out keeps its default.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not TOML, names a limit that does not exist, or a value is impossible.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no policy file at {path}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    known = [field.name for field in dataclasses.fields(Policy)]
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ValueError(f"{path} names {', '.join(unknown)}; the limits are {', '.join(known)}")
    try:
        return Policy(**document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_thresholds(texts: list[str], classes: tuple[str, ...]) -> dict[str, float]:
    """`class=score` words as scores by class name.

    Raises:
        ValueError: a word has another form, names no class of the package, or its score is impossible.
    """
    thresholds = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals:
            raise ValueError(f"threshold {text!r} is not of the form class=score, e.g. {classes[0]}=0.6")
        if name not in classes:
            raise ValueError(f"threshold {text!r} names no class of the package; they are {', '.join(classes)}")
        try:
            score = float(number)
        except ValueError:
            score = math.nan
        if not 0 < score <= 1:
            raise ValueError(f"threshold {text!r} needs a score above 0, at most 1")
        thresholds[name] = score
    return thresholds
