"""Which detections are worth an operator's click: selection policies on a replayed stream of the synthetic line.

    python -m benchmarks.selection --json FILE
    python -m benchmarks.selection --quick

A baseline of the line before its light changed looks at a stream of parts after it. Each policy, as the station's own
`Selector` carries it out, puts detections to a simulated operator without errors until his time is used up; the clicks
are taught (recipe `transfer`, few steps), and the new model is measured on other parts of the new light. `random` asks
about what was raised, each detection with the same chance.

The figure is false alarms per healthy part where the new model finds as many defects as the baseline did at its own
thresholds: a policy that made the model blind would otherwise win. Beside it the same at the deployed thresholds, and
how many of random's clicks a policy needs for what random reaches with all of them, by straight lines between the
numbers of clicks that were tried.

An audit of a fixed share of all parts is searched whole, out of the same time: what it says of the baseline's recall,
with its interval, stands beside what is true of the stream.

One baseline for all seeds; a seed is another stream of parts, other draws and another course of the training. Parts are
small (128 pixels) and trainings short, so the figures compare policies and say nothing about how good a model gets.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.selection_stream import Answered, Part, Stream, answered, lessons_of
from edge.mentoring.ask_settings import (
    AnyAskSettings,
    AskingSettings,
    BalanceAskSettings,
    BandAskSettings,
    NoveltyAskSettings,
)
from lineside.boxes import as_boxes, iou
from lineside.replay.figures import wilson
from loop.figures import machine, write_json
from training.checkpoint import load
from training.config import TrainConfig
from training.data.sample import Dataset
from training.data.sources import Source
from training.data.synthetic import LineCounts, load_experiment
from training.evaluate.predictor import Predictor
from training.loop import train
from training.models.detector import Detector
from training.recipes import recipe_named
from training.run import TrainRequest, network_for

# What a station asks by default is `any_detection`: no policy tried here has been shown to need fewer clicks.
POLICIES: Mapping[str, AskingSettings] = {
    "random": AskingSettings(policies=(AnyAskSettings(share=0.5),)),
    "mixed": AskingSettings(policies=(NoveltyAskSettings(), BandAskSettings(above=0.2, below=0.1))),
    "band": AskingSettings(policies=(BandAskSettings(above=0.3, below=0.1),)),
    "novelty": AskingSettings(policies=(NoveltyAskSettings(),)),
    "balance": AskingSettings(policies=(BalanceAskSettings(),)),
}
MEETS = 0.33
AUDIT = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of one run of the benchmark."""

    seeds: int
    policies: tuple[str, ...]
    clicks: tuple[int, ...]
    stream: int
    evaluation: int
    steps_baseline: int
    steps: int
    batch: int = 8
    size: int = 128
    crop: int = 96
    threshold: float = 0.5
    """Of every class, as deployed."""


def run(options: Options, folder: Path) -> list[dict[str, Any]]:
    """One row a seed, policy and number of clicks; the baseline's rows have no clicks."""
    counts = LineCounts(train=240, evaluation=2, mentoring=2)
    original = load_experiment(seed=0, counts=counts, size=options.size).train
    network = network_for(
        original,
        TrainRequest(recipe="baseline", source=Source(kind="synthetic", place="0"), out=folder, size=options.size),
    )

    def config(recipe: str, steps: int, seed: int) -> TrainConfig:
        plain = recipe_named(recipe)(network)
        crop = dataclasses.replace(plain.crop, side=options.crop)
        return dataclasses.replace(plain, seed=seed, steps=steps, batch=options.batch, crop=crop)

    def predictor_of(detector: Detector) -> Predictor:
        return Predictor(detector, dict.fromkeys(original.classes, options.threshold))

    parent = load(train(config("baseline", options.steps_baseline, 0), original, None, folder / "baseline"))
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        line = load_experiment(
            seed=seed + 1,
            counts=LineCounts(train=2, evaluation=options.evaluation, mentoring=options.stream),
            size=options.size,
        )
        stream = Stream.of(predictor_of(parent.detector), line.mentoring, seed=seed)
        before = measured(predictor_of(parent.detector), line.eval_new, None)
        rows.append({"policy": "baseline", "seed": seed, "clicks": 0, **before})
        for policy in options.policies:
            everything = answered(stream, POLICIES[policy], seed=seed, audit=AUDIT, clicks=max(options.clicks))
            for clicks in options.clicks:
                said = everything.first(clicks)
                made = train(
                    config("transfer", options.steps, seed),
                    original,
                    lessons_of(stream, said, network),
                    folder / f"{policy}-{clicks}-{seed}",
                    parent=parent,
                )
                model = load(made)
                found = measured(predictor_of(model.detector), line.eval_new, before["recall"])
                rows.append({"policy": policy, "seed": seed, "clicks": clicks, **found, **_audited(stream, said)})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def measured(predictor: Predictor, dataset: Dataset, recall: float | None) -> dict[str, float]:
    """Figures on a set: at the deployed thresholds, and false alarms where recall is the one given (None: its own)."""
    scores: list[float] = []
    alarms: list[float] = []
    raised = 0
    healthy = 0
    for sample in dataset:
        answer = predictor.answer(sample.picture.read())
        if sample.healthy:
            healthy += 1
            alarms += answer.found.scores.tolist()
            raised += len(answer.deployed)
        for box, kind in zip(sample.boxes, sample.classes, strict=True):
            own = answer.found.classes == kind
            near = iou(answer.found.boxes[own], as_boxes([box]))[:, 0] >= MEETS if own.any() else np.zeros(0, bool)
            scores.append(float(answer.found.scores[own][near].max(initial=0.0)))
    threshold = float(predictor.thresholds.mean())
    own_recall = float(np.mean(np.array(scores) >= threshold))
    wanted = own_recall if recall is None else recall
    limit = sorted(scores, reverse=True)[max(0, round(wanted * len(scores)) - 1)] if wanted > 0 else 1.0
    return {
        "false_alarms": float(np.sum(np.array(alarms) >= max(limit, 1e-6)) / healthy),
        "deployed_false_alarms": raised / healthy,
        "recall": own_recall,
    }


