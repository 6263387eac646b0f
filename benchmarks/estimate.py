"""Do the intervals of `python -m training estimate` cover the truth? Many simulated logs of a line that is known.

    python -m benchmarks.estimate --json FILE

A small detector is trained once on the synthetic line, about a minute on one core, and asked once about parts under
changed light. Each run then draws a stretch of the line from those frames, keeps frames by the station's own selection
policies, lets a simulated operator judge what was kept, estimates, and looks whether the truth lies between the limits.
The truth is that of the line drawn from, not of the parts drawn.

`unweighted` gives the same logs to the same estimator with every probability said to be 1: what leaving the correction
out would do.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.estimate_pool import THRESHOLD, load_pool, make_pool, pool_from, save_pool, tiled
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.selection import wanted
from edge.mentoring.settings import AnyDetectionSettings, AuditSettings, PolicySettings, UncertaintySettings
from training.estimate.judged import JudgedFrame, judged
from training.estimate.parts import factory_words, parts_of
from training.estimate.precision import agreement_of, answered_weights, error_from, precision_of
from training.estimate.recall import recall_of, searches_of
from training.simulation.judging import Character, Habit
from training.simulation.partial_log import (
    Inspected,
    Operators,
    TrueFigures,
    draw_kept,
    record_of,
    true_figures,
)

VARIANTS = 16
"""Independent sets of answers to each frame of the pool."""
HIGHER = 0.7
"""A second threshold, whose precision is estimated from the same answers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How a station keeps frames and how its people answer."""

    name: str
    policies: tuple[PolicySettings, ...]
    operators: Operators
    weighted: bool = True
    """False: the estimator is told that every frame was kept for certain."""
    corrected: str = ""
    """Error rate the estimator takes into account: a number, or `agreement`."""


RIGHT = Character(habit=Habit.COMPLETES)
USUAL: tuple[PolicySettings, ...] = (AnyDetectionSettings(), AuditSettings(share=0.05))
SPARSE: tuple[PolicySettings, ...] = (
    UncertaintySettings(share=0.8, margin=0.15, threshold=THRESHOLD),
    AnyDetectionSettings(share=0.25),
    AuditSettings(share=0.1),
)
WRONG = dataclasses.replace(RIGHT, error_rate=0.05)
SCENARIOS = (
    Scenario(name="all detections, audit 5 %", policies=USUAL, operators=Operators(character=RIGHT)),
    Scenario(name="uncertain ones first, audit 10 %", policies=SPARSE, operators=Operators(character=RIGHT)),
    Scenario(name="the same, unweighted", policies=SPARSE, operators=Operators(character=RIGHT), weighted=False),
    Scenario(
        name="the same, 60 % answered, 5 % unsure",
        policies=SPARSE,
        operators=Operators(character=dataclasses.replace(RIGHT, indecision=0.05), answered=0.6),
    ),
    Scenario(name="5 % wrong answers", policies=USUAL, operators=Operators(character=WRONG)),
    Scenario(name="5 % wrong, allowed for", policies=USUAL, operators=Operators(character=WRONG), corrected="0.05"),
    Scenario(
        name="5 % wrong, a third answered twice",
        policies=USUAL,
        operators=Operators(character=WRONG, second=0.33),
        corrected="agreement",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A pool with how often each frame is met and with which probability each is kept, by scenario."""

    pool: tuple[Inspected, ...]
    meets: NDArray[np.float64]
    truth: TrueFigures
    at_higher: float
    """True precision of the detections from `HIGHER` on."""


def line_of(pool: Sequence[Inspected], *, defective: float) -> Line:
    """A line with this share of defective parts, made of the pool's frames."""
    bad = np.array([bool(frame.truth.classes) for frame in pool])
    if not 0 < bad.sum() < len(pool):
        raise ValueError(f"the pool has {bad.sum()} defective of {len(pool)} frames, expected some of both")
    meets = np.where(bad, defective / bad.sum(), (1 - defective) / (~bad).sum())
    higher = [dataclasses.replace(frame, shown=_from(frame, HIGHER), detections=()) for frame in pool]
    return Line(
        pool=tuple(pool),
        meets=meets,
        truth=true_figures(pool, meets),
        at_higher=true_figures(higher, meets).precision.get(None, math.nan),
    )


def keeps_of(pool: Sequence[Inspected], policies: Sequence[PolicySettings]) -> NDArray[np.float64]:
    """(n,) probability with which the station keeps each frame: the station's own policies, each asked."""
    probabilities = []
    for frame in pool:
        shown = _inspection(frame)
        missed = math.prod(1 - wanted(policy, shown, {}) for policy in policies)
        probabilities.append(1 - missed)
    return np.array(probabilities)


