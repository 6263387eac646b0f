"""All runs of a table in processes of their own, as many at a time as asked for; what they compute is their own."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from training.checkpoint import write_atomically
from training.table1.plan import Job, TablePlan
from training.table1.result import FILE_NAME, RunResult, read_result
from training.table1.run import RUNS
from training.table1.schedule import Schedule
from training.table1.settle import PLAN_NAME

AWAKE = 0.5
"""Seconds after which an interrupt is seen at the latest."""
PATIENCE = 10.0
"""Seconds a process is given to end before it is killed."""


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


class TableInUseError(ValueError):
    """Another process is at work in the table's folder."""


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """The table's folder for this process alone.

    Raises:
        TableInUseError: another one has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TableInUseError(
                f"another process is making the table in {out}; wait for it, or give another folder with --out"
            ) from None
        yield


def run_table(
    plan: TablePlan, out: Path, *, parallel: int, on_progress: OnProgress, gpus: Sequence[str] = ()
) -> dict[Job, str]:
    """Runs what is not there yet. An interrupt ends all processes; started again it goes on where they were.

    Args:
        plan: of the table; written into the folder.
        out: the table's folder; finished runs of an equal plan in it are taken over.
        parallel: processes at a time, one processor thread each.
        on_progress: told of every run.
        gpus: as CUDA_VISIBLE_DEVICES names them; processes are spread over them. Empty: what the environment says.

    Returns:
        The runs that failed, with the words of the failure.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_plan(plan, out)
    pool = _Pool(Schedule(plan), out, on_progress)
    threads = [
        threading.Thread(target=pool.work, args=(gpus[number % len(gpus)] if gpus else None,), name=f"run {number}")
        for number in range(max(1, parallel))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            # A signal may reach any thread, and its handler runs when this one wakes.
            while thread.is_alive():
                thread.join(AWAKE)
    except KeyboardInterrupt:
        pool.stop()
        for thread in threads:
            thread.join()
        raise
    if pool.broken is not None:
        raise pool.broken
    return pool.failures


def write_plan(plan: TablePlan, out: Path) -> None:
    """Writes OUT/plan.json."""
    write_atomically(out / PLAN_NAME, (json.dumps(plan.to_json(), indent=1) + "\n").encode())


def results_of(plan: TablePlan, out: Path) -> dict[Job, RunResult]:
    """Those of the plan's runs that are there.

    Raises:
        ValueError: one is damaged.
    """
    found = {}
    for job in plan.jobs():
        path = out / RUNS / job.name / FILE_NAME
        if path.is_file():
            found[job] = read_result(path)
    return found


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command_of(out: Path) -> list[str]:
    """What a process of the pool is."""
    return [sys.executable, "-m", "training.table1.worker", "--plan", str(out / PLAN_NAME), "--out", str(out)]


class _Pool:
    """What the threads share: the schedule, the processes, the failures."""

    def __init__(self, schedule: Schedule, out: Path, on_progress: OnProgress) -> None:
        self._schedule, self._out, self._tell = schedule, out, on_progress
        self._changed = threading.Condition()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self.failures: dict[Job, str] = {}
        self.broken: BaseException | None = None

    def work(self, gpu: str | None) -> None:
        """Gives jobs to one process after the other, until none is left; for a thread."""
        worker: _Worker | None = None
        try:
            while (job := self._next()) is not None:
                if worker is None:
                    worker = self._started(gpu)
                self._tell(JobProgress(job=job, stage="waiting"))
                message = worker.run(job, self._tell)
                if not worker.alive:
                    self._ended(worker)
                    worker = None
                self._over(job, message)
        except BaseException as error:
            self.broken = error
            self.stop()
        finally:
            if worker is not None:
                worker.close()
                self._ended(worker)

    def stop(self) -> None:
        """Ends all processes; nothing more is begun."""
        with self._changed:
            self._stopped = True
            self._schedule.stop()
            children = list(self._children)
            self._changed.notify_all()
        for child in children:
            child.terminate()
        for child in children:
            _wait_or_kill(child)

    def _next(self) -> Job | None:
        with self._changed:
            while True:
                job = self._schedule.next()
                if job is not None or self._schedule.over:
                    return job
                self._changed.wait()

    def _over(self, job: Job, message: str) -> None:
        with self._changed:
            if self._stopped:
                return
            lost = self._schedule.ended(job, failed=bool(message))
            if message:
                self.failures[job] = message
            for item in lost:
                self.failures[item] = "its baseline failed"
            self._changed.notify_all()
        if message:
            self._tell(JobProgress(job=job, stage="failed", message=message))
        else:
            self._tell(JobProgress(job=job, stage="done", done=1, total=1))
        for item in lost:
            self._tell(JobProgress(job=item, stage="failed", message="its baseline failed"))

    def _started(self, gpu: str | None) -> _Worker:
        with self._changed:
            worker = _Worker(self._out, gpu)
            self._children.add(worker.child)
        if self._stopped:
            worker.child.terminate()
        return worker

    def _ended(self, worker: _Worker) -> None:
        with self._changed:
            self._children.discard(worker.child)


class _Worker:
    """A process that runs one job at a time; closing waits for its end."""

    def __init__(self, out: Path, gpu: str | None) -> None:
        self._errors = out / f"worker-{threading.current_thread().name.split()[-1]}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        with open(self._errors, "wb") as errors:
            # In a session of its own: Ctrl-C is for us, and we end it.
            self.child = subprocess.Popen(
                command_of(out),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    def run(self, job: Job, tell: OnProgress) -> str:
        """Runs a job to its end; what went wrong, or nothing."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write(json.dumps({"recipe": job.recipe, "seed": job.seed}).encode() + b"\n")
            self.child.stdin.flush()
        for line in self.child.stdout:
            try:
                told = json.loads(line)
                stage = str(told["stage"])
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a library printed something
            if stage == "done":
                return ""
            if stage == "failed":
                return str(told["message"])
            tell(JobProgress(job=job, stage=stage, done=int(told["done"]), total=int(told["total"])))
        return self._last_words()

    def close(self) -> None:
        """Ends its input and waits for it."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        _wait_or_kill(self.child)
        self.child.stdout.close()

    def _last_words(self) -> str:
        code = self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        said = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"its process {how}{': ' + said[-1] if said else ''}; started again it goes on where it was"


def _wait_or_kill(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
