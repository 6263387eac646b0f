"""The arithmetic of the serving benchmark, by hand: medians over rounds, ratios within a round, goals."""

from __future__ import annotations

import pytest

from benchmarks.serving.rows import Cell, Goal, Sample, goals_of, percentile, row_of


def sample(count: int, latency: float, seconds: float = 1.0, cpu: float = 0.0) -> Sample:
    return Sample(seconds=seconds, latencies=(latency,) * count, cpu_seconds=cpu, rss_mb=100.0)


def test_a_ratio_is_taken_within_its_round_and_the_median_over_them() -> None:
    cell = Cell(target="lineside", engine="waiting", payload="raw", callers=4)
    # The machine is half as fast in the second round, and the third is spoilt for the station alone.
    mine = [sample(90, 0.010, cpu=0.18), sample(45, 0.020, cpu=0.09), sample(10, 0.100, cpu=0.02)]
    bare = [sample(100, 0.002), sample(50, 0.004), sample(100, 0.002)]
    row = row_of(cell, mine, bare)
    assert row["ratio_to_engine"] == 0.9
    assert row["throughput"] == 45
    assert (row["p50_ms"], row["added_p50_ms"]) == (20.0, 16.0)
    assert row["cpu_ms_per_request"] == 2.0
    with pytest.raises(ValueError, match="2 rounds and 3 of the engine alone"):
        row_of(cell, mine[:2], bare)


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_goal_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert Goal(name="x", wanted=1, seen=None).met is None
    assert Goal(name="x", wanted=1, seen=1).met is True
    assert Goal(name="x", wanted=1, seen=2, at_least=False).met is False
    assert all(goal.met is None for goal in goals_of([], {}))
