"""The pool's care for its processes, with small programs in the place of runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from training.cli import main
from training.table1 import pool, table
from training.table1.plan import Job, TablePlan
from training.table1.pool import JobProgress, run_table

PLAN = TablePlan(data="synthetic", recipes=("longer", "full"), seeds=2)
OBEDIENT = """
import json, os, sys
for line in sys.stdin:
    print("a library says hello")
    print(json.dumps({"stage": "training", "done": 1, "total": 2}))
    job = json.loads(line)
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"], job["recipe"], file=sys.stderr)
    print(json.dumps({"stage": "done", "done": 1, "total": 1}), flush=True)
"""


def programs(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(pool, "command_of", lambda _: [sys.executable, "-S", "-c", text])


def test_all_jobs_are_carried_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(monkeypatch, OBEDIENT)
    told: list[JobProgress] = []
    assert run_table(PLAN, tmp_path, parallel=3, on_progress=told.append) == {}
    assert {item.job for item in told if item.stage == "done"} == set(PLAN.jobs())
    stages = [item.stage for item in told if item.job == Job(recipe="full", seed=1)]
    assert stages == ["waiting", "training", "done"]


def test_processes_are_spread_over_the_gpus_with_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(monkeypatch, OBEDIENT)
    run_table(PLAN, tmp_path, parallel=2, on_progress=lambda _: None, gpus=("3", "GPU-abc"))
    words = [(tmp_path / f"worker-{number}.log").read_text().split() for number in range(2)]
    # Which process gets how many jobs is chance; which GPU it sees is not.
    for gpu, said in zip(("3", "GPU-abc"), words, strict=True):
        assert set(said[::3]) <= {gpu}
        assert set(said[1::3]) <= {"1"}
    assert sorted(words[0][2::3] + words[1][2::3]) == sorted(job.recipe for job in PLAN.jobs())


def test_a_process_that_ends_by_itself_fails_its_run_alone_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(
        monkeypatch,
        OBEDIENT.replace(
            "print(os.env", 'job["recipe"] == "full" and sys.exit("no room on the device")\n    print(os.env', 1
        ),
    )
    failures = run_table(PLAN, tmp_path, parallel=2, on_progress=lambda _: None)
    assert {job.name for job in failures} == {"full-seed0", "full-seed1"}
    assert all("ended with code 1: no room on the device" in words for words in failures.values())


def test_a_trouble_of_the_pool_itself_reaches_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "command_of", lambda _: ["/nowhere/python"])
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        run_table(PLAN, tmp_path, parallel=2, on_progress=lambda _: None)


def test_an_interrupt_ends_the_processes_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(
        monkeypatch, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    )
    monkeypatch.setattr(table.data, "experiment_of", lambda _: None)
    monkeypatch.setattr(table.data, "digests", lambda _: {})
    monkeypatch.setattr(table.data, "hold", lambda *_: None)

    def run(*arguments: object, **options: object) -> object:
        def interrupt() -> None:
            while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
                pause.wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        return run_table(*arguments, **options)  # type: ignore[arg-type]

    pause = threading.Event()
    monkeypatch.setattr(table, "run_table", run)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    out = tmp_path / "table"
    try:
        assert (
            main(["table1", "--data", "synthetic", "--out", str(out), "--parallel", "1", "--progress", "none"]) == 130
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert "the same command goes on where it was" in capsys.readouterr().err
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("run ")]
    assert (out / "plan.json").is_file()
