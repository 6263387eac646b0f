"""Three operators of whom one errs: what his answers cost, and what is won back by letting reliability count.

    python -m benchmarks.reliability --json FILE --seeds 3
    python -m benchmarks.reliability --answers-only

First without any training: three operators answer the same stream of detections, ada and bea erring in 2 % of their
answers and bob in 30 %; how many answers it takes until bob's interval lies below both others', by the share of
pictures that is shown to all three.

Then on the synthetic line: a baseline per seed, one round of clicks on the new domain by the same three (a fifth of the
pictures shown to all), and the same clicks taught four ways:

    clean       nobody errs (the three names, the same pictures shared out); recipe transfer
    transfer    ada, bea and bob as above; recipe transfer, which drops disputes and believes the rest
    reliable    the same answers; recipe reliable
    without     the same answers with bob's left out by name; recipe transfer

Beside the mean average precision stands the share of taught weight that lies on wrong answers: what a recipe makes a
network believe, free of the noise of training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loop.figures import machine, write_json
from training.checkpoint import load
from training.config import FeedbackPlan, TrainConfig
from training.data.lessons import MentoringData
from training.data.sample import Dataset
from training.data.sources import Source
from training.data.synthetic import LineCounts, load_experiment
from training.data.without import Without
from training.evaluate.figures import evaluate_predictor
from training.evaluate.predictor import Predictor
from training.loop import train
from training.losses.classification import UNKNOWN
from training.models.config import DetectorConfig
from training.recipes import recipe_named
from training.reliability.model import estimate
from training.reliability.questions import Question
from training.run import TrainRequest, network_for
from training.simulation.judging import Character
from training.simulation.shortcut import Member, Shortcut

ERRORS = {"ada": 0.02, "bea": 0.02, "bob": 0.3}
BAD = "bob"
SHARED = 0.2
"""Of the pictures of the training trial, shown to all."""
RATE_RIGHT = 0.4
"""Of the stream's detections are right as named."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of one run of the benchmark."""

    seeds: int
    steps_baseline: int
    steps: int
    batch: int
    size: int
    crop: int


def answers_needed(shared: float, most: int, *, streams: int) -> dict[str, float]:
    """In how many streams bob stands apart after so many answers of all three together."""
    apart = 0
    for seed in range(streams):
        questions = _stream(shared, most, np.random.default_rng([seed, 1]))
        found = estimate(questions, seed=seed)
        apart += found[BAD].high < min(item.low for name, item in found.items() if name != BAD)
    return {"shared": shared, "answers": most, "apart": apart / streams}


def _stream(shared: float, most: int, generator: np.random.Generator) -> list[Question]:
    questions: list[Question] = []
    given = 0
    while given < most:
        right = bool(generator.random() < RATE_RIGHT)
        names = list(ERRORS) if generator.random() < shared else [str(generator.choice(list(ERRORS)))]
        votes = tuple((name, right ^ bool(generator.random() < ERRORS[name])) for name in names)
        questions.append(Question(places=((f"{len(questions)}", "0"),), votes=votes))
        given += len(votes)
    return questions


def trial(seed: int, options: Options, folder: Path) -> list[dict[str, Any]]:
    """One seed: four ways to learn from one round of clicks."""
    counts = LineCounts(train=240, evaluation=120, mentoring=160)
    experiment = load_experiment(seed=seed, counts=counts, size=options.size)
    source = Source(kind="synthetic", place=str(seed))
    request = TrainRequest(recipe="baseline", source=source, out=folder, size=options.size)
    network = network_for(experiment.train, request)

    def config(recipe: str, steps: int) -> TrainConfig:
        plain = recipe_named(recipe)(network)
        augment = dataclasses.replace(plain.augment, turn=source.turn)
        crop = dataclasses.replace(plain.crop, side=options.crop)
        return dataclasses.replace(plain, seed=seed, steps=steps, batch=options.batch, augment=augment, crop=crop)

    path = train(config("baseline", options.steps_baseline), experiment.train, None, folder / "baseline")
    parent = load(path)
    rows = [_measured("baseline", seed, path, experiment.eval_new)]
    for way in ("clean", "transfer", "reliable", "without"):
        lessons = _lessons(way, experiment.mentoring, seed, path, network)
        recipe = "reliable" if way == "reliable" else "transfer"
        made = train(config(recipe, options.steps), experiment.train, lessons, folder / way, parent=parent)
        row = _measured(way, seed, made, experiment.eval_new)
        wrong = share_of_wrong(lessons, _lessons("clean", experiment.mentoring, seed, path, network))
        operators = {name: dict(values) for name, values in lessons.account.operators.items()}
        rows.append({**row, "wrong": wrong, "answers": lessons.account.answers.used, "operators": operators})
    return rows


