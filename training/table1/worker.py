"""A process that runs jobs one after another, with the pictures in memory: one JSON object a line in, several out.

    python -m training.table1.worker --plan FILE --out DIR

In: {"recipe": NAME, "seed": N}. Out: {"stage": ..., "done": ..., "total": ...}, the last one of a job with stage "done"
or "failed" and a message. It ends when its input ends.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import traceback
from pathlib import Path

from training.device import choose_device
from training.table1.data import experiment_of
from training.table1.plan import Job, TablePlan
from training.table1.run import RUNS, Pictures, run_job

LOG_NAME = "errors.log"


def main(arguments: list[str] | None = None) -> int:
    """Runs what it is told to."""
    parser = argparse.ArgumentParser(prog="python -m training.table1.worker")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    device = choose_device()
    plan = TablePlan.from_json(json.loads(given.plan.read_text(encoding="utf-8")))
    pictures: Pictures | None = None
    for line in sys.stdin:
        told = json.loads(line)
        job = Job(recipe=told["recipe"], seed=told["seed"])
        folder = given.out / RUNS / job.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(folder / "lock", "wb") as lock:
                # A worker whose table was killed may still be at its last step here.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if pictures is None:
                    _tell("pictures", 0, 0)
                    experiment = experiment_of(plan)
                    pictures = Pictures(experiment=experiment, train_digest=experiment.train.digest())
                run_job(plan, job, pictures, given.out, _tell, device=device)
        except (ValueError, OSError) as error:
            _say({"stage": "failed", "message": " ".join(str(error).split())})
        except Exception as error:
            # The boundary of a run: whatever happens in it, the others go on.
            log = folder / LOG_NAME
            log.write_text(traceback.format_exc(), encoding="utf-8")
            words = " ".join(f"{type(error).__name__}: {error}".split())
            _say({"stage": "failed", "message": f"{words} (all of it in {log})"})
        else:
            _say({"stage": "done", "done": 1, "total": 1})
    return 0


def _tell(stage: str, done: int, total: int) -> None:
    _say({"stage": stage, "done": done, "total": total})


def _say(values: dict[str, object]) -> None:
    try:
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody is there any more: what was saved is kept, and the rest would be work for nobody.
        raise SystemExit(1) from None


if __name__ == "__main__":
    sys.exit(main())
