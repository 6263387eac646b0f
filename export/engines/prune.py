"""Which engines go and which stay. Decides; whoever calls deletes. Time arrives as an argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from lineside.engines.store import Entry

_DAY = 86400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may stay; None: no limit of that kind. An engine without a readable record never stays."""

    older_than_days: float | None = None
    """Since it was built."""
    unused_for_days: float | None = None
    """Since it was last asked for."""
    total_mb: float | None = None
    """All engines together: the ones unused for longest go first."""
    graphs: Collection[str] | None = None
    """SHA-256 of the graphs of packages that still exist: engines of others are unused."""

    def __post_init__(self) -> None:
        for name in ("older_than_days", "unused_for_days", "total_mb"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1e9:
                raise ValueError(f"{name} is {value}, expected 0 or more")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Removal:
    """An engine that goes, and why."""

    entry: Entry
    reason: str


def choose(entries: Sequence[Entry], limits: Limits, now: float) -> tuple[Removal, ...]:
    """What goes.

    Args:
        entries: of the store, in any order.
        now: seconds since 1970.
    """
    gone: list[Removal] = []
    staying: list[Entry] = []
    for entry in entries:
        reason = _reason(entry, limits, now)
        if reason is None:
            staying.append(entry)
        else:
            gone.append(Removal(entry=entry, reason=reason))
    if limits.total_mb is not None:
        room = limits.total_mb * 1e6
        for entry in sorted(staying, key=lambda entry: (-entry.used_at, entry.name)):
            room -= entry.size
            if room < 0:
                gone.append(Removal(entry=entry, reason=f"beyond {limits.total_mb:g} MB in all"))
    return tuple(gone)


def _reason(entry: Entry, limits: Limits, now: float) -> str | None:
    record = entry.record
    if record is None:
        return "no readable record, so it cannot be used"
    if limits.graphs is not None and record.origin.source_graph_sha256 not in limits.graphs:
        return "no package named has its graph"
    if limits.older_than_days is not None and now - record.built_at > limits.older_than_days * _DAY:
        return f"built {(now - record.built_at) / _DAY:.0f} days ago"
    if limits.unused_for_days is not None and now - entry.used_at > limits.unused_for_days * _DAY:
        return f"not asked for since {(now - entry.used_at) / _DAY:.0f} days"
    return None