def figures_of(
    frames: Sequence[JudgedFrame], classes: Iterable[str], *, error: float
) -> dict[str, tuple[float, float]]:
    """Limits by figure: (low, high)."""
    weights, searches = answered_weights(frames), searches_of(frames)
    limits: dict[str, tuple[float, float]] = {}
    for name in (None, *classes):
        precision = precision_of(frames, weights, class_name=name, error=error)
        plain = precision_of(frames, weights, class_name=name) if error else precision
        factor = precision.share.point / plain.share.point if plain.share.point > 0 else 1.0
        recall = recall_of(frames, weights, searches, class_name=name, precision_factor=factor, overlooked=error)
        word = name or "all"
        limits[f"precision, {word}"] = (precision.low, precision.high)
        limits[f"recall, {word}"] = (recall.low, recall.high)
    higher = precision_of(frames, weights, keep=lambda item: item.score >= HIGHER, error=error)
    limits[f"precision from {HIGHER:g} on"] = (higher.low, higher.high)
    words = factory_words(parts_of(frames), error=error)
    limits["escapes per 1,000"] = (words.escapes.low, words.escapes.high)
    limits["false rejects per 1,000"] = (words.false_rejects.low, words.false_rejects.high)
    return limits


class Answers:
    """What operators say about the frames of a pool: `VARIANTS` independent sets of answers to each, made when needed.

    A stretch of the line meets a frame of the pool more than once, and each time one of its sets is drawn. That saves
    judging the same frame a thousand times, and differs from it only where answers depend on chance.
    """

    def __init__(self, pool: Sequence[Inspected], operators: Operators, *, seed: int) -> None:
        self._pool = pool
        self._operators = operators
        self._seed = seed
        self._made: dict[tuple[int, int, int], JudgedFrame] = {}

    def log(
        self, parts: int, meets: NDArray[np.float64], keeps: NDArray[np.float64], generator: np.random.Generator
    ) -> list[JudgedFrame]:
        """A stretch of the line, as the estimator reads it from a log."""
        kept = draw_kept(parts, meets, keeps, self._operators, generator)
        chosen = generator.integers(VARIANTS, size=len(kept)).tolist()
        return [
            dataclasses.replace(
                self._judged(place, people, variant), frame_id=f"{number}", part=f"{number}", probability=keeps[place]
            )
            for number, ((place, people), variant) in enumerate(zip(kept, chosen, strict=True))
        ]

    def _judged(self, place: int, people: int, variant: int) -> JudgedFrame:
        key = (place, people, variant)
        if key not in self._made:
            generator = np.random.default_rng([self._seed, *key])
            frame = self._pool[place]
            self._made[key] = judged(record_of(frame, frame.name, 1.0, self._operators, people, generator))
        return self._made[key]


def run_scenario(
    line: Line, scenario: Scenario, *, runs: int, parts: int, seed: int
) -> dict[str, dict[str, float | int]]:
    """Coverage, mean width and the shares of runs whose limits lie beside the truth, by figure."""
    truth = line.truth
    expected = {
        **{f"precision, {name or 'all'}": value for name, value in truth.precision.items()},
        **{f"recall, {name or 'all'}": value for name, value in truth.recall.items()},
        f"precision from {HIGHER:g} on": line.at_higher,
        "escapes per 1,000": 1000 * truth.escapes,
        "false rejects per 1,000": 1000 * truth.false_rejects,
    }
    classes = sorted(name for name in truth.recall if name is not None)
    keeps = keeps_of(line.pool, scenario.policies)
    answers = Answers(line.pool, scenario.operators, seed=seed)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in expected}
    for run in range(runs):
        frames = answers.log(parts, line.meets, keeps, np.random.default_rng([seed, run]))
        if not scenario.weighted:
            frames = [dataclasses.replace(frame, probability=1.0) for frame in frames]
        error = error_from(*agreement_of(frames)) if scenario.corrected == "agreement" else 0.0
        error = float(scenario.corrected) if scenario.corrected not in ("", "agreement") else error
        for name, limits in figures_of(frames, classes, error=error).items():
            if name in results:
                results[name].append(limits)
    rows: dict[str, dict[str, float | int]] = {}
    for name, seen in results.items():
        known = [each for each in seen if not math.isnan(each[0])]
        if not known:
            continue
        low, high = np.array(known).T
        rows[name] = {
            "truth": expected[name],
            "covered": float(np.mean((low <= expected[name]) & (expected[name] <= high))),
            "width": float(np.mean(high - low)),
            "too_low": float(np.mean(high < expected[name])),
            "too_high": float(np.mean(low > expected[name])),
            "runs": len(known),
        }
    return rows


