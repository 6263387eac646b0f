"""One run of the table: clicks on what the last model raised, training, evaluation, round by round.

A round that is already there (same settings, pictures and parent) is not done again, so a table goes on where it was
stopped, and a row that begins with another row's rounds takes them over.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import FILE_NAME as CHECKPOINT_NAME
from training.checkpoint import Checkpoint, load, load_metadata, write_atomically
from training.config import TrainConfig
from training.data.mentoring import MentoringData
from training.data.sample import Dataset, Experiment
from training.device import CPU
from training.evaluate.figures import Figures
from training.evaluate.predictor import Predictor
from training.loop import RunOptions, train
from training.models.config import DetectorConfig
from training.progress import HISTORY_NAME, Progress
from training.run import TrainRequest, configure, evaluate_experiment
from training.simulation.shortcut import Shortcut, Spent
from training.table1.plan import BASELINE, CEILING, Job, TablePlan, fingerprint
from training.table1.result import FILE_NAME, RoundResult, RunResult, read_result

RUNS = "runs"
ROUND_NAME = "round.json"
SETTINGS_NAME = "settings.json"
LATER = ("show_again_from",)
"""Settings of the feedback that only later rounds read."""
SAVE_EVERY = 100
"""Steps between two states that a killed run goes on from."""

Tell = Callable[[str, int, int], None]
"""What is being done, pieces done, pieces in all."""


class MissingBaselineError(ValueError):
    """A row was asked for before its baseline was trained."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What all runs of a table share."""

    experiment: Experiment
    train_digest: str
    """Of the original training pictures and labels."""


def run_job(
    plan: TablePlan, job: Job, pictures: Pictures, out: Path, tell: Tell, *, device: torch.device = CPU
) -> RunResult:
    """Runs one recipe with one seed, or gives back what is there already.

    Args:
        plan: of the table.
        job: the recipe and the seed.
        pictures: of the plan.
        out: the table's folder.
        tell: of progress.
        device: where networks are computed.

    Raises:
        MissingBaselineError: its baseline is not there.
        ValueError, FileNotFoundError: the data is not what it should be.
    """
    request = TrainRequest(
        recipe=job.recipe, source=plan.source, out=out, head=plan.head, size=plan.size, seed=job.seed
    )
    baseline: Checkpoint | None = None
    parent = ""
    if job.recipe != BASELINE:
        folder = out / RUNS / Job(recipe=BASELINE, seed=job.seed).name / "round1"
        if not (folder / ROUND_NAME).is_file():
            raise MissingBaselineError(f"{job.name} starts from the baseline of its seed, which is not trained yet")
        baseline = load(folder / CHECKPOINT_NAME)
        baseline.detector.to(device)
        parent = _facts(folder)["fingerprint"]
    config = plan.applied(configure(request, pictures.experiment.train, baseline))
    run = _Run(plan, job, out, pictures, config, baseline, parent, tell, device)
    done = run.finished()
    return done if done is not None else run.carry_out()


