"""From a wanted plan to the table's files: settle, run, sum up, write."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from training.checkpoint import write_atomically
from training.table1 import data, files, settle
from training.table1.budget import scale_within
from training.table1.display import shown
from training.table1.document import Document
from training.table1.facts import machine, versions
from training.table1.plan import Job, TablePlan
from training.table1.pool import claimed, cores, results_of, run_table, write_plan
from training.table1.progress import Tracker
from training.table1.summary import missing, rows_of
from training.table1.timing import measured
from training.table1.verdict import choose

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a command made."""

    text: str
    """The table."""
    report: Path
    failures: Mapping[Job, str]


def make(
    wanted: TablePlan, out: Path, *, budget: float | None, parallel: int | None, progress: str, command: str
) -> Made:
    """Makes a table, or goes on with the one in the folder. Where runs fail, it is made of the others.

    Args:
        wanted: the plan; where there is a budget its scale is the most that is trained.
        out: the table's folder.
        budget: seconds of wall time for the whole table; None: no limit.
        parallel: runs at a time; None: one a GPU, or one a core.
        progress: "bar", "json" or "none".
        command: that asked for it, for the report.

    Raises:
        ValueError, FileNotFoundError: plan, folder, budget or data is not what it should be.
        KeyboardInterrupt: it was interrupted; all that is done is kept.
    """
    if budget is not None and not budget > 0:
        raise ValueError(f"budget is {budget:g}, expected seconds above 0")
    if parallel is not None and parallel < 1:
        raise ValueError(f"parallel is {parallel}, expected at least 1")
    begun = time.monotonic()
    wanted.beginnings()  # so that a recipe that cannot be with this crop or batch says so now
    gpus = visible_gpus()
    at_once = parallel or len(gpus) or cores()
    with claimed(out):
        known = settle.begun(out)
        if known is not None:
            settle.compare(wanted, known, out)
        experiment = data.experiment_of(wanted)
        digests = data.digests(experiment)
        data.hold(out, digests)
        plan = _settled(wanted, known, out, budget, at_once)
        tracker = Tracker(plan, results_of(plan, out), time.monotonic())
        try:
            with shown(progress, tracker) as on_progress:
                failures = run_table(plan, out, parallel=at_once, on_progress=on_progress, gpus=gpus)
        except KeyboardInterrupt:
            files.spent_until_now(out, time.monotonic() - begun)
            raise
        results = {job: result for job, result in results_of(plan, out).items() if job not in failures}
        rows = rows_of(plan, results)
        document = Document(
            plan=plan,
            rows=rows,
            verdict=choose(rows),
            failures=failures,
            missing=missing(plan, results),
            digests=digests,
            pictures={role: len(getattr(experiment, role)) for role in data.ROLES},
            command=command,
            machine=machine(),
            versions=versions(),
            budgeted=settle.budgeted(out),
            wall_seconds=files.spent_until_now(out, time.monotonic() - begun),
        )
        text, report = files.write_all(out, document, results, experiment)
        return Made(text=text, report=report, failures=failures)


def visible_gpus() -> Sequence[str]:
    """Names of the GPUs that runs are spread over, as CUDA_VISIBLE_DEVICES takes them."""
    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:count]) if named else tuple(str(number) for number in range(count))


def _settled(wanted: TablePlan, known: TablePlan | None, out: Path, budget: float | None, at_once: int) -> TablePlan:
    if known is not None:
        scale = settle.scale_of(wanted, known, settle.budgeted(out), budget, out)
        return dataclasses.replace(wanted, scale=scale)
    if budget is None:
        return wanted
    asked = out / "asked.json"
    write_atomically(asked, json.dumps(wanted.to_json()).encode())
    timing = measured(asked, at_once, {**os.environ, "OMP_NUM_THREADS": "1"})
    asked.unlink()
    scale = scale_within(wanted, timing, at_once, budget)
    fitted = settle.Budgeted(
        budget=budget, asked_scale=wanted.scale, scale=scale, parallel=at_once, timing=timing.to_json()
    )
    if fitted.warning:
        logger.warning("%s", fitted.warning)
    plan = dataclasses.replace(wanted, scale=scale)
    write_atomically(out / settle.BUDGET_NAME, (json.dumps(fitted.to_json(), indent=1) + "\n").encode())
    write_plan(plan, out)
    return plan
