"""How far a table is, by hand; time arrives as an argument."""

from __future__ import annotations

import json

import pytest

from training.table1.display import duration, shown
from training.table1.plan import Job, TablePlan
from training.table1.pool import JobProgress
from training.table1.progress import Tracker

PLAN = TablePlan(
    data="synthetic",
    recipes=("full", "second_round"),
    seeds=1,
    steps={"baseline": 100, "full": 100, "second_round": 50},
)
BASELINE, FULL, SECOND = (Job(recipe=name, seed=0) for name in PLAN.rows)


def told(job: Job, stage: str, done: int = 0, total: int = 0) -> JobProgress:
    return JobProgress(job=job, stage=stage, done=done, total=total)


def test_the_share_is_that_of_the_steps() -> None:
    # 100 + 100 + 2 rounds of 50.
    tracker = Tracker(PLAN, (), now=0.0)
    assert tracker.standing(1.0).seconds_left is None
    tracker.take(told(BASELINE, "done", 1, 1))
    standing = tracker.standing(50.0)
    assert (standing.done, standing.total, standing.share) == (1, 3, pytest.approx(1 / 3))
    assert standing.seconds_left == pytest.approx(100.0)


def test_a_running_row_counts_by_its_rounds() -> None:
    tracker = Tracker(PLAN, (), now=0.0)
    for stage, done, total, share in (
        ("waiting", 0, 0, 0.0),
        ("clicks", 3, 10, 0.0),
        ("training", 25, 50, 0.225),
        ("evaluation", 5, 10, 0.475),
        ("clicks", 3, 10, 0.5),
        ("training", 50, 50, 0.95),
    ):
        tracker.take(told(SECOND, stage, done, total))
        assert tracker.standing(1.0).share == pytest.approx(share / 3)
    assert [item.job for item in tracker.running] == [SECOND]


def test_what_was_there_already_says_nothing_about_the_speed() -> None:
    tracker = Tracker(PLAN, (BASELINE,), now=0.0)
    tracker.take(told(BASELINE, "done", 1, 1))
    assert tracker.standing(5.0).seconds_left is None
    tracker.take(told(FULL, "training", 50, 100))
    standing = tracker.standing(45.0)
    assert standing.share == pytest.approx((100 + 45) / 300)
    assert standing.seconds_left == pytest.approx(155.0)


def test_failed_runs_are_counted_apart() -> None:
    tracker = Tracker(PLAN, (), now=0.0)
    tracker.take(told(BASELINE, "done", 1, 1))
    tracker.take(told(FULL, "failed"))
    standing = tracker.standing(9.0)
    assert (standing.done, standing.failed) == (1, 1)


def test_progress_as_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("json", Tracker(PLAN, (), now=0.0)) as take:
        take(told(BASELINE, "training", 20, 100))
        take(JobProgress(job=BASELINE, stage="failed", message="no"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] | {"seconds_left": 0} == {
        "stage": "training",
        "recipe": "baseline",
        "seed": 0,
        "done": 20,
        "total": 100,
        "runs_done": 0,
        "runs": 3,
        "share": 0.06,
        "seconds_left": 0,
    }
    assert lines[1]["message"] == "no"


def test_bars_show_the_table_and_name_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("bar", Tracker(PLAN, (), now=0.0)) as take:
        take(told(BASELINE, "training", 20, 100))
        take(JobProgress(job=BASELINE, stage="failed", message="[red]no room"))
        take(told(FULL, "clicks", 1, 4))
    out = capsys.readouterr().out
    assert "baseline-seed0: [red]no room" in out
    assert "0 of 3 runs, 1 failed" in out
    assert "full, seed 0" in out


def test_durations_are_said_as_a_person_says_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 89, 90, 3540, 3600, 9000)] == [
        "0 s",
        "89 s",
        "2 min",
        "59 min",
        "1 h 00 min",
        "2 h 30 min",
    ]