def _lessons(way: str, mentoring: Dataset, seed: int, baseline: Path, network: DetectorConfig) -> MentoringData:
    crew = tuple(
        Member(name=name, character=Character(error_rate=0.0 if way == "clean" else share))
        for name, share in ERRORS.items()
    )
    checkpoint = load(baseline)
    plan = FeedbackPlan(gestures="binary", show_from=0.2)
    shortcut = Shortcut(mentoring, Character(), plan, seed=seed, crew=crew, repeats=SHARED)
    shortcut.round(Predictor(checkpoint.detector).answer)
    return shortcut.lessons(
        network,
        whole_frames=False,
        reliability=way == "reliable",
        without=(Without(operator=BAD),) if way == "without" else (),
    )


def share_of_wrong(lessons: MentoringData, truth: MentoringData) -> float:
    """Of the weight of spoken, known areas, how much lies on states that the clean answers contradict."""
    right = dict(zip(truth.frame_ids, truth.frames, strict=True))
    wrong = whole = 0.0
    for frame_id, item in zip(lessons.frame_ids, lessons.frames, strict=True):
        known = item.spoken & (item.states != UNKNOWN).any(axis=1)
        weights = np.ones(len(known), np.float32) if item.weights is None else item.weights
        true = right[frame_id].states
        contradicted = ((item.states != true) & (item.states != UNKNOWN) & (true != UNKNOWN)).any(axis=1)
        whole += float(weights[known].sum())
        wrong += float(weights[known & contradicted].sum())
    return wrong / whole if whole else 0.0


def _measured(way: str, seed: int, path: Path, dataset: Dataset) -> dict[str, Any]:
    figures = evaluate_predictor(Predictor(load(path).detector), dataset, domain="new")
    return {
        "way": way,
        "seed": seed,
        "map_33": figures.map_33,
        "precision": figures.precision,
        "recall": figures.recall,
        "false_alarms_per_healthy": figures.false_alarms_per_healthy,
    }


def main() -> int:
    """Prints a table, and writes everything as JSON where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps-baseline", type=int, default=600)
    parser.add_argument("--steps", type=int, default=300, help="of each of the four ways")
    parser.add_argument("--size", type=int, default=192, help="side of a part's picture in pixels")
    parser.add_argument("--crop", type=int, default=160, help="side of a crop in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--streams", type=int, default=40, help="for the first part; 0: leave it out")
    parser.add_argument("--answers-only", action="store_true", help="no training")
    given = parser.parse_args()
    torch.set_num_threads(1)
    needed = [
        answers_needed(shared, most, streams=given.streams)
        for shared in (0.2, 0.5, 1.0)
        for most in (100, 200, 400, 600)
        if given.streams
    ]
    for row in needed:
        print(f"shown to all {row['shared']:.0%}: after {row['answers']:.0f} answers apart in {row['apart']:.0%}")
    rows: list[dict[str, Any]] = []
    options = Options(
        seeds=given.seeds,
        steps_baseline=given.steps_baseline,
        steps=given.steps,
        batch=given.batch,
        size=given.size,
        crop=given.crop,
    )
    for seed in range(0 if given.answers_only else options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for row in trial(seed, options, Path(folder)):
                rows.append(row)
                print(json.dumps({name: row[name] for name in row if name != "operators"}), flush=True)
    if given.json is not None:
        document = {
            "command": f"python -m benchmarks.reliability --seeds {options.seeds}"
            f" --steps-baseline {options.steps_baseline} --steps {options.steps} --batch {options.batch}"
            f" --crop {options.crop} --size {options.size} --streams {given.streams}",
            "processor_seconds": round(time.process_time()),
            "machine": machine(),
            "errors": ERRORS,
            "shared": SHARED,
            "apart": needed,
            "rows": rows,
        }
        write_json(given.json, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
