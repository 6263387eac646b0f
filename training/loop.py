"""The training loop: batches in, a checkpoint out. What it learns is decided elsewhere (config, data, objective).

Every process of a run walks through the same steps; what depends on a clock or on a measurement is decided by the first
and told to the others, and only the first writes files and reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training.auxiliary import Auxiliary
from training.budget import Budget
from training.checkpoint import FILE_NAME as CHECKPOINT_NAME
from training.checkpoint import Checkpoint, Metadata, save
from training.config import TrainConfig
from training.data.mentoring import MentoringData
from training.data.sample import Dataset
from training.device import CPU
from training.learner import Learner, StepLosses
from training.material import Material, NothingToLearnError
from training.prefetch import batches
from training.processes import ALONE, Processes
from training.progress import HISTORY_NAME, REPORT_EVERY, Journal, OnProgress, Progress, mean_losses, silent
from training.resume import FILE_NAME as STATE_NAME
from training.resume import clear_leftovers, read_state, save_state
from training.watching import Guard

logger = logging.getLogger(__name__)

AHEAD = 4
"""Batches prepared at a time for a GPU, which is done with them sooner than one thread makes them."""
_KEPT = "kept."
"""Prefix of the weights in a saved state that the floor would have saved."""


class DivergedError(ValueError):
    """The loss is no number any more; nothing was saved."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes what it learns but `stop_after` and `budget_seconds`."""

    prefetch: bool | None = None
    """Prepare the next batches on other threads meanwhile; None: where the network is on a GPU or has more than one
    thread."""
    resume: bool = False
    """Continue from the state in the output folder, where there is one."""
    save_every: int = 0
    """Steps between two saved states; 0: none."""
    stop_after: int | None = None
    """Stop (with a saved state) after this many steps."""
    budget_seconds: float | None = None
    """Wall time for the steps, those before the run was resumed too: as many as fit, at most those of the config."""
    device: torch.device = CPU
    """Where the network is computed."""
    processes: Processes = ALONE
    """Who computes each batch together; they have joined already."""
    tensorboard: Path | None = None
    """Folder for TensorBoard's event files; None: none."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; differences count."""


def train(
    config: TrainConfig,
    original: Dataset,
    new: MentoringData | Dataset | None,
    out: Path,
    *,
    parent: Checkpoint | None = None,
    parent_digest: str = "",
    on_progress: OnProgress | None = None,
    options: RunOptions | None = None,
    auxiliaries: Sequence[Auxiliary] | None = None,
) -> Path:
    """Trains a network and writes OUT/checkpoint.safetensors and OUT/history.jsonl.

    Args:
        config: what to do; recipes make it.
        original: pictures of the original domain, fully annotated.
        new: what is known of the new domain, as `config.new_labels` says; None for a baseline.
        out: folder, made if need be; the first process's matters.
        parent: the model to start from, or that knows healthy areas; where the config needs one.
        parent_digest: package digest of the parent, for the lineage.
        on_progress: called now and then, from the calling thread, in the first process.
        options: how to carry it out.
        auxiliaries: losses beside the objective; None: those the config asks for.

    Returns:
        The checkpoint's file.

    Raises:
        NothingToLearnError: the recipe needs something that was not given.
        DivergedError: the loss became infinite or NaN; with several processes in all of them.
        MissingExtraError: curves are asked for and the library is not installed.
        ValueError: the parent's network is another one, or there are more processes than pictures in a batch.
    """
    options = options or RunOptions()
    count = options.processes.share.count
    if config.batch < count:
        raise ValueError(f"batch is {config.batch} for {count} processes; expected at least a picture for each")
    material = Material.of(config, original, new, parent)
    run = _Run(material, out, options, on_progress or silent, auxiliaries)
    metadata = run.carry_out(parent_digest)
    path = out / CHECKPOINT_NAME
    if options.processes.first:
        save(path, run.learner.network, metadata)
    options.processes.wait()
    return path


