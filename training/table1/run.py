"""One run of the table: clicks on what the last model raised, training, evaluation, round by round.

    python -m training.table1.run --plan FILE --recipe NAME --seed N --out DIR

is how the pool starts it, in a process of its own, one JSON object a line as progress. A round that is already there
(by its fingerprint) is not done again, so a table goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.checkpoint import FILE_NAME as CHECKPOINT_NAME
from training.checkpoint import Checkpoint, load, write_atomically
from training.config import TrainConfig
from training.data.mentoring import MentoringData
from training.data.sample import Dataset, Experiment
from training.data.sources import load_experiment
from training.evaluate.figures import Figures
from training.evaluate.predictor import Predictor
from training.loop import HISTORY_NAME, Progress, RunOptions, train
from training.run import TrainRequest, configure, evaluate_experiment
from training.simulation.shortcut import Shortcut, Spent
from training.table1.plan import BASELINE, CEILING, Job, TablePlan, fingerprint
from training.table1.result import FILE_NAME, RoundResult, RunResult, read_result

RUNS = "runs"
ROUND_NAME = "round.json"
SAVE_EVERY = 500
"""Steps between two states that a killed run goes on from."""

Tell = Callable[[str, int, int], None]
"""What is being done, pieces done, pieces in all."""


class MissingBaselineError(ValueError):
    """A row was asked for before its baseline was trained."""


def run_job(plan: TablePlan, job: Job, out: Path, tell: Tell) -> RunResult:
    """Runs one recipe with one seed, or gives back what is there already.

    Args:
        plan: of the table.
        job: the recipe and the seed.
        out: the table's folder.
        tell: of progress.

    Raises:
        MissingBaselineError: its baseline is not there.
        ValueError, FileNotFoundError: the data is not what it should be.
    """
    experiment = load_experiment(plan.source, plan.experiment_name or None, level=plan.level)
    request = TrainRequest(recipe=job.recipe, source=plan.source, out=out, head=plan.head, seed=job.seed)
    baseline: Checkpoint | None = None
    if job.recipe != BASELINE:
        path = out / RUNS / Job(recipe=BASELINE, seed=job.seed).name / "round1" / CHECKPOINT_NAME
        if not path.is_file():
            raise MissingBaselineError(f"{job.name} starts from the baseline of its seed, which is not trained yet")
        baseline = load(path)
    config = configure(request, experiment.train, baseline)
    config = dataclasses.replace(config, steps=plan.steps_of(config))
    run = _Run(plan, job, out, experiment, config, baseline, tell)
    done = run.finished()
    return done if done is not None else run.carry_out()


class _Run:
    def __init__(
        self,
        plan: TablePlan,
        job: Job,
        out: Path,
        experiment: Experiment,
        config: TrainConfig,
        baseline: Checkpoint | None,
        tell: Tell,
    ) -> None:
        self.plan, self.job, self.out, self.experiment = plan, job, out, experiment
        self.config, self.baseline, self.tell = config, baseline, tell
        self.folder = out / RUNS / job.name
        self.data_digest = experiment.train.digest()
        self.shortcut: Shortcut | None = None
        if config.new_labels == "mentored":
            self.shortcut = Shortcut(experiment.mentoring, plan.character, config.feedback, seed=job.seed)
        self.full_seconds = Shortcut(experiment.mentoring, plan.character, config.feedback, seed=job.seed).full_seconds

    @property
    def rounds(self) -> int:
        return self.config.feedback.rounds if self.shortcut is not None else 1

    def print_of(self, number: int) -> str:
        """The fingerprint of a round."""
        return fingerprint(self.plan, self.config, number, self.data_digest)

    def finished(self) -> RunResult | None:
        """The result, where it is there and is of this very run."""
        path = self.folder / FILE_NAME
        last = self.folder / f"round{self.rounds}" / ROUND_NAME
        if not path.is_file() or not last.is_file():
            return None
        if json.loads(last.read_text(encoding="utf-8"))["fingerprint"] != self.print_of(self.rounds):
            return None
        return read_result(path)

    def carry_out(self) -> RunResult:
        """All rounds."""
        results: list[RoundResult] = []
        newest = self.baseline
        facts: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            spent = self._ask_operator(newest)
            folder, round_facts, checkpoint = self._round(number, newest)
            facts.append(round_facts)
            newest = checkpoint
            original, new = self._evaluated(folder, checkpoint)
            results.append(
                RoundResult(
                    number=number if self.shortcut is not None else 0,
                    operator_seconds=self._seconds_until_now(),
                    clicks=spent.clicks,
                    frames=spent.frames,
                    original=original,
                    new=new,
                )
            )
        result = RunResult(
            recipe=self.job.recipe,
            seed=self.job.seed,
            experiment=self.plan.experiment_name,
            head=self.plan.head,
            rounds=tuple(results),
            full_seconds=self.full_seconds,
            steps=sum(item["steps"] for item in facts),
            training_seconds=sum(item["seconds"] for item in facts),
            precision=facts[-1]["precision"],
            checkpoint=str((folder / CHECKPOINT_NAME).relative_to(self.out)),
            history=str((folder / HISTORY_NAME).relative_to(self.out)),
            config=self.config.to_json(),
            data_digest=self.data_digest,
            mentoring_digest=str(facts[-1]["mentoring_digest"]),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / FILE_NAME, (json.dumps(result.to_json(), indent=1) + "\n").encode())
        return result

    def _seconds_until_now(self) -> float:
        if self.config.new_labels == "full":
            return self.full_seconds
        return self.shortcut.seconds if self.shortcut is not None else 0.0

    def _ask_operator(self, newest: Checkpoint | None) -> Spent:
        if self.shortcut is None or newest is None:
            return Spent(frames=0, clicks={}, seconds=0.0)
        predictor = Predictor(newest.detector, newest.metadata.thresholds)
        return self.shortcut.round(predictor.answer, lambda done, total: self.tell("clicks", done, total))

    def _round(self, number: int, newest: Checkpoint | None) -> tuple[Path, dict[str, Any], Checkpoint]:
        """Trains a round, or takes the equal round of another row."""
        wanted = self.print_of(number)
        found = _equal_round(self.out, wanted)
        if found is not None:
            facts = json.loads((found / ROUND_NAME).read_text(encoding="utf-8"))
            return found, facts, load(found / CHECKPOINT_NAME)
        folder = self.folder / f"round{number}"
        _clear_unless(folder, wanted)
        lessons = self._lessons()
        # What it starts from is the newest model, as in a factory; what a recipe from scratch asks of its parent
        # (confident background, soft answers) is the newest model's knowledge too.
        path = train(
            self.config,
            self.experiment.train,
            lessons,
            folder,
            parent=newest,
            on_progress=self._show,
            options=RunOptions(resume=True, save_every=SAVE_EVERY),
        )
        checkpoint = load(path)
        run = dict(checkpoint.metadata.figures["run"])
        facts = {
            "fingerprint": wanted,
            "steps": run["steps"],
            "seconds": run["seconds"],
            "precision": run["precision"],
            "mentoring_digest": checkpoint.metadata.lineage.mentoring_digest,
        }
        write_atomically(folder / ROUND_NAME, (json.dumps(facts, indent=1) + "\n").encode())
        return folder, facts, checkpoint

    def _lessons(self) -> MentoringData | Dataset | None:
        if self.shortcut is not None:
            return self.shortcut.lessons(self.config.detector, whole_frames=self.config.whole_frames)
        return self.experiment.mentoring if self.config.new_labels == "full" else None

    def _show(self, progress: Progress) -> None:
        self.tell(progress.stage, progress.done, progress.total)

    def _evaluated(self, folder: Path, checkpoint: Checkpoint) -> tuple[Figures, Figures]:
        path = folder / "figures.json"
        if not path.is_file():
            figures = evaluate_experiment(
                checkpoint, self.experiment, lambda done, total: self.tell("evaluation", done, total)
            )
            text = json.dumps([entry.to_json() for entry in figures], indent=1) + "\n"
            write_atomically(path, text.encode())
        entries = [Figures.from_json(item) for item in json.loads(path.read_text(encoding="utf-8"))]
        by_domain = {entry.domain: entry for entry in entries}
        return by_domain["original"], by_domain["new"]


def _clear_unless(folder: Path, wanted: str) -> None:
    """Leaves a half-done round of the same fingerprint to be resumed, and nothing of any other."""
    mark = folder / "fingerprint"
    if folder.is_dir() and (not mark.is_file() or mark.read_text(encoding="utf-8") != wanted):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(wanted, encoding="utf-8")


def _equal_round(out: Path, wanted: str) -> Path | None:
    """The folder of a finished round with this fingerprint."""
    for path in sorted((out / RUNS).glob(f"*/round*/{ROUND_NAME}")):
        if json.loads(path.read_text(encoding="utf-8"))["fingerprint"] == wanted:
            return path.parent
    return None


def main(arguments: list[str] | None = None) -> int:
    """A run in a process of its own; progress as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m training.table1.run")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    plan = TablePlan.from_json(json.loads(given.plan.read_text(encoding="utf-8")))

    def tell(stage: str, done: int, total: int) -> None:
        sys.stdout.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
        sys.stdout.flush()

    try:
        run_job(plan, Job(recipe=given.recipe, seed=given.seed), given.out, tell)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{given.recipe}, seed {given.seed}: {' '.join(str(error).split())}\n")
        return 2
    return 0


__all__ = ["BASELINE", "CEILING", "MissingBaselineError", "run_job"]

if __name__ == "__main__":
    sys.exit(main())
