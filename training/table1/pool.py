"""All runs of a table in processes of their own, as many at a time as asked for; what they compute is their own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from training.checkpoint import write_atomically
from training.table1.plan import BASELINE, Job, TablePlan
from training.table1.result import FILE_NAME, RunResult, read_result
from training.table1.run import RUNS

PLAN_NAME = "plan.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Where one run is."""

    job: Job
    stage: str
    """"waiting", "clicks", "pictures", "training", "evaluation", "done" or "failed"."""
    done: int = 0
    total: int = 0
    message: str = ""
    """Of a failed run."""


OnProgress = Callable[[JobProgress], None]
"""Called from several threads."""


class TableFailedError(RuntimeError):
    """Some runs failed; the others are kept."""


def run_table(plan: TablePlan, out: Path, *, parallel: int, on_progress: OnProgress) -> list[RunResult]:
    """Runs what is not there yet.

    Args:
        plan: of the table; written into the folder.
        out: the table's folder; finished runs of an equal plan in it are taken over.
        parallel: processes at a time, one processor thread each.
        on_progress: told of every run.

    Returns:
        The results in the order of the plan's jobs.

    Raises:
        TableFailedError: a run failed, with its words; what it needs is said first.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan_file = out / PLAN_NAME
    write_atomically(plan_file, (json.dumps(plan.to_json(), indent=1) + "\n").encode())
    jobs = list(plan.jobs())
    schedule = _Schedule(jobs)
    failures: list[str] = []

    def work() -> None:
        while (job := schedule.next()) is not None:
            error = _carry_out(job, plan_file, out, on_progress)
            schedule.over(job, failed=bool(error))
            if error:
                failures.append(error)

    threads = [threading.Thread(target=work, name=f"run {number}") for number in range(max(1, parallel))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise TableFailedError("; ".join(failures))
    return [read_result(out / RUNS / job.name / FILE_NAME) for job in jobs]


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Schedule:
    """Gives out jobs in order, those of a seed once its baseline is there."""

    def __init__(self, jobs: list[Job]) -> None:
        self._waiting = deque(jobs)
        self._ready: set[int] = set()
        self._open = {job.seed for job in jobs if job.recipe == BASELINE}
        self._changed = threading.Condition()

    def next(self) -> Job | None:
        """The next job, waiting for a baseline where nothing else is left; None: there is none."""
        with self._changed:
            while True:
                for job in self._waiting:
                    if job.recipe == BASELINE or job.seed in self._ready:
                        self._waiting.remove(job)
                        return job
                if not self._waiting or not self._open:
                    return None
                self._changed.wait()

    def over(self, job: Job, *, failed: bool) -> None:
        """A job has ended; without its baseline a seed's rows are given up."""
        with self._changed:
            if job.recipe == BASELINE:
                self._open.discard(job.seed)
                if failed:
                    self._waiting = deque(item for item in self._waiting if item.seed != job.seed)
                else:
                    self._ready.add(job.seed)
            self._changed.notify_all()


def _carry_out(job: Job, plan_file: Path, out: Path, on_progress: OnProgress) -> str:
    """Runs a job to its end; what went wrong, or nothing."""
    folder = out / RUNS / job.name
    folder.mkdir(parents=True, exist_ok=True)
    on_progress(JobProgress(job=job, stage="waiting"))
    command = [sys.executable, "-m", "training.table1.run", "--plan", str(plan_file), "--recipe", job.recipe]
    errors_path = folder / "errors.log"
    with open(errors_path, "wb") as errors:
        child = subprocess.Popen(
            [*command, "--seed", str(job.seed), "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                    progress = JobProgress(
                        job=job, stage=str(told["stage"]), done=int(told["done"]), total=int(told["total"])
                    )
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # a library printed something
                on_progress(progress)
        code = child.wait()
    if code == 0:
        on_progress(JobProgress(job=job, stage="done", done=1, total=1))
        return ""
    said = errors_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    message = said[-1] if said else f"exit code {code}"
    on_progress(JobProgress(job=job, stage="failed", message=message))
    return f"{job.name}: {message}"
