"""A pool of frames that a real detector has looked at, for `benchmarks.estimate`: its detections and the truth."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.synthetic import Setup
from training.simulation.partial_log import Inspected, inspected
from training.simulation.truth import Truth

if TYPE_CHECKING:
    from training.checkpoint import Checkpoint
    from training.data.sample import Dataset

THRESHOLD = 0.5
"""At which the detector raises."""
SIDE = 192
"""Of the detector's input in pixels."""
FIRST_PART = 100_000
"""On the synthetic line; those before it are for training."""
DRIFTED = Setup(
    name="drifted", light_angle=12, relief=1.08, film=1.5, glint=1.4, gain=1.04, gradient=0.12, blur=0.65, noise=2.8
)
"""Light and optics that have moved a little, so that the detector is neither right nor useless."""


def make_pool(*, seed: int, frames: int, steps: int) -> tuple[list[Inspected], dict[str, Any]]:
    """Trains the detector and asks it about parts under slightly changed light; every second part is healthy."""
    from training.checkpoint import load
    from training.data import synthetic
    from training.data.sources import parse_source
    from training.run import TrainRequest, run_training

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        source = parse_source(f"synthetic:{seed}")
        request = TrainRequest(recipe="baseline", source=source, out=Path(folder), size=SIDE, steps=steps, seed=seed)
        checkpoint = load(run_training(request))
    trained = time.monotonic() - started
    pool = ask(checkpoint, synthetic.load(FIRST_PART, frames, seed=seed, setup=DRIFTED))
    made = {"data": f"synthetic:{seed}, {DRIFTED.name}", "steps": steps, "train_seconds": round(trained, 1)}
    return pool, made


def pool_from(checkpoint: Path, data: str, *, frames: int) -> tuple[list[Inspected], dict[str, Any]]:
    """Asks a trained detector about the new domain's pictures: those for mentoring and those for evaluation."""
    from training.checkpoint import load
    from training.data.sources import load_experiment, parse_source

    experiment = load_experiment(parse_source(data))
    loaded = load(checkpoint)
    pool: list[Inspected] = []
    for dataset in (experiment.mentoring, experiment.eval_new):
        pool += ask(loaded, dataset, most=frames - len(pool))
    weights = checkpoint / "checkpoint.safetensors" if checkpoint.is_dir() else checkpoint
    made = {
        "data": f"{parse_source(data).kind}, {experiment.name}",
        "recipe": loaded.metadata.recipe,
        "steps": loaded.metadata.training.get("steps"),
        "checkpoint_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    return pool, made


def ask(checkpoint: Checkpoint, dataset: Dataset, *, most: int | None = None) -> list[Inspected]:
    """The detections that a station with this model would raise, and the truth."""
    from training.evaluate.predictor import Predictor

    thresholds = dict.fromkeys(checkpoint.metadata.config.classes, THRESHOLD)
    predictor = Predictor(checkpoint.detector, thresholds)
    pool = []
    for sample in dataset.samples[:most]:
        pixels = sample.picture.read()
        truth = Truth(boxes=sample.boxes, classes=tuple(dataset.classes[kind] for kind in sample.classes))
        size = {"width": pixels.shape[1], "height": pixels.shape[0]}
        pool.append(inspected(sample.name, predictor.deployed(pixels), truth, dataset.classes, **size))
    return pool


def save_pool(path: Path, pool: Sequence[Inspected], made: Mapping[str, Any]) -> None:
    """Detections and truths as JSON, for another benchmark run, with how they were made."""
    rows = [
        {
            "name": frame.name,
            "size": [frame.shown.width, frame.shown.height],
            "detections": [[item.class_name, item.score, *item.box] for item in frame.detections],
            "defects": [
                [name, *map(float, box)] for name, box in zip(frame.truth.classes, frame.truth.boxes, strict=True)
            ],
        }
        for frame in pool
    ]
    path.write_text(json.dumps({"made": dict(made), "frames": rows}) + "\n", encoding="utf-8")


def load_pool(path: Path) -> tuple[list[Inspected], dict[str, Any]]:
    """What `save_pool` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = document["frames"]
    classes = sorted({item[0] for row in rows for item in (*row["detections"], *row["defects"])})
    pool = [
        inspected(
            row["name"],
            Found(
                boxes=as_boxes([item[2:] for item in row["detections"]]),
                scores=np.array([item[1] for item in row["detections"]], np.float32),
                classes=np.array([classes.index(item[0]) for item in row["detections"]], np.int32),
                areas=tuple(np.zeros(0, np.int32) for _ in row["detections"]),
            ),
            Truth(
                boxes=as_boxes([item[1:] for item in row["defects"]]),
                classes=tuple(item[0] for item in row["defects"]),
            ),
            classes,
            width=row["size"][0],
            height=row["size"][1],
        )
        for row in rows
    ]
    return pool, document["made"]


def tiled(pool: Sequence[Inspected], tiles: int) -> list[Inspected]:
    """Each frame as tiles x tiles small parts: what has its middle in one is that part's.

    A board with a dozen defects never escapes; its pieces do.
    """
    if tiles == 1:
        return list(pool)
    pieces = []
    for frame in pool:
        size = np.array([frame.shown.width, frame.shown.height]) / tiles
        raised = _tiles_of([item.box for item in frame.detections], size)
        there = _tiles_of(frame.truth.boxes, size)
        for row in range(tiles):
            for column in range(tiles):
                kept = [place for place, tile in enumerate(raised) if tile == (column, row)]
                defects = [place for place, tile in enumerate(there) if tile == (column, row)]
                shown = type(frame.shown)(
                    frame_id=frame.name,
                    width=frame.shown.width,
                    height=frame.shown.height,
                    detections=[frame.shown.detections[place] for place in kept],
                )
                pieces.append(
                    dataclasses.replace(
                        frame,
                        name=f"{frame.name} {row}{column}",
                        shown=shown,
                        detections=tuple(frame.detections[place] for place in kept),
                        truth=Truth(
                            boxes=frame.truth.boxes[defects],
                            classes=tuple(frame.truth.classes[place] for place in defects),
                        ),
                    )
                )
    return pieces


def _tiles_of(boxes: object, size: NDArray[np.float64]) -> list[tuple[int, int]]:
    """(column, row) of the tile that holds each box's middle."""
    values = as_boxes(boxes)
    middles = (values[:, :2] + values[:, 2:]) / 2
    return [(int(column), int(row)) for column, row in np.floor(middles / size)]
