"""From a request to a checkpoint: which data, which network, which recipe. The command line and the loop call this."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from training.checkpoint import Checkpoint, load, save
from training.config import TrainConfig
from training.data.account import Account
from training.data.fetching import local_logs
from training.data.leaks import Seen, unseen, warnings
from training.data.mentoring import MentoringData, Wanted, read_logs
from training.data.prepared import letterbox_for
from training.data.sample import Dataset, Experiment
from training.data.sources import Source, load_experiment
from training.data.without import Without
from training.device import CPU
from training.evaluate.figures import Figures, OnPicture, evaluate_predictor
from training.evaluate.predictor import Predictor
from training.evaluate.thresholds import best_thresholds
from training.floor import FloorConfig
from training.loop import NothingToLearnError, OnProgress, RunOptions, train
from training.models.anchors import fit_shapes
from training.models.config import DetectorConfig
from training.models.presets import USUAL, backbone_named, name_of
from training.recipes import recipe_named

logger = logging.getLogger(__name__)

SIZES = {"deeppcb": 320, "magnetic_tile": 256, "synthetic": 256}
"""Side of the network's input in pixels where a kind of data has a usual one."""
USUAL_SIZE = 320


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What to train. None: as the recipe, the parent or the data says."""

    recipe: str
    source: Source
    out: Path
    new: Source | None = None
    """The new domain's set, where `source` is a single set."""
    experiment: str | None = None
    level: str | None = None
    """Of the simulated second camera."""
    logs: tuple[Path, ...] = ()
    """Folders of mentoring logs; their order changes nothing."""
    after: int = 0
    """Only feedback with a higher log sequence."""
    without: tuple[Without, ...] = ()
    """Answers to be left out."""
    two_persons: bool = False
    """Denials that would silence a class need a second operator."""
    part_ids: str | None = None
    """What part ids name, "piece" or "kind"."""
    parent: Path | None = None
    """A checkpoint."""
    parent_digest: str = ""
    """Package digest of the parent."""
    head: str | None = None
    backbone: str | None = None
    """A preset's name or timm:NAME (`training.models.presets`)."""
    size: int | None = None
    """Side of the network's input, model pixels."""
    seed: int = 0
    steps: int | None = None
    batch: int | None = None
    turn: str | None = None
    floor: float | None = None
    """Largest fall of the original domain's mAP against the parent (`FloorConfig.fall`)."""
    watch_every: int | None = None
    """Steps between two measurements of it."""
    options: RunOptions = dataclasses.field(default_factory=RunOptions)


def run_training(
    request: TrainRequest, on_progress: OnProgress | None = None, on_account: Callable[[Account], None] | None = None
) -> Path:
    """Trains as requested and writes the checkpoint into the request's folder.

    Args:
        request: what to train.
        on_progress: told where the run is.
        on_account: told what became of everything that was read from the logs.

    Raises:
        ValueError, FileNotFoundError: the request, the data or the parent is not what it should be.
        ContractError: the mentoring log cannot be read.
    """
    parent = load(request.parent) if request.parent is not None else None
    experiment = load_experiment(request.source, request.experiment, level=request.level, new=request.new)
    original, annotated_new = experiment.train, experiment.mentoring if len(experiment.mentoring) else None
    config = configure(request, original, parent)
    new: MentoringData | Dataset | None = None
    if config.new_labels == "full" or (config.new_labels == "none" and config.camera):
        new = annotated_new
    elif config.new_labels == "mentored":
        if not request.logs:
            raise NothingToLearnError(f"recipe {config.recipe} learns from feedback; name a mentoring log with --log")
        if request.part_ids is not None:
            experiment = dataclasses.replace(experiment, part_ids=request.part_ids)
        wanted = Wanted(
            whole_frames=config.whole_frames,
            after=request.after,
            without=request.without,
            two_persons=request.two_persons,
            reliability=config.reliability,
            held_out=unseen(experiment),
        )
        new = read_logs(local_logs(request.logs), config.detector, wanted)
        if on_account is not None:
            on_account(new.account)
    return train(
        config,
        original,
        new,
        request.out,
        parent=parent,
        parent_digest=request.parent_digest,
        on_progress=on_progress,
        options=request.options,
    )


