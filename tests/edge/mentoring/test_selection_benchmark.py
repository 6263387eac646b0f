"""How many of random's clicks a policy needs, by hand-computed curves."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.selection import needed


def rows(policy: str, figures: dict[int, list[float]]) -> list[dict[str, Any]]:
    return [
        {"policy": policy, "clicks": clicks, "false_alarms": value}
        for clicks, values in figures.items()
        for value in values
    ]


BASE = rows("baseline", {0: [2.0, 4.0]})
RANDOM = rows("random", {100: [2.0, 2.0], 200: [0.5, 1.5]})


def test_between_two_numbers_of_clicks_a_straight_line_counts() -> None:
    # Random ends at 1.0. The other falls from 2.0 at 60 to 0.5 at 120: 1.0 lies at two thirds of the way, at 100.
    other = rows("mixed", {60: [2.0, 2.0], 120: [0.5, 0.5]})
    found = needed([*BASE, *RANDOM, *other], "mixed")
    assert found["clicks"] == pytest.approx(100)
    assert found["of_random"] == pytest.approx(0.5)
    assert (found["baseline"], found["goal"]) == (3.0, 1.0)


def test_random_needs_all_of_its_own_clicks_and_who_never_gets_there_is_told_so() -> None:
    assert needed([*BASE, *RANDOM], "random")["of_random"] == pytest.approx(1.0)
    worse = rows("band", {100: [2.5, 2.5], 200: [1.5, 1.6]})
    assert needed([*BASE, *RANDOM, *worse], "band")["of_random"] is None