class _Run:
    def __init__(
        self,
        plan: TablePlan,
        job: Job,
        out: Path,
        pictures: Pictures,
        config: TrainConfig,
        baseline: Checkpoint | None,
        parent: str,
        tell: Tell,
        device: torch.device,
    ) -> None:
        self.plan, self.job, self.out, self.experiment = plan, job, out, pictures.experiment
        self.config, self.baseline, self.parent, self.tell = config, baseline, parent, tell
        self.device = device
        self.folder = out / RUNS / job.name
        self.data_digest = pictures.train_digest
        experiment = pictures.experiment
        self.shortcut: Shortcut | None = None
        if config.new_labels == "mentored":
            self.shortcut = Shortcut(experiment.mentoring, plan.character, config.feedback, seed=job.seed)
        self.full_seconds = Shortcut(experiment.mentoring, plan.character, config.feedback, seed=job.seed).full_seconds

    @property
    def rounds(self) -> int:
        return self.config.feedback.rounds if self.shortcut is not None else 1

    def finished(self) -> RunResult | None:
        """The result, where it is there and is of this very run."""
        path = self.folder / FILE_NAME
        parent, found = self.parent, None
        for number in range(1, self.rounds + 1):
            found = self._found(number, parent)
            if found is None:
                return None
            parent = _facts(found)["fingerprint"]
        if found is None or not path.is_file():
            return None
        result = read_result(path)
        whole = result.checkpoint == str((found / CHECKPOINT_NAME).relative_to(self.out))
        return result if whole and len(result.rounds) == self.rounds else None

    def _found(self, number: int, parent: str) -> Path | None:
        """The folder of a finished round that is equal to this one, in whichever row."""
        for path in sorted((self.out / RUNS).glob(f"*-seed{self.job.seed}/round{number}/{ROUND_NAME}")):
            # What knows of no parent was written before rounds said so.
            if _facts(path.parent).get("parent", parent) == parent and self._trained_so(path.parent, number):
                return path.parent
        return None

    def _trained_so(self, folder: Path, number: int) -> bool:
        """Whether a checkpoint was trained as the recipe says today for this round, on the same pictures."""
        if not (folder / CHECKPOINT_NAME).is_file():
            return False
        known = load_metadata(folder / CHECKPOINT_NAME)
        return known.lineage.data_digest == self.data_digest and agree(known.training, self.config, number)

    def carry_out(self) -> RunResult:
        """All rounds."""
        results: list[RoundResult] = []
        newest, parent = self.baseline, self.parent
        facts: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            spent = self._ask_operator(newest)
            folder, round_facts, checkpoint = self._round(number, newest, parent)
            facts.append(round_facts)
            newest, parent = checkpoint, round_facts["fingerprint"]
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

    def _round(self, number: int, newest: Checkpoint | None, parent: str) -> tuple[Path, dict[str, Any], Checkpoint]:
        """Trains a round, or takes the equal round of another row."""
        found = self._found(number, parent)
        if found is not None:
            return found, _facts(found), self._loaded(found / CHECKPOINT_NAME)
        folder = self.folder / f"round{number}"
        wanted = fingerprint(self.plan, self.config, number, self.data_digest, parent)
        _prepare(folder, wanted, self.config)
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
            options=RunOptions(resume=True, save_every=SAVE_EVERY, device=self.device),
        )
        checkpoint = self._loaded(path)
        run = dict(checkpoint.metadata.figures["run"])
        facts = {
            "fingerprint": wanted,
            "parent": parent,
            "steps": run["steps"],
            "seconds": run["seconds"],
            "precision": run["precision"],
            "mentoring_digest": checkpoint.metadata.lineage.mentoring_digest,
        }
        write_atomically(folder / ROUND_NAME, (json.dumps(facts, indent=1) + "\n").encode())
        return folder, facts, checkpoint

    def _loaded(self, path: Path) -> Checkpoint:
        checkpoint = load(path)
        checkpoint.detector.to(self.device)
        return checkpoint

    def _lessons(self) -> MentoringData | Dataset | None:
        if self.shortcut is not None:
            return self.shortcut.lessons(
                self.config.detector, whole_frames=self.config.whole_frames, reliability=self.config.reliability
            )
        pictures_needed = self.config.new_labels == "full" or self.config.camera > 0
        return self.experiment.mentoring if pictures_needed else None

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


def _prepare(folder: Path, wanted: str, config: TrainConfig) -> None:
    """Leaves a half-done round of the very same run to be resumed, and nothing of any other."""
    mark, settings = folder / "fingerprint", folder / SETTINGS_NAME
    said = (json.dumps(_plain(config), indent=1) + "\n").encode()
    resumable = (
        not (folder / ROUND_NAME).is_file()
        and mark.is_file()
        and mark.read_text(encoding="utf-8") == wanted
        and settings.is_file()
        and settings.read_bytes() == said
    )
    if folder.is_dir() and not resumable:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(settings, said)
    write_atomically(mark, wanted.encode())


def _facts(folder: Path) -> dict[str, Any]:
    """What a finished round says about itself."""
    facts: dict[str, Any] = json.loads((folder / ROUND_NAME).read_text(encoding="utf-8"))
    return facts


def agree(then: Mapping[str, Any], config: TrainConfig, number: int = 2) -> bool:
    """Whether a run had the settings that its recipe asks for today.

    A setting that did not exist then must have its plain value today; one that is gone is passed over. Names of rows
    and the number of their rounds are no settings.

    Args:
        then: the settings of a run, as its checkpoint tells them.
        config: what is asked for today.
        number: of the round; the first one does not depend on what is asked in later ones.
    """
    plain = TrainConfig(recipe=config.recipe, detector=DetectorConfig(classes=config.detector.classes))
    now = _plain(config)
    if number == 1:
        then = {**then, "feedback": {name: value for name, value in then["feedback"].items() if name not in LATER}}
        now["feedback"] = {name: value for name, value in now["feedback"].items() if name not in LATER}
    return _agree(then, now, _plain(plain))


def _agree(then: Mapping[str, Any], now: Mapping[str, Any], plain: Mapping[str, Any]) -> bool:
    for name in now.keys() - {"recipe", "rounds"}:
        if name not in then:
            if name in plain and now[name] != plain[name]:
                return False
        elif isinstance(then[name], Mapping) and isinstance(now[name], Mapping):
            inner = plain.get(name)
            if not _agree(then[name], now[name], inner if isinstance(inner, Mapping) else {}):
                return False
        elif then[name] != now[name]:
            return False
    return True


def _plain(config: TrainConfig) -> dict[str, Any]:
    """The settings as JSON gives them back."""
    values: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    return values


__all__ = ["BASELINE", "CEILING", "MissingBaselineError", "Pictures", "run_job"]