def configure(request: TrainRequest, original: Dataset, parent: Checkpoint | None) -> TrainConfig:
    """The recipe's configuration for this network and this request.

    Raises:
        ValueError: recipe, head, backbone or size is impossible.
    """
    recipe = recipe_named(request.recipe)
    if parent is not None:
        detector = parent.metadata.config
        if request.head not in (None, detector.head) and recipe(detector).from_parent:
            raise ValueError(f"head is {request.head}, the parent's is {detector.head}; transfer keeps the network")
        if request.backbone is not None and (wanted := backbone_named(request.backbone)) != detector.backbone:
            if recipe(detector).from_parent:
                raise ValueError(
                    f"backbone is {request.backbone}, the parent's is {name_of(detector.backbone)}; transfer keeps the"
                    " network"
                )
            detector = dataclasses.replace(detector, backbone=wanted)
    else:
        detector = network_for(original, request)
    config = recipe(detector)
    turn = request.turn or request.source.turn
    floor = config.floor
    if request.floor is not None:
        floor = dataclasses.replace(floor or FloorConfig(), fall=request.floor)
    if request.watch_every is not None:
        if floor is None:
            raise ValueError(f"watch_every is {request.watch_every}, but nothing is watched; say the floor as well")
        floor = dataclasses.replace(floor, every=request.watch_every)
    return dataclasses.replace(
        config,
        seed=request.seed,
        steps=request.steps or config.steps,
        batch=request.batch or config.batch,
        floor=floor,
        augment=dataclasses.replace(config.augment, turn=turn),
    )


def network_for(original: Dataset, request: TrainRequest) -> DetectorConfig:
    """A network for a training set: its classes, input, grey levels and anchor shapes."""
    side = request.size or SIZES.get(request.source.kind, USUAL_SIZE)
    plain = DetectorConfig(classes=original.classes, head=request.head or "anchors", width=side, height=side)
    boxes, greys, channels = [], [], 1
    # Every picture for its boxes; grey levels from a few hundred are exact enough.
    every = max(1, len(original) // 200)
    for number, sample in enumerate(original):
        if number % every and sample.healthy:
            continue
        picture = sample.picture.read()
        boxes.append(letterbox_for(plain, picture).to_model(sample.boxes))
        if number % every == 0:
            greys.append((float(picture.mean()), float(picture.std())))
            coloured = picture.ndim == 3 and bool(np.ptp(picture.astype(np.int16), axis=2).max() > 8)
            channels = 3 if coloured else channels
    mean, deviation = np.mean(greys, axis=0)
    shapes = fit_shapes(np.concatenate(boxes)) if plain.head == "anchors" else plain.shapes
    return dataclasses.replace(
        plain,
        channels=channels,
        shapes=shapes,
        mean=round(float(mean), 1),
        deviation=round(max(8.0, float(deviation)), 1),
        padding=round(float(mean)),
        backbone=backbone_named(request.backbone or USUAL),
    )


def evaluate_experiment(
    checkpoint: Checkpoint,
    experiment: Experiment,
    on_picture: OnPicture | None = None,
    *,
    device: torch.device | None = None,
) -> tuple[Figures, ...]:
    """A checkpoint on the domains there are, original first, at its own thresholds.

    Its network is moved to the device where one is given.

    Raises:
        ValueError: the checkpoint knows other classes.
    """
    predictor = Predictor(checkpoint.detector.to(device), checkpoint.metadata.thresholds)
    figures = []
    for domain, dataset in experiment.evaluation:
        if dataset.classes != checkpoint.metadata.config.classes:
            raise ValueError(
                f"the checkpoint knows classes {checkpoint.metadata.config.classes}, the data has {dataset.classes}"
            )
        figures.append(evaluate_predictor(predictor, dataset, domain=domain, on_picture=on_picture))
    for line in warnings(Seen.from_json(checkpoint.metadata.lineage.seen), experiment):
        logger.warning("%s", line)
    return tuple(figures)


def calibrate(
    path: Path,
    dataset: Dataset,
    *,
    beta: float = 1.0,
    on_picture: OnPicture | None = None,
    device: torch.device = CPU,
) -> Path:
    """Chooses a checkpoint's threshold per class, best by F measure on fully annotated pictures, and writes them down.

    Args:
        path: the checkpoint.
        dataset: pictures with all their defects; healthy ones count false alarms. The training set does: a small
            network under augmentation hardly remembers it, and evaluation pictures stay unseen.
        beta: above 1 recall counts more.
        on_picture: called after each picture.
        device: where the network answers.
    """
    checkpoint = load(path)
    predictor = Predictor(checkpoint.detector.to(device))
    answers = []
    for sample in dataset:
        answers.append((sample, predictor.detect(sample.picture.read())))
        if on_picture is not None:
            on_picture(len(answers), len(dataset))
    thresholds = best_thresholds(answers, dataset.classes, beta=beta)
    return save(path, checkpoint.detector, dataclasses.replace(checkpoint.metadata, thresholds=thresholds))


def write_figures(path: Path, figures: tuple[Figures, ...]) -> None:
    """Figures as JSON: a list, one entry a domain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([entry.to_json() for entry in figures], indent=1) + "\n", encoding="utf-8")


def keep_figures(path: Path, figures: tuple[Figures, ...]) -> Path:
    """Writes figures into a checkpoint's metadata as well, by domain."""
    checkpoint = load(path)
    known = {**checkpoint.metadata.figures, **{entry.domain: entry.to_json() for entry in figures}}
    return save(path, checkpoint.detector, dataclasses.replace(checkpoint.metadata, figures=known))
