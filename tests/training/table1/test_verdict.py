"""What a table says about its rows: ties, the floor, the cheapest of equals. Results by hand."""

from __future__ import annotations

import pytest
from support.tables import document, results

from training.table1.plan import TablePlan
from training.table1.summary import gap_closed, rows_of
from training.table1.verdict import RULE, choose

BASE = {"baseline": [0.60, 0.62, 0.61]}
FULL = {"full": [0.90, 0.92, 0.91]}


def words(table: object) -> str:
    return " ".join(table.verdict.words)  # type: ignore[attr-defined]


def test_a_row_that_is_ahead_in_every_pair_wins_though_the_intervals_overlap() -> None:
    # Both vary by 0.1 between seeds, and the first is 0.010, 0.011, 0.012 ahead each time.
    table = document({**BASE, "transfer": [0.71, 0.811, 0.762], "mentored": [0.70, 0.80, 0.75]})
    rows = {row.recipe: row for row in table.rows}
    ours, theirs = rows["transfer"].new(), rows["mentored"].new()
    assert ours is not None
    assert theirs is not None
    assert ours.low is not None
    assert theirs.high is not None
    assert ours.low < theirs.high
    assert table.verdict.best == table.verdict.recommended == "transfer"
    assert table.verdict.clear
    assert "better than every other row" in words(table)


def test_no_clear_winner_where_the_differences_may_be_chance() -> None:
    table = document({**BASE, "transfer": [0.75, 0.80, 0.70], "mentored": [0.76, 0.74, 0.73]})
    assert table.verdict.best == "transfer"
    assert table.verdict.tied == ("mentored",)
    assert not table.verdict.clear
    assert "No clear winner: 2 rows cannot be told apart" in words(table)


def test_of_tied_rows_the_cheapest_is_recommended() -> None:
    # The second round has the higher mean and costs twice the operator's time.
    table = document(
        {**BASE, "recommended": [0.80, 0.81, 0.79], "second_round": [[0.80, 0.80], [0.81, 0.83], [0.79, 0.80]]}
    )
    assert table.verdict.best == "second_round"
    assert table.verdict.recommended == "recommended"


def test_a_control_without_clicks_that_ties_is_what_is_recommended() -> None:
    table = document({**BASE, "transfer": [0.80, 0.81, 0.79], "longer": [0.79, 0.82, 0.78]})
    assert table.verdict.recommended == "longer"
    assert "without asking anybody" in words(table)


def test_a_row_that_lost_the_original_domain_is_left_out() -> None:
    table = document(
        {**BASE, "transfer": [0.75, 0.76, 0.74], "omnia": [0.85, 0.86, 0.84]},
        original={"omnia": [0.88, 0.88, 0.88]},
    )
    assert table.verdict.best == "transfer"
    assert [item.recipe for item in table.verdict.fell] == ["omnia"]
    assert table.verdict.fell[0].change.mean == pytest.approx(-0.02)
    assert "Left out, because the original domain fell by more than 0.01: omnia (-0.020)" in words(table)


def test_the_floor_itself_is_not_below_it() -> None:
    table = document({**BASE, "omnia": [0.85, 0.86, 0.84]}, original={"omnia": [0.8901, 0.8901, 0.8901]})
    assert table.verdict.best == "omnia"


def test_full_annotation_is_a_measure_and_no_contender() -> None:
    table = document({**BASE, **FULL, "transfer": [0.75, 0.76, 0.74]})
    assert table.verdict.best == "transfer"
    assert "full" not in {item.recipe for item in table.verdict.against}


def test_where_nothing_helps_the_baseline_stays() -> None:
    table = document({**BASE, "transfer": [0.61, 0.60, 0.62]})
    assert table.verdict.recommended == "baseline"
    assert "keep the baseline" in words(table)


def test_with_one_seed_nothing_can_be_told_apart() -> None:
    table = document({"baseline": [0.6], "transfer": [0.9]}, seeds=1)
    assert table.verdict.best == "transfer"
    assert table.verdict.tied == ("baseline",)
    assert table.verdict.recommended is None
    assert "Highest: transfer, +0.30 mAP" in words(table)
    assert "with one seed nothing can be told apart" in words(table)


def test_without_any_figure_there_is_nothing_to_judge() -> None:
    verdict = choose(())
    assert verdict.best is None
    assert verdict.recommended is None


def test_the_rule_is_said_in_words() -> None:
    assert "0.01" in RULE
    assert "t interval" in RULE


def test_the_gap_is_closed_seed_by_seed() -> None:
    # (0.75 - 0.6) / (0.9 - 0.6) and (0.80 - 0.7) / (0.9 - 0.7); the third seed's ceiling gains nothing.
    shares, left_out = gap_closed({0: 0.75, 1: 0.8, 2: 0.8}, {0: 0.6, 1: 0.7, 2: 0.9}, {0: 0.9, 1: 0.9, 2: 0.9})
    assert shares == {0: pytest.approx(0.5), 1: pytest.approx(0.5)}
    assert left_out == (2,)


def test_the_baseline_closes_nothing_and_full_annotation_everything() -> None:
    rows = {row.recipe: row for row in document({**BASE, **FULL}).rows}
    closed = [rows[name].last.gap_closed for name in ("baseline", "full")]
    assert [entry.mean if entry else None for entry in closed] == [0.0, 1.0]


def test_without_full_annotation_there_is_no_gap() -> None:
    assert all(row.last.gap_closed is None for row in document({**BASE, "transfer": [0.7, 0.7, 0.7]}).rows)


def test_each_round_has_its_figures_and_its_cost() -> None:
    plan = TablePlan(data="synthetic", recipes=("second_round",), seeds=1)
    rows = rows_of(plan, results({"baseline": [0.6], "second_round": [[0.7, 0.8]]}))
    row = rows[-1]
    assert [entry.number for entry in row.rounds] == [1, 2]
    assert [entry.seconds.mean for entry in row.rounds] == [100.0, 200.0]
    assert [entry.share.mean for entry in row.rounds] == [0.1, 0.2]
    assert [entry.clicks.mean for entry in row.rounds] == [50.0, 100.0]
    gains = [entry.gain["new"]["map_33"] for entry in row.rounds]
    assert [gain.mean if gain else None for gain in gains] == [pytest.approx(0.1), pytest.approx(0.2)]
