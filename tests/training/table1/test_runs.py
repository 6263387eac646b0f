"""Real processes on a tiny table: killed and started again it is the same, and a failure leaves the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from support.lessons import pcb_folder

from training.checkpoint import load_metadata
from training.cli import main
from training.models.config import DetectorConfig
from training.recipes import recipe_named
from training.table1 import pool
from training.table1.plan import Job, TablePlan
from training.table1.pool import JobProgress, results_of, run_table
from training.table1.run import SAVE_EVERY, agree

BASELINE = Job(recipe="baseline", seed=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"deeppcb:{pcb_folder(tmp_path_factory.mktemp('pcb'))}"


def plan_of(data: str, *recipes: str, steps: int) -> TablePlan:
    return TablePlan(
        data=data, recipes=recipes, seeds=1, scale=0.001, steps={"baseline": steps}, size=64, crop=32, batch=4
    )


def whole(folder: Path, job: Job) -> dict[str, Any]:
    """A result but for the time it took."""
    values = json.loads((folder / "runs" / job.name / "result.json").read_text())
    del values["training_seconds"]
    return dict(values)


@pytest.mark.timeout(900)
def test_a_run_killed_half_way_and_started_again_is_the_run_that_was_never_killed(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(data, "longer", steps=SAVE_EVERY + 40)
    children: list[subprocess.Popen[bytes]] = []

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen(*arguments, **options))
        return children[-1]

    class Recording:
        Popen = staticmethod(popen)
        PIPE = subprocess.PIPE
        TimeoutExpired = subprocess.TimeoutExpired

    def kill_at_last(told: JobProgress) -> None:
        if told.stage == "training" and told.done > SAVE_EVERY and children[-1].poll() is None:
            os.kill(children[-1].pid, signal.SIGKILL)

    broken, straight = tmp_path / "broken", tmp_path / "straight"
    monkeypatch.setattr(pool, "subprocess", Recording)
    failures = run_table(plan, broken, parallel=1, on_progress=kill_at_last)
    assert "killed by signal 9; started again it goes on where it was" in failures[BASELINE]
    assert failures[Job(recipe="longer", seed=0)] == "its baseline failed"
    assert results_of(plan, broken) == {}

    told: list[JobProgress] = []
    assert run_table(plan, broken, parallel=1, on_progress=told.append) == {}
    first = next(item for item in told if item.stage == "training")
    assert first.done == SAVE_EVERY + 20
    assert run_table(plan, straight, parallel=1, on_progress=lambda _: None) == {}
    for job in plan.jobs():
        assert whole(broken, job) == whole(straight, job)
        weights = [
            safetensors.torch.load_file(folder / "runs" / job.name / "round1" / "checkpoint.safetensors")
            for folder in (broken, straight)
        ]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def table1(data: str, out: Path, *more: str) -> int:
    options = ["--recipes", "longer,mentored,full", "--seeds", "1", "--scale", "0.001", "--size", "64", "--crop", "32"]
    return main(["table1", "--data", data, "--out", str(out), *options, "--batch", "4", "--parallel", "1", *more])


@pytest.fixture(scope="module")
def made(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the command line's, in which one row fails: a baseline of three steps raises nothing to be judged."""
    out = tmp_path_factory.mktemp("table")
    assert table1(data, out, "--budget", "900", "--progress", "none") == 1
    return out


def test_a_row_that_fails_leaves_the_others_and_its_words(made: Path) -> None:
    values = json.loads((made / "table.json").read_text())
    assert [row["recipe"] for row in values["rows"]] == ["baseline", "longer", "full"]
    assert list(values["failures"]) == values["missing"] == ["mentored-seed0"]
    assert "nobody has answered yet" in values["failures"]["mentored-seed0"]
    assert "nobody has answered yet" in (made / "report.html").read_text()