def _audited(stream: Stream, said: Answered) -> dict[str, float]:
    """What the searched frames say of the baseline's recall on this stream, and what is true of it."""

    def counts(parts: Sequence[Part]) -> tuple[int, int]:
        defects = [found for part in parts for found in part.found_defects]
        return sum(defects), len(defects)

    found, there = counts([part for part in stream.parts if part.frame_id in said.searched])
    low, high = wilson(found / there, there) if there else (0.0, 1.0)
    true_found, true_there = counts(stream.parts)
    return {
        "searched": len(said.searched),
        "recall_low": low,
        "recall_high": high,
        "true_recall": true_found / true_there,
    }


def needed(rows: Sequence[Mapping[str, Any]], policy: str) -> dict[str, float | None]:
    """Clicks a policy needs for random's false alarms at all clicks, from the means over seeds; None: not reached."""

    def curve(name: str) -> tuple[list[int], list[float]]:
        by: dict[int, list[float]] = {0: [row["false_alarms"] for row in rows if row["policy"] == "baseline"]}
        for row in rows:
            if row["policy"] == name:
                by.setdefault(row["clicks"], []).append(row["false_alarms"])
        return sorted(by), [float(np.mean(by[clicks])) for clicks in sorted(by)]

    clicks, goal = curve("random")[0][-1], curve("random")[1][-1]
    at, values = curve(policy)
    reached: float | None = None
    for place in range(1, len(at)):
        if values[place] <= goal:
            fall = values[place - 1] - values[place]
            share = 1.0 if fall <= 0 else min(1.0, (values[place - 1] - goal) / fall)
            reached = at[place - 1] + share * (at[place] - at[place - 1])
            break
    return {
        "clicks": reached,
        "of_random": None if reached is None else reached / clicks,
        "false_alarms": values[-1],
        "goal": goal,
        "baseline": values[0],
    }


def main() -> int:
    """Prints a line a training and a table, and writes everything as JSON where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policies", nargs="+", choices=tuple(POLICIES), default=["random", "mixed", "balance"])
    parser.add_argument("--clicks", type=int, nargs="+", default=[60, 120, 200], help="the last is the whole budget")
    parser.add_argument("--stream", type=int, default=300, help="parts")
    parser.add_argument("--steps-baseline", type=int, default=600)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--quick", action="store_true", help="a minute; says nothing about the policies")
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = Options(
        seeds=1 if given.quick else given.seeds,
        policies=tuple(given.policies),
        clicks=(10, 20) if given.quick else tuple(sorted(given.clicks)),
        stream=40 if given.quick else given.stream,
        evaluation=10 if given.quick else 120,
        steps_baseline=40 if given.quick else given.steps_baseline,
        steps=4 if given.quick else given.steps,
        # So short a baseline is sure of nothing.
        threshold=0.05 if given.quick else 0.5,
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = run(options, Path(folder))
    summary = {policy: needed(rows, policy) for policy in options.policies}
    for policy, values in summary.items():
        print(policy, json.dumps(values))
    if given.json is not None:
        document = {
            "command": f"python -m benchmarks.selection --seeds {options.seeds} --policies {' '.join(options.policies)}"
            f" --clicks {' '.join(map(str, options.clicks))} --stream {options.stream}"
            f" --steps-baseline {options.steps_baseline} --steps {options.steps}",
            "machine": machine(),
            "processor_seconds": round(time.process_time()),
            "policies": {name: POLICIES[name].model_dump(mode="json") for name in options.policies},
            "needed": summary,
            "rows": rows,
        }
        write_json(given.json, document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
