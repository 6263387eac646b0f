"""Which engines go: by age, by use, by size, by package; and never by accident."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.engines.prune import Limits, choose
from lineside.engines.key import ANY, EngineKey
from lineside.engines.store import Entry, Origin, new_record

DAY = 86400.0
NOW = 1000 * DAY


def entry(name: str, *, size: int = 1_000_000, built: float = 0.0, used: float = 0.0, graph: str = "a") -> Entry:
    """Built and used so many days before now."""
    key = EngineKey(graph_sha256=graph, builder="b 1", target="t", gpu=ANY, driver=ANY, precision="fp32", profiles=name)
    origin = Origin(model="m 1.0.0", package_digest="d", source_graph_sha256=graph)
    record = new_record(b"", key, origin, build_seconds=0.0, built_at=NOW - built * DAY)
    return Entry(name=name, path=Path(name), record=record, size=size, used_at=NOW - used * DAY)


def gone(entries: list[Entry], limits: Limits) -> dict[str, str]:
    return {removal.entry.name: removal.reason for removal in choose(entries, limits, NOW)}


def test_without_limits_only_what_cannot_be_used_goes() -> None:
    broken = dataclasses.replace(entry("b"), record=None)
    assert gone([entry("a", built=900, used=900), broken], Limits()) == {
        "b": "no readable record, so it cannot be used"
    }


def test_age_counts_from_the_build_and_use_from_the_last_time_it_was_asked_for() -> None:
    entries = [entry("old", built=31, used=1), entry("idle", built=3, used=3), entry("new")]
    assert gone(entries, Limits(older_than_days=30)) == {"old": "built 31 days ago"}
    assert gone(entries, Limits(unused_for_days=2)) == {"idle": "not asked for since 3 days"}


def test_engines_of_packages_that_are_gone_go() -> None:
    entries = [entry("a", graph="1"), entry("b", graph="2")]
    assert gone(entries, Limits(graphs={"1"})) == {"b": "no package named has its graph"}


def test_a_limit_of_size_keeps_the_most_recently_used() -> None:
    entries = [entry("a", used=3), entry("b", used=1), entry("c", used=2)]
    assert set(gone(entries, Limits(total_mb=2))) == {"a"}
    assert set(gone(entries, Limits(total_mb=0))) == {"a", "b", "c"}


def test_impossible_limits_are_refused_by_name() -> None:
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="total_mb"):
            Limits(total_mb=value)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(0, 50)), max_size=12), st.integers(0, 12))
def test_what_stays_fits_and_was_used_later_than_what_goes(sizes: list[tuple[int, int]], room_mb: int) -> None:
    entries = [entry(f"{place:02}", size=size, used=used) for place, (size, used) in enumerate(sizes)]
    names = set(gone(entries, Limits(total_mb=room_mb)))
    staying = [item for item in entries if item.name not in names]
    assert sum(item.size for item in staying) <= room_mb * 1e6
    last = min((item.used_at for item in staying), default=NOW)
    assert all(item.used_at <= last for item in entries if item.name in names)
