"""The training loop: batches in, a checkpoint out. What it learns is decided elsewhere (config, data, objective)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from training.auxiliaries import auxiliaries_for
from training.auxiliary import Auxiliary
from training.checkpoint import FILE_NAME as CHECKPOINT_NAME
from training.checkpoint import Checkpoint, Lineage, Metadata, save
from training.config import TrainConfig
from training.data.batches import Batch, Sampler
from training.data.mentoring import MentoringData
from training.data.omnia import with_confident_background
from training.data.prepared import Prepared, annotate_all
from training.data.sample import Dataset
from training.learner import Learner, StepLosses
from training.resume import FILE_NAME as STATE_NAME
from training.resume import load_state, save_state

logger = logging.getLogger(__name__)

HISTORY_NAME = "history.jsonl"
REPORT_EVERY = 20
"""Steps between two lines of progress."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. Losses are means since the last report; seconds of wall time, left ones estimated."""

    stage: str
    """"pictures" while they are prepared, "training" afterwards."""
    done: int
    total: int
    loss: float = 0.0
    loss_original: float = 0.0
    loss_new: float = 0.0
    loss_auxiliary: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By name."""
    learning_rate: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0


OnProgress = Callable[[Progress], None]


class DivergedError(ValueError):
    """The loss is no number any more; nothing was saved."""


class NothingToLearnError(ValueError):
    """The recipe needs a parent, feedback or pictures that were not given."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes what it learns but `stop_after` and `budget_seconds`."""

    prefetch: bool | None = None
    """Prepare the next batch on a second thread meanwhile; None: where the network has more than one thread."""

    resume: bool = False
    """Continue from the state in the output folder, where there is one."""
    save_every: int = 0
    """Steps between two saved states; 0: none."""
    stop_after: int | None = None
    """Stop (with a saved state) after this many steps."""
    budget_seconds: float | None = None
    """Wall time for the steps: as many as fit, judged by the first ones, at most those of the config."""


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
        out: folder, made if need be.
        parent: the model to start from, or that knows healthy areas; where the config needs one.
        parent_digest: package digest of the parent, for the lineage.
        on_progress: called now and then, from the calling thread.
        options: how to carry it out.
        auxiliaries: losses beside the objective; None: those the config asks for.

    Returns:
        The checkpoint's file.

    Raises:
        NothingToLearnError: the recipe needs something that was not given.
        DivergedError: the loss became infinite or NaN.
        ValueError: the parent's network is another one.
    """
    options = options or RunOptions()
    report = on_progress or _silent
    _check(config, original, new, parent)
    out.mkdir(parents=True, exist_ok=True)
    sampler = _sampler(config, original, new, parent, report)
    run = Learner(config, parent)
    run.add(auxiliaries_for(config, run.network, parent) if auxiliaries is None else auxiliaries)
    fingerprint = _fingerprint(config, original, new)
    state_path, history_path = out / STATE_NAME, out / HISTORY_NAME
    first = 0
    if options.resume and state_path.is_file():
        first, tensors = load_state(state_path, fingerprint=fingerprint)
        run.put_back(tensors)
        logger.info("resumed at step %d of %d", first, config.steps)
    started = time.monotonic()
    steps = config.steps
    recent: list[StepLosses] = []
    with (
        open(history_path, "a" if first else "w", encoding="utf-8") as history,
        _batches(sampler, options.prefetch) as batch_of,
    ):
        step = first
        while step < steps:
            recent.append(run.step(batch_of(step), step, steps))
            step += 1
            seconds = time.monotonic() - started
            if options.budget_seconds is not None and step - first == _JUDGED:
                steps = min(steps, max(_JUDGED, first + int(options.budget_seconds / (seconds / _JUDGED))))
            if step % REPORT_EVERY == 0 or step == steps:
                progress = _progress(recent, step, steps, seconds, seconds / (step - first) * (steps - step), run.rate)
                recent.clear()
                if not math.isfinite(progress.loss):
                    raise DivergedError(
                        f"the loss is {progress.loss} at step {step}; lower optimiser.learning_rate (now"
                        f" {config.optimiser.learning_rate:g}), and look for broken pictures or labels"
                    )
                history.write(json.dumps(dataclasses.asdict(progress)) + "\n")
                report(progress)
            last = step == steps or step == options.stop_after
            if options.save_every and (step % options.save_every == 0 or last):
                save_state(state_path, run.tensors(), step=step, fingerprint=fingerprint)
            if step == options.stop_after:
                break
    seconds = time.monotonic() - started
    logger.info("%s: %d steps in %.1f s", config.recipe, step, seconds)
    facts = {"steps": step, "seconds": round(seconds, 2), "precision": "bfloat16" if run.mixed else "float32"}
    metadata = Metadata(
        config=config.detector,
        recipe=config.recipe,
        training=config.to_json(),
        lineage=_lineage(config, original, new, parent_digest),
        figures={"run": facts},
    )
    run.use_average()
    return save(out / CHECKPOINT_NAME, run.network, metadata)


_JUDGED = 20
"""Steps after which a time budget is turned into a number of steps."""


@contextlib.contextmanager
def _batches(sampler: Sampler, prefetch: bool | None) -> Iterator[Callable[[int], Batch]]:
    """Gives the batch of a step. Batches are pure functions of the step, so preparing one ahead changes nothing."""
    if not (torch.get_num_threads() > 1 if prefetch is None else prefetch):
        yield sampler.batch
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as worker:
        ahead: dict[int, Future[Batch]] = {}

        def batch_of(step: int) -> Batch:
            now = ahead.pop(step, None) or worker.submit(sampler.batch, step)
            ahead[step + 1] = worker.submit(sampler.batch, step + 1)
            return now.result()

        yield batch_of


def _check(config: TrainConfig, original: Dataset, new: object, parent: Checkpoint | None) -> None:
    if original.classes != config.detector.classes:
        raise ValueError(f"the data's classes are {original.classes}, the network's {config.detector.classes}")
    if config.needs_parent and parent is None:
        raise NothingToLearnError(f"recipe {config.recipe} starts from a parent; name its checkpoint with --parent")
    if parent is not None and config.needs_parent and parent.metadata.config != config.detector:
        raise ValueError("the parent's network is another one than the recipe's; take the parent's config over")
    if config.new_labels == "mentored" and not isinstance(new, MentoringData):
        raise NothingToLearnError(f"recipe {config.recipe} learns from feedback; name a mentoring log with --log")
    if config.new_labels == "full" and not isinstance(new, Dataset):
        raise NothingToLearnError(f"recipe {config.recipe} learns from a fully annotated new domain; none was given")
    if isinstance(new, MentoringData) and not new.frames and config.new_labels == "mentored":
        why = "; ".join(new.skipped) or "nobody has answered yet"
        raise NothingToLearnError(f"the mentoring log teaches nothing: {why}")


def _sampler(
    config: TrainConfig,
    original: Dataset,
    new: MentoringData | Dataset | None,
    parent: Checkpoint | None,
    report: OnProgress,
) -> Sampler:
    done = 0
    total = len(original) + (len(new) if isinstance(new, Dataset) else 0)

    def one_more() -> None:
        nonlocal done
        done += 1
        if done % 50 == 0 or done == total:
            report(Progress(stage="pictures", done=done, total=total))

    old_items = annotate_all(original, config.detector, one_more)
    new_items: Sequence[Prepared] = ()
    if config.new_labels == "mentored" and isinstance(new, MentoringData):
        new_items = new.frames
        if config.omnia and parent is not None:
            new_items = with_confident_background(new.frames, parent.detector, below=config.omnia)
    elif config.new_labels == "full" and isinstance(new, Dataset):
        new_items = annotate_all(new, config.detector, one_more)
    return Sampler(
        config.detector,
        old_items,
        new_items,
        size=config.batch,
        seed=config.seed,
        crop=config.crop,
        augment=config.augment,
        healthy_share=config.healthy_share,
        balanced=config.balanced,
    )


def _lineage(
    config: TrainConfig, original: Dataset, new: MentoringData | Dataset | None, parent_digest: str
) -> Lineage:
    known = new if isinstance(new, MentoringData) and config.new_labels == "mentored" else None
    return Lineage(
        parent_digest=parent_digest,
        data_digest=original.digest(),
        mentoring_digest=known.digest if known else "",
        feedback_events=known.feedback_events if known else 0,
        last_log_sequence=known.last_log_sequence if known else 0,
        seed=config.seed,
    )


def _fingerprint(config: TrainConfig, original: Dataset, new: MentoringData | Dataset | None) -> str:
    names = [sample.name for sample in original]
    lessons = new.digest if isinstance(new, MentoringData) else [sample.name for sample in new or ()]
    text = json.dumps([config.to_json(), names, lessons], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _progress(
    recent: Sequence[StepLosses], step: int, steps: int, seconds: float, seconds_left: float, rate: float
) -> Progress:
    def mean(name: str) -> float:
        return sum(float(getattr(item, name)) for item in recent) / len(recent)

    return Progress(
        stage="training",
        done=step,
        total=steps,
        loss=mean("total"),
        loss_original=mean("original"),
        loss_new=mean("new"),
        loss_auxiliary={
            name: sum(float(item.auxiliary[name]) for item in recent) / len(recent) for name in recent[-1].auxiliary
        },
        learning_rate=rate,
        seconds=seconds,
        seconds_left=seconds_left,
    )


def _silent(progress: Progress) -> Any:
    """Takes progress and shows nothing."""
