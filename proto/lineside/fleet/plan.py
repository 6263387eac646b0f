"""Who gets a model first, who after, and what is watched before the next ones get it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lineside.fleet.inventory import Station


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a station's new model counts as settled, and what counts as an alarm.

    The station itself has limits too (probation, shadow, replay), and goes back by itself; these are the desk's.
    """

    frames: int = 200
    """It has to answer so many before the next stations get it."""
    seconds: float = 60.0
    """And to serve for so long."""
    most_errors: int = 0
    """Frames it may leave unanswered."""
    most_alarm_ratio: float = 2.0
    """Of the share of rejected frames before it; tested once, when it has settled. 0: not looked at."""
    risk: float = 0.01
    """Chance that a model which keeps `most_alarm_ratio` exactly is called an alarm."""
    shadow_frames: int = 0
    """Live frames beside the serving model before it serves, whatever the station asks for; 0: as the station asks."""
    most_flips: float = 1.0
    """0 to 1: of the frames in such a shadow, those whose verdict would change. 1: no limit."""

    def __post_init__(self) -> None:
        for name in ("frames", "seconds", "most_errors", "most_alarm_ratio", "shadow_frames"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} is {value!r}, expected 0 or more")
        if not 0 <= self.most_flips <= 1:
            raise ValueError(f"most_flips is {self.most_flips!r}, expected a share from 0 to 1")
        if not 0 < self.risk < 0.5:
            raise ValueError(f"risk is {self.risk!r}, expected above 0 and below 0.5")
        if self.most_flips < 1 and not self.shadow_frames:
            raise ValueError("most_flips looks at a shadow; ask for one with shadow_frames")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Names of stations: `canaries` first, all of them; then each wave, at once within."""

    digest: str
    canaries: tuple[str, ...]
    waves: tuple[tuple[str, ...], ...]
    limits: Limits
    confirm: bool = False
    """Whether a model that has settled is confirmed at once."""

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Canaries and waves, without empty ones."""
        return tuple(stage for stage in (self.canaries, *self.waves) if stage)

    @property
    def names(self) -> tuple[str, ...]:
        """Every station."""
        return tuple(name for stage in self.stages for name in stage)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a journal."""
        document = dataclasses.asdict(self)
        return document | {"canaries": list(self.canaries), "waves": [list(wave) for wave in self.waves]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The other way.

        Raises:
            ValueError, KeyError, TypeError: it is no plan.
        """
        return cls(
            digest=str(document["digest"]),
            canaries=tuple(map(str, document["canaries"])),
            waves=tuple(tuple(map(str, wave)) for wave in document["waves"]),
            limits=Limits(**document["limits"]),
            confirm=bool(document["confirm"]),
        )


def make_plan(
    stations: Sequence[Station],
    canary: Sequence[str],
    *,
    digest: str,
    limits: Limits,
    wave: int = 8,
    confirm: bool = False,
    answering: Collection[str] = (),
) -> Plan:
    """Orders stations.

    Args:
        stations: that shall get the model.
        canary: a number as one text, or names of stations. A number takes those that answer, in the order given.
        digest: of the package.
        limits: what is watched.
        wave: most stations at once after the canaries; 0: all the others.
        confirm: a model that has settled is confirmed.
        answering: names of stations that answer now.

    Raises:
        ValueError: the canaries make no sense.
    """
    if wave < 0:
        raise ValueError(f"wave is {wave}, expected a number of stations, or 0 for all at once")
    names = [station.name for station in stations]
    if len(canary) == 1 and canary[0].isdecimal() and canary[0] not in names:
        number = int(canary[0])
        ready = [name for name in names if name in answering]
        if not 1 <= number <= len(names):
            raise ValueError(f"canary is {number}, expected 1 to {len(names)}, the number of stations")
        if len(ready) < number:
            raise ValueError(f"{number} canaries are wanted and {len(ready)} of {len(names)} stations answer")
        canaries = ready[:number]
    else:
        canaries = [name for name in names if name in canary]
        unknown = sorted(set(canary) - set(names))
        if unknown:
            raise ValueError(f"canary {unknown[0]!r} is none of the stations: {', '.join(names)}")
    others = [name for name in names if name not in canaries]
    size = wave or max(1, len(others))
    return Plan(
        digest=digest,
        canaries=tuple(canaries),
        waves=tuple(tuple(others[start : start + size]) for start in range(0, len(others), size)),
        limits=limits,
        confirm=confirm,
    )