class _Run:
    """One run: its parts, and what of them goes into a saved state."""

    def __init__(
        self,
        material: Material,
        out: Path,
        options: RunOptions,
        report: OnProgress,
        auxiliaries: Sequence[Auxiliary] | None,
    ) -> None:
        self.material, self.out, self.options = material, out, options
        self.config, self.processes = material.config, options.processes
        self.report = report if self.processes.first else silent
        if self.processes.first:
            out.mkdir(parents=True, exist_ok=True)
            clear_leftovers(out)
        self.learner = Learner(
            self.config, material.parent, auxiliaries=auxiliaries, device=options.device, processes=self.processes
        )
        self.sampler = material.sampler(self.report)
        self.fingerprint = material.fingerprint()
        self.guard: Guard | None = None
        if self.config.floor is not None and material.watched is not None:
            self.guard = Guard(
                self.config.floor,
                material.watched,
                self.learner.network,
                parent=material.parent,
                from_parent=self.config.from_parent,
                processes=self.processes,
            )

    def carry_out(self, parent_digest: str) -> Metadata:
        """All steps; afterwards the learner's network has the weights to be saved."""
        options, learner, guard = self.options, self.learner, self.guard
        step, facts = self.put_back()
        budget = Budget(
            options.budget_seconds,
            most=self.config.steps,
            spent=facts.get("seconds", 0.0),
            recent=facts.get("recent", ()),
        )
        recent: list[StepLosses] = []
        started, elapsed = options.clock(), 0.0
        with self.journal(step) as note, batches(self.sampler, self.processes.share, ahead=self.ahead) as batch_of:
            steps = self.planned(budget, step, elapsed)
            over = step >= steps or (guard is not None and guard.stopped)
            while not over:
                recent.append(learner.step(batch_of(step), step, steps))
                step += 1
                elapsed = options.clock() - started
                steps = self.planned(budget, step, elapsed)
                over = step >= steps
                measured = guard is not None and guard.due(step, last=over)
                if step % REPORT_EVERY == 0 or over or measured:
                    means = self.finite(mean_losses(recent, self.processes), step)
                    recent.clear()
                    watched: float | None = None
                    if guard is not None and measured:
                        watched = guard.measure(step, learner.average.values)
                        over = over or guard.stopped
                    seconds = budget.spent(elapsed)
                    note(
                        Progress(
                            stage="training",
                            done=step,
                            total=step if over else steps,
                            loss=means.pop("total"),
                            loss_original=means.pop("original"),
                            loss_new=means.pop("new"),
                            loss_auxiliary={name.partition("/")[2]: value for name, value in means.items()},
                            learning_rate=learner.rate,
                            watched=watched,
                            seconds=seconds,
                            seconds_left=0.0 if over else seconds / step * (steps - step),
                        )
                    )
                over = over or step == options.stop_after
                if options.save_every and (step % options.save_every == 0 or over):
                    self.save_state(step, {"seconds": budget.spent(elapsed), "recent": budget.recent})
        return self.metadata(parent_digest, step, budget.spent(elapsed))

    @property
    def ahead(self) -> int:
        """Batches to be prepared on other threads."""
        on_gpu = self.options.device.type == "cuda"
        wanted = self.options.prefetch
        if wanted is None:
            wanted = on_gpu or torch.get_num_threads() > 1
        return (AHEAD if on_gpu else 1) if wanted else 0

    def planned(self, budget: Budget, step: int, elapsed: float) -> int:
        """Steps of the whole run; decided by the first process's clock."""
        steps = budget.plan(step, elapsed)
        return steps if self.options.budget_seconds is None else int(self.processes.from_first(steps))

    def finite(self, means: dict[str, float], step: int) -> dict[str, float]:
        """The losses, if they are numbers; the sum over processes is the same in all, so all stop or none."""
        if not math.isfinite(means["total"]):
            raise DivergedError(
                f"the loss is {means['total']} at step {step}; lower optimiser.learning_rate (now"
                f" {self.config.optimiser.learning_rate:g}), and look for broken pictures or labels"
            )
        return means

    def put_back(self) -> tuple[int, Mapping[str, Any]]:
        """The state that the first process finds in the output folder, in all of them: steps done, and facts."""
        if not self.options.resume:
            return 0, {}
        path = self.out / STATE_NAME
        content = path.read_bytes() if self.processes.first and path.is_file() else None
        content = self.processes.bytes_from_first(content)
        if content is None:
            return 0, {}
        saved = read_state(content, fingerprint=self.fingerprint)
        kept = {name.removeprefix(_KEPT): value for name, value in saved.tensors.items() if name.startswith(_KEPT)}
        self.learner.put_back({name: value for name, value in saved.tensors.items() if not name.startswith(_KEPT)})
        if self.guard is not None:
            self.guard.put_back(kept, saved.facts["floor"])
        logger.info("resumed at step %d of %d", saved.step, self.config.steps)
        return saved.step, saved.facts

    def save_state(self, step: int, facts: dict[str, Any]) -> None:
        """Everything that this very run needs to go on."""
        if not self.processes.first:
            return
        tensors = self.learner.tensors()
        if self.guard is not None:
            facts = {**facts, "floor": self.guard.facts()}
            tensors |= {f"{_KEPT}{name}": value for name, value in self.guard.tensors().items()}
        save_state(self.out / STATE_NAME, tensors, step=step, fingerprint=self.fingerprint, facts=facts)

    @contextlib.contextmanager
    def journal(self, done: int) -> Iterator[OnProgress]:
        """Takes progress: into files, and to whoever watches; in other processes than the first nowhere."""
        if not self.processes.first:
            yield silent
            return
        about = json.dumps(self.config.to_json(), indent=1)
        with contextlib.closing(Journal(self.out, done=done, board=self.options.tensorboard, about=about)) as journal:

            def note(progress: Progress) -> None:
                journal.note(progress)
                self.report(progress)

            yield note

    def metadata(self, parent_digest: str, step: int, seconds: float) -> Metadata:
        """What the checkpoint says about itself. Gives the network the weights to be saved."""
        learner = self.learner
        facts: dict[str, Any] = {
            "steps": step,
            "seconds": round(seconds, 2),
            "precision": "bfloat16" if learner.mixed else "float32",
            "device": self.options.device.type,
            "processes": self.processes.share.count,
        }
        values: Mapping[str, torch.Tensor] = learner.average.values
        if self.guard is not None:
            values = self.guard.to_be_saved(values)
            facts["floor"] = self.guard.facts()
        logger.info("%s: %d steps in %.1f s", self.config.recipe, step, seconds)
        learner.use(values)
        return Metadata(
            config=self.config.detector,
            recipe=self.config.recipe,
            training=self.config.to_json(),
            lineage=self.material.lineage(parent_digest),
            figures={"run": facts},
        )


__all__ = [
    "HISTORY_NAME",
    "DivergedError",
    "NothingToLearnError",
    "OnProgress",
    "Progress",
    "RunOptions",
    "train",
]