def test_the_budget_and_what_was_measured_are_written_down(made: Path) -> None:
    values = json.loads((made / "table.json").read_text())
    assert values["budget"]["budget"] == 900.0
    assert values["scale"] == values["budget"]["scale"] == 0.001
    assert set(values["budget"]["timing"]["steps"]) == {"baseline", "longer", "mentored", "full"}
    assert all(step > 0 for step in values["budget"]["timing"]["steps"].values())
    assert values["rows"][0]["steps"] == 3
    assert set(values["data_digests"]) == {"train", "eval_original", "mentoring", "eval_new"}


def test_the_text_and_the_csv_are_there(made: Path) -> None:
    assert "one seed: no interval" in (made / "table.txt").read_text()
    assert (made / "table.csv").read_text().count("\n") == 4
    assert "data:image/jpeg;base64," in (made / "report.html").read_text()


def test_started_again_it_trains_nothing_that_is_there(
    data: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (made / "runs" / "full-seed0" / "result.json").stat().st_mtime_ns
    rows = json.loads((made / "table.json").read_text())["rows"]
    assert table1(data, made, "--budget", "900", "--progress", "json") == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert {line["recipe"] for line in lines if line["stage"] == "training"} == set()
    assert [line["recipe"] for line in lines if line["stage"] == "failed"] == ["mentored"]
    assert "failed: mentored-seed0" in captured.err
    assert (made / "runs" / "full-seed0" / "result.json").stat().st_mtime_ns == before
    assert json.loads((made / "table.json").read_text())["rows"] == rows


def test_a_begun_table_refuses_another_treatment(data: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert table1(data, made, "--progress", "none") == 2
    assert "was begun with a budget of 900 s" in capsys.readouterr().err
    assert table1(data, made, "--budget", "900", "--error-rate", "0.1", "--progress", "none") == 2
    assert "was begun with character" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name it with --data KIND:PLACE, or try --small"),
        (["--data", "deeppcb:/nowhere"], "no splits.json in /nowhere"),
        (["--small", "--recipes", "magic"], "expected one of baseline"),
        (["--small", "--recipes", ","], "expected different names, at least one"),
        (["--small", "--seeds", "0"], "seeds is 0"),
        (["--small", "--budget", "0"], "budget is 0"),
        (["--small", "--parallel", "0"], "parallel is 0"),
        (["--small", "--threads", "2"], "say with --parallel"),
        (["--small", "--steps", "full"], "expected RECIPE=N"),
        (["--small", "--error-rate", "2"], "error_rate is 2"),
        (["--small", "--click-seconds", "-1"], "pace.click is -1"),
        (["--small", "--crop", "90"], "expected a multiple of 8"),
    ],
)
def test_what_it_cannot_use_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["table1", "--out", str(tmp_path / "out"), "--progress", "none", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_settings_agree_but_for_names_and_what_was_not_there_then() -> None:
    config = recipe_named("dann")(DetectorConfig(classes=("a",)))
    then = json.loads(json.dumps(config.to_json()))
    assert agree(then, config)
    assert agree({**then, "recipe": "other", "gone": 3}, config)
    del then["balanced"], then["detector"]["backbone"]["blocks"]
    assert agree(then, config)
    then["optimiser"] = {**then["optimiser"], "learning_rate": 1.0}
    assert not agree(then, config)


def test_what_is_asked_in_a_second_round_is_no_setting_of_the_first() -> None:
    config = recipe_named("second_round")(DetectorConfig(classes=("a",)))
    then = json.loads(json.dumps(config.to_json()))
    then["feedback"]["show_again_from"] = 0.7
    assert agree(then, config, 1)
    assert not agree(then, config, 2)


def test_a_setting_that_came_later_and_is_used_is_another_run() -> None:
    config = recipe_named("omnia")(DetectorConfig(classes=("a",)))
    then = json.loads(json.dumps(config.to_json()))
    del then["omnia"]
    assert not agree(then, config)


def test_a_checkpoint_knows_the_settings_of_its_own_run(made: Path) -> None:
    folder = made / "runs" / "full-seed0" / "round1"
    metadata = load_metadata(folder / "checkpoint.safetensors")
    settings = json.loads((folder / "settings.json").read_text())
    assert json.loads(json.dumps(metadata.training)) == settings