def table_of(name: str, rows: Mapping[str, Mapping[str, float | int]]) -> Table:
    """One scenario's figures."""
    table = Table(title=name, title_justify="left")
    table.add_column("figure")
    for heading in ("truth", "covered", "mean width", "too low", "too high"):
        table.add_column(heading, justify="right")
    for figure, row in rows.items():
        digits = 1 if "1,000" in figure else 3
        table.add_row(
            figure,
            f"{row['truth']:.{digits}f}",
            f"{row['covered']:.1%}",
            f"{row['width']:.{digits}f}",
            f"{row['too_low']:.1%}",
            f"{row['too_high']:.1%}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 1 where an honest scenario covers less than 90 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--pool", type=Path, metavar="FILE", help="keep the detector's answers there, or take them")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="ask this detector instead of training one")
    parser.add_argument("--data", default="synthetic:0", metavar="KIND:PLACE", help="its pictures (the new domain's)")
    parser.add_argument("--tiles", type=int, default=1, metavar="N", help="cut frames into N x N parts (default: 1)")
    parser.add_argument("--runs", type=int, default=200, help="simulated logs per scenario (default: 200)")
    parser.add_argument("--parts", type=int, default=1500, help="inspected in each (default: 1500)")
    parser.add_argument("--defective", type=float, default=0.2, help="share of parts with a defect (default: 0.2)")
    parser.add_argument("--frames", type=int, default=1000, help="of the pool (default: 1000)")
    parser.add_argument("--steps", type=int, default=120, help="of the detector's training (default: 120)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time (default: 1)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    if options.pool and options.pool.is_file():
        pool, made = load_pool(options.pool)
    else:
        if options.checkpoint:
            pool, made = pool_from(options.checkpoint, options.data, frames=options.frames)
        else:
            pool, made = make_pool(seed=options.seed, frames=options.frames, steps=options.steps)
        if options.pool:
            save_pool(options.pool, pool, made)
    line = line_of(tiled(pool, options.tiles), defective=options.defective)
    work = {"runs": options.runs, "parts": options.parts, "seed": options.seed}
    console = Console(width=110)
    results = {}
    with ProcessPoolExecutor(options.jobs) as processes:
        waiting = [(scenario, processes.submit(run_scenario, line, scenario, **work)) for scenario in SCENARIOS]
        for scenario, future in waiting:
            results[scenario.name] = future.result()
            console.print(table_of(scenario.name, results[scenario.name]))
    honest = [item.name for item in SCENARIOS if item.weighted and not item.operators.character.error_rate]
    least = min(row["covered"] for name in honest for row in results[name].values())
    console.print(f"least coverage with right answers: {least:.1%}")
    if options.json:
        from loop.figures import machine, write_json

        values = {
            "command": "python -m benchmarks.estimate",
            **work,
            "defective": options.defective,
            "pool_frames": len(pool),
            "tiles": options.tiles,
            "detector": made,
            "machine": machine(),
            "seconds": round(time.monotonic() - started, 1),
            "least_coverage": least,
            "scenarios": results,
        }
        write_json(options.json, values)
    return 0 if least >= 0.9 else 1


def _from(frame: Inspected, score: float) -> Any:
    from lineside.v1 import inspection_pb2

    return inspection_pb2.InspectionResult(
        frame_id=frame.name, detections=[item for item in frame.shown.detections if item.score >= score]
    )


def _inspection(frame: Inspected) -> Inspection:
    return Inspection(
        frame_id=frame.name,
        station="simulated",
        camera="simulated",
        part_id=frame.name,
        verdict=Verdict.REJECT if frame.rejected else Verdict.PASS,
        verdict_reason="any detection rejects" if frame.rejected else "",
        detections=tuple(
            Detection(
                detection_id=item.detection_id,
                class_index=item.class_index,
                class_name=item.class_name,
                score=item.score,
                box=item.box,
                areas=item.areas,
            )
            for item in frame.detections
        ),
        model=ModelIdentity(name="simulated", version="1.0.0", digest="sha256:" + "5" * 64),
        timings=Timings(),
        width=frame.shown.width,
        height=frame.shown.height,
        captured_unix_ns=0,
        captured_monotonic_ns=0,
        camera_sequence=0,
        mentored=True,
    )


if __name__ == "__main__":
    sys.exit(main())
