"""The steps of the loop, each a method that does one thing with real processes; demo and benchmark put them in order.

train -> package -> deploy -> mentor -> train from the log -> package -> swap under load -> evaluate both domains
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from export.keys import make_key_pair
from export.package import export_package
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.package import Package
from lineside.v1 import inspection_pb2, model_pb2
from loop.answers import PackageAnswers
from loop.display import Display
from loop.operator import SimulatedOperator, Tally
from loop.station import StationProcess
from loop.stream import BackgroundLoad, Count, Part, send
from training.checkpoint import load
from training.config import TrainConfig
from training.data.mentoring import MentoringData, Wanted, read_logs
from training.data.sample import ArrayPicture, Dataset, Experiment
from training.data.sources import Source
from training.evaluate.figures import Figures
from training.loop import Progress, RunOptions, train
from training.run import TrainRequest, configure
from training.simulation.judging import Character
from training.simulation.truth import Truth, TruthOf, of_dataset, usual_sides

logger = logging.getLogger(__name__)

MODEL_NAME = "inspection"
GOLDEN_FRAMES = 4
LOAD_PARTS = 12
"""Different parts that the background load sends in turn during a swap."""
LOAD_ANSWERS = 50
"""Answers by each model that a swap waits for: load before it and load after it."""
MENTORING_CAMERA = "mentoring"
LOAD_CAMERA = "load"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run. None: as the recipe says."""

    source: Source
    head: str = "anchors"
    seed: int = 0
    recipe: str = "recommended"
    """Of the candidate."""
    steps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By recipe: other numbers of steps than the recipe's."""
    batch: int | None = None
    budget_seconds: float | None = None
    """For the steps of each training; fewer are done where they do not fit."""
    character: Character = dataclasses.field(default_factory=Character)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mentoring:
    """What the mentoring cost and what became of its frames."""

    count: Count
    tally: Tally


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A change of models while pictures kept coming."""

    count: Count
    seconds: float
    """From the call to the answer that the new model serves; the time without a model is zero."""
    probation: str
    """State of the new model afterwards."""


class Loop:
    """One run of the loop. A context manager: leaving stops the station.

    Args:
        plan: what to run.
        experiment: the sets of both domains.
        folder: for everything that is made.
        display: told what happens.
    """

    def __init__(self, plan: Plan, experiment: Experiment, folder: Path, display: Display) -> None:
        self.plan = plan
        self.experiment = experiment
        self.folder = folder
        self.display = display
        self.truth = of_dataset(experiment.mentoring)
        self._keys = make_key_pair(folder / "keys", "engineer")
        self._station: StationProcess | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def station(self) -> StationProcess:
        """The running station.

        Raises:
            RuntimeError: it was not started.
        """
        if self._station is None:
            raise RuntimeError("the station was not started")
        return self._station

    def start_station(self, config: Mapping[str, Any] | None = None, *, name: str = "loop") -> StationProcess:
        """Starts a station that trusts this run's key.

        Args:
            config: sections of station.toml beside those this needs.
            name: of the station.
        """
        sections: dict[str, Any] = {
            "station": {"name": name},
            "grpc": {"listen": "127.0.0.1:0"},
            "stream": {"listen": "tcp://127.0.0.1:0"},
            "feedback": {"listen": "tcp://127.0.0.1:0"},
            "panel": {"listen": "127.0.0.1:0"},
            "models": {"trusted_keys": [str(self._keys.public.absolute())]},
        }
        for section, values in (config or {}).items():
            sections[section] = {**sections.get(section, {}), **values} if isinstance(values, Mapping) else values
        with self.display.step("Starting the station"):
            self._station = self._stack.enter_context(StationProcess(self.folder / "station", sections))
        return self._station

    def train(
        self, recipe: str, *, parent: Package | None = None, parent_checkpoint: Path | None = None, title: str
    ) -> Path:
        """Trains by a recipe; one that learns from clicks reads the station's log, as it is now.

        Returns:
            The checkpoint.
        """
        plan = self.plan
        request = TrainRequest(
            recipe=recipe,
            source=plan.source,
            out=self.folder / "training" / recipe,
            parent=parent_checkpoint,
            head=plan.head,
            seed=plan.seed,
            steps=plan.steps.get(recipe),
            batch=plan.batch,
        )
        with self.display.step(title) as advance:
            checkpoint = load(parent_checkpoint) if parent_checkpoint is not None else None
            config = configure(request, self.experiment.train, checkpoint)

            def show(progress: Progress) -> None:
                words = f"loss {progress.loss:.3f}" if progress.stage == "training" else progress.stage
                advance(progress.done, progress.total, words)

            return train(
                config,
                self.experiment.train,
                self._new_domain(config),
                request.out,
                parent=checkpoint,
                parent_digest=parent.digest if parent is not None else "",
                on_progress=show,
                options=RunOptions(budget_seconds=plan.budget_seconds),
            )

    def _new_domain(self, config: TrainConfig) -> MentoringData | Dataset | None:
        if config.new_labels == "mentored":
            wanted = Wanted(whole_frames=config.whole_frames, reliability=config.reliability)
            lessons = read_logs([self.station.log_folder], config.detector, wanted)
            for line in lessons.skipped:
                logger.info("taught nothing: %s", line)
            return lessons
        return self.experiment.mentoring if config.new_labels == "full" else None

    def package(self, checkpoint: Path, version: str, *, title: str) -> Package:
        """Exports a checkpoint, compares it in the runtime, signs it."""
        frames = [sample.picture.read() for sample in self.experiment.train.defective.samples[:GOLDEN_FRAMES]]
        with self.display.step(title) as advance:
            return export_package(
                checkpoint,
                self.folder / "packages" / version,
                name=MODEL_NAME,
                version=version,
                golden_frames=frames,
                private_key=self._keys.private,
                on_step=lambda words: advance(0, 0, words),
            )

    def deploy(self, package: Package) -> model_pb2.ModelStatus:
        """Pushes a package to the station and lets it serve."""
        title = f"Push and activate {package.manifest.version}"
        with self.display.step(title) as advance, ModelsClient(self.station.addresses.grpc) as models:
            models.push(package.folder, on_progress=lambda done, total: advance(done, total, "pushing"))
            return models.activate(package.digest)

    def mentor(
        self,
        *,
        title: str,
        cameras: Sequence[str] = (),
        more_truth: TruthOf = lambda _: None,
        on_frame: Callable[[], None] = lambda: None,
        seconds_limit: float = 600.0,
    ) -> Mentoring:
        """Streams the new domain's pictures by gRPC; the operator answers what the station keeps of them.

        Args:
            title: of the step.
            cameras: of the station that the operator looks at as well.
            more_truth: of their parts.
            on_frame: called after each frame that the operator was shown.
            seconds_limit: for everything.

        Raises:
            TimeoutError: the operator was not done within the limit.
            OperatorFailedError: the operator could not go on.
        """
        mentoring = self.experiment.mentoring
        addresses = self.station.addresses
        count = Count()
        answered: list[str] = []
        with self.display.step(title) as advance:

            def show(tally: Tally) -> None:
                words = f"{tally.total} clicks, {tally.seconds:.0f} operator seconds"
                advance(min(tally.frames_shown, len(mentoring)), len(mentoring), words)
                on_frame()

            def note(part: Part, result: inspection_pb2.InspectionResult) -> None:
                del part
                answered.append(result.frame_id)

            def truth(part_id: str) -> Truth | None:
                return self.truth.get(part_id) or more_truth(part_id)

            with (
                SimulatedOperator(
                    grpc=addresses.grpc,
                    feedback=addresses.feedback,
                    truth=truth,
                    character=self.plan.character,
                    seed=self.plan.seed,
                    cameras=(MENTORING_CAMERA, *cameras),
                    usual_sides=usual_sides(list(self.truth.values())),
                    on_judged=show,
                ) as operator,
                InspectionClient(addresses.grpc) as client,
            ):
                parts = (Part(part_id=sample.name, pixels=sample.picture.read()) for sample in mentoring)
                send(client, parts, camera=MENTORING_CAMERA, count=count, on_answer=note)
                operator.wait_for(answered, seconds_limit)
        # Only now: on other cameras there may have been one more frame to judge.
        return Mentoring(count=count, tally=operator.tally)

    def swap(self, old: Package, new: Package, *, title: str) -> Swap:
        """Replaces the serving model while a background load keeps coming, and checks each of its replies.

        Raises:
            TimeoutError, RuntimeError: the load broke off.
        """
        addresses = self.station.addresses
        samples = self.experiment.mentoring.samples
        chosen = samples[:: max(1, len(samples) // LOAD_PARTS)][:LOAD_PARTS]
        parts = [Part(part_id=f"load-{sample.name}", pixels=sample.picture.read()) for sample in chosen]
        with self.display.step(title) as advance:
            expected = {}
            for package in (old, new):
                with PackageAnswers(package) as answers:
                    expected[package.digest] = [answers.answer(part.pixels).deployed for part in parts]
            with ModelsClient(addresses.grpc) as models:
                order = (old.digest, new.digest)
                with BackgroundLoad(addresses.grpc, parts, expected=expected, order=order, camera=LOAD_CAMERA) as load:
                    load.wait_for(old.digest, LOAD_ANSWERS, 60)
                    models.push(new.folder, on_progress=lambda done, total: advance(done, total, "pushing"))
                    started = time.monotonic()
                    models.activate(new.digest)
                    seconds = time.monotonic() - started
                    load.wait_for(new.digest, LOAD_ANSWERS, 60)
                    count = load.stop()
                status = next(item for item in models.list() if item.serving)
            advance(1, 1, f"{count.sent} pictures sent meanwhile, {count.lost} lost, {count.foreign} by a wrong model")
        state = model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
        return Swap(count=count, seconds=seconds, probation=state)

    def evaluate(self, package: Package, *, title: str) -> tuple[Figures, Figures]:
        """A package's figures on the original and on the new domain, by the station's engine and grouping."""
        both = (self.experiment.eval_original, self.experiment.eval_new)
        total = sum(len(dataset) for dataset in both)
        with self.display.step(title) as advance, PackageAnswers(package) as answers:
            original = answers.evaluate(
                both[0], domain="original", on_picture=lambda done, _: advance(done, total, "original domain")
            )
            new = answers.evaluate(
                both[1], domain="new", on_picture=lambda done, _: advance(len(both[0]) + done, total, "new domain")
            )
        return original, new


def in_memory(experiment: Experiment) -> Experiment:
    """The same experiment with its pictures read once: each is looked at several times, and reading costs."""

    def read(dataset: Dataset) -> Dataset:
        samples = [
            dataclasses.replace(sample, picture=ArrayPicture(pixels=sample.picture.read())) for sample in dataset
        ]
        return dataclasses.replace(dataset, samples=tuple(samples))

    return dataclasses.replace(
        experiment,
        train=read(experiment.train),
        eval_original=read(experiment.eval_original),
        mentoring=read(experiment.mentoring),
        eval_new=read(experiment.eval_new),
    )
