"""How long things take on this machine: a few steps of every kind of recipe, some answers. Nothing is kept of them.

    python -m training.table1.timing --plan FILE

prints one JSON object. A table with a time budget asks for it once, in as many processes at a time as will train,
because neighbours on a processor slow each other down.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.table1.data import experiment_of
from training.table1.plan import TablePlan

WARM_UP, STEPS, ANSWERS = 3, 12, 12


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of wall time."""

    start: float
    """Until a process has its pictures."""
    prepare: float
    """Until a run has its pictures as the network sees them."""
    answer: float
    """A picture through the network and the grouping."""
    steps: Mapping[str, float]
    """One optimiser step, by recipe."""
    pictures: Mapping[str, int]
    """How many there are: "mentoring" and "evaluation"."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def measured(plan_file: Path, parallel: int, environment: Mapping[str, str]) -> Timing:
    """The mean over so many processes at once.

    Raises:
        ValueError: a process failed, with its words.
    """
    command = [sys.executable, "-m", "training.table1.timing", "--plan", str(plan_file)]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment), text=True)
        for _ in range(parallel)
    ]
    told = []
    try:
        for child in children:
            out, errors = child.communicate()
            if child.returncode:
                last = (errors.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
                raise ValueError(f"measuring the time of a step failed: {last}")
            told.append(json.loads(out.strip().splitlines()[-1]))
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    return mean_of([Timing(**item) for item in told])


def mean_of(timings: Sequence[Timing]) -> Timing:
    """The mean of several."""
    count = len(timings)
    return Timing(
        start=sum(item.start for item in timings) / count,
        prepare=sum(item.prepare for item in timings) / count,
        answer=sum(item.answer for item in timings) / count,
        steps={name: sum(item.steps[name] for item in timings) / count for name in timings[0].steps},
        pictures=timings[0].pictures,
    )


def kind_of(config: TrainConfig) -> str:
    """Equal for configurations whose steps cost the same: what differs only in labels, weights or length."""
    parts = (config.detector, config.batch, config.crop.side, config.augment, config.camera > 0, config.precision)
    methods = (config.dann, config.distil, config.teacher, config.objective.robust > 0)
    return repr((parts, methods))


def measure(plan: TablePlan) -> Timing:
    """Measures in this process."""
    begun = time.perf_counter()
    import torch

    from training.checkpoint import Checkpoint, Metadata
    from training.data.batches import Sampler
    from training.data.prepared import annotate_all
    from training.device import choose_device
    from training.evaluate.predictor import Predictor
    from training.learner import Learner
    from training.models.detector import Detector
    from training.recipes import recipe_named
    from training.run import TrainRequest, configure

    torch.set_num_threads(1)
    device = choose_device()
    experiment = experiment_of(plan)
    experiment.train.digest()
    request = TrainRequest(recipe="baseline", source=plan.source, out=Path(), head=plan.head, size=plan.size)
    config = configure(request, experiment.train, None)
    detector = config.detector
    started = time.perf_counter()
    original, new = annotate_all(experiment.train, detector), annotate_all(experiment.mentoring, detector)
    prepared = time.perf_counter()
    parent = Checkpoint(Detector(detector).eval(), Metadata(config=detector))
    by_kind: dict[str, float] = {}
    steps = {}
    for name in plan.rows:
        row = plan.applied(dataclasses.replace(recipe_named(name)(detector), augment=config.augment))
        kind = kind_of(row)
        if kind not in by_kind:
            learner = Learner(row, parent, device=device)
            sampler = Sampler(
                detector, original, new, size=row.batch, seed=0, crop=row.crop, augment=row.augment, balanced=True
            )
            for step in range(WARM_UP + STEPS):
                if step == WARM_UP:
                    clock = time.perf_counter()
                learner.step(sampler.batch(step), step, 1000)
            by_kind[kind] = (time.perf_counter() - clock) / STEPS
        steps[name] = by_kind[kind]
    predictor = Predictor(parent.detector.to(device))
    asked = experiment.eval_new.samples[:ANSWERS]
    clock = time.perf_counter()
    for sample in asked:
        predictor.answer(sample.picture.read())
    answer = (time.perf_counter() - clock) / len(asked)
    return Timing(
        start=started - begun,
        prepare=prepared - started,
        answer=answer,
        steps=steps,
        pictures={
            "mentoring": len(experiment.mentoring),
            "evaluation": len(experiment.eval_original) + len(experiment.eval_new),
        },
    )


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m training.table1.timing")
    parser.add_argument("--plan", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        timing = measure(TablePlan.from_json(json.loads(given.plan.read_text(encoding="utf-8"))))
    except (ValueError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 2
    sys.stdout.write(json.dumps(timing.to_json()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
