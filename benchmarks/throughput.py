"""What a remedy costs: training steps with and without each, on the same data, side by side in one process.

    python -m benchmarks.throughput --json FILE

Rows take turns: in every round each does a few steps, and is compared with what the plain masked loss took in that very
round, so that a busy machine slows both. A step is everything a training does in one: drawing and cropping the batch,
forward, losses, backward, optimiser, averages. On a processor seconds are of processor time of one thread; on a GPU of
wall time, with the device waited for.

The pictures are the synthetic line's. Networks are untrained and answers are made up from the labels, half confirms,
half rejects: what a step costs does not depend on how good the network is. Backbones are measured with the plain loss.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lineside.assign import assign
from loop.figures import machine, write_json
from training.checkpoint import Checkpoint, Metadata
from training.data.batches import Sampler
from training.data.omnia import with_confident_background
from training.data.prepared import Annotated, Mentored, annotate_all
from training.data.sample import Experiment
from training.data.sources import Source
from training.data.synthetic import LineCounts, load_experiment
from training.device import choose_device
from training.learner import Learner
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.models.config import DetectorConfig
from training.models.detector import Detector
from training.models.presets import PRESETS, USUAL
from training.recipes import recipe_named
from training.run import TrainRequest, network_for

PLAIN = "mentored"
"""The masked loss with 1:1 batches and nothing else: what the others are compared with."""
REMEDIES = ("baseline", PLAIN, "transfer", "omnia", "healthy", "dann", "distil", "teacher", "robust")
AHEAD, PLANNED = 900, 1000
"""Steps are measured from this one on, of so many: a remedy that is heard later is heard by then."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Seconds of one step, by round."""

    name: str
    seconds: tuple[float, ...]

    def ratios(self, plain: Row) -> tuple[float, ...]:
        """To the plain step of the same round.

        Raises:
            ValueError: they had other rounds.
        """
        if len(plain.seconds) != len(self.seconds):
            raise ValueError(f"{self.name} has {len(self.seconds)} rounds, {plain.name} {len(plain.seconds)}")
        return tuple(mine / other for mine, other in zip(self.seconds, plain.seconds, strict=True))

    def to_json(self, plain: Row, pictures: int) -> dict[str, Any]:
        """Plain values; pictures are those of a step."""
        ratios = self.ratios(plain)
        middle = statistics.median(self.seconds)
        return {
            "name": self.name,
            "ratio": round(statistics.median(ratios), 3),
            "ratio_lowest": round(min(ratios), 3),
            "ratio_highest": round(max(ratios), 3),
            "seconds_a_step": round(middle, 4),
            "pictures_a_second": round(pictures / middle, 1),
        }


def take_turns(
    rows: Mapping[str, Callable[[int], None]], *, rounds: int, clock: Callable[[], float], steps: Mapping[str, int]
) -> list[Row]:
    """Lets each row do its steps in every round, the first one of a round another each time.

    Args:
        rows: by name; called with the step's number. Each is called once beforehand, unmeasured.
        rounds: how often.
        clock: seconds.
        steps: of each row in a round.
    """
    names = list(rows)
    for name in names:
        rows[name](0)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            before = clock()
            for step in range(steps[name]):
                rows[name](1 + number * steps[name] + step)
            taken[name].append((clock() - before) / steps[name])
    return [Row(name=name, seconds=tuple(taken[name])) for name in names]


def answered(item: Annotated, config: DetectorConfig, generator: np.random.Generator, *, whole: bool) -> Mentored:
    """A prepared picture as if an operator had confirmed its defects and rejected as many false alarms.

    Args:
        item: the picture with its labels.
        config: of the network.
        generator: draws the false alarms.
        whole: a picture without defects is called healthy.
    """
    head = config.head_for(config.width, config.height)
    states = np.full((head.count, len(config.classes)), UNKNOWN, np.int8)
    spoken = np.zeros(head.count, bool)
    found = assign(head, item.boxes)
    free = np.setdiff1d(np.arange(head.count), np.concatenate([found.areas, found.ignored]))
    rejected = generator.choice(free, max(6, len(found.areas)), replace=False)
    if whole and not len(item.boxes):
        states[:] = ABSENT
    states[rejected] = ABSENT
    states[found.areas] = ABSENT
    states[found.areas, item.classes[found.boxes]] = PRESENT
    spoken[rejected] = spoken[found.areas] = True
    nothing = np.zeros((head.count, 4), np.float32)
    return Mentored(
        pixels=item.pixels, states=states, spoken=spoken, targets=nothing, taught=np.zeros(head.count, bool)
    )


class Steps:
    """One recipe on one network, ready to do steps.

    Args:
        recipe: its name.
        detector: the network's config.
        batch: pictures a step.
        old, new: prepared pictures of both domains.
        device: where.
    """

    def __init__(
        self,
        recipe: str,
        detector: DetectorConfig,
        *,
        batch: int,
        old: Sequence[Annotated],
        new: Sequence[Annotated],
        device: torch.device,
    ) -> None:
        config = dataclasses.replace(recipe_named(recipe)(detector), batch=batch)
        torch.manual_seed(0)
        parent = Checkpoint(Detector(detector).eval(), Metadata(config=detector))
        generator = np.random.default_rng(0)
        frames: Sequence[Mentored] = ()
        if config.new_labels == "mentored":
            frames = [answered(item, detector, generator, whole=config.whole_frames) for item in new]
            if config.omnia:
                frames = with_confident_background(frames, parent.detector, below=config.omnia)
        self._sampler = Sampler(
            detector,
            old,
            frames,
            size=batch,
            seed=0,
            crop=config.crop,
            augment=config.augment,
            healthy_share=config.healthy_share,
            balanced=config.balanced,
        )
        self.learner = Learner(config, parent, device=device)

    def __call__(self, number: int) -> None:
        """Does the step of that number."""
        self.learner.step(self._sampler.batch(number), AHEAD + number % (PLANNED - AHEAD), PLANNED)


def measure(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """All rows, as plain values."""
    device = choose_device(options.device)
    request = TrainRequest(recipe=PLAIN, source=Source(kind="synthetic", place=""), out=Path(), size=options.size)
    detector = network_for(experiment.train, request)
    old, new = annotate_all(experiment.train, detector), annotate_all(experiment.mentoring, detector)

    def made(recipe: str, config: DetectorConfig) -> Steps:
        return Steps(recipe, config, batch=options.batch, old=old, new=new, device=device)

    rows: dict[str, Callable[[int], None]] = {name: made(name, detector) for name in options.recipes}
    steps = dict.fromkeys(rows, options.steps)
    for name in options.backbones:
        rows[f"{PLAIN}, {name} backbone"] = made(PLAIN, dataclasses.replace(detector, backbone=PRESETS[name]))
        # They take long enough for one to say something.
        steps[f"{PLAIN}, {name} backbone"] = 1

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            return time.perf_counter()
        return time.process_time()

    found = take_turns(rows, rounds=options.rounds, clock=clock, steps=steps)
    plain = next(row for row in found if row.name == PLAIN)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "plain": PLAIN,
        "rounds": options.rounds,
        "steps_a_round": options.steps,
        "batch": options.batch,
        "size": options.size,
        "head": detector.head,
        "data": f"synthetic, seed 0, {len(old)} + {len(new)} parts",
        "data_digest": experiment.train.joined(experiment.mentoring).digest(),
        "seconds": "wall time" if gpu else "processor time of one thread",
        "gpu": gpu,
        "machine": machine(),
        "torch": torch.__version__,
        "rows": [row.to_json(plain, options.batch) for row in found],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="What a remedy costs.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="of each row in a round (default: 2)")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step (default: 16)")
    parser.add_argument("--size", type=int, default=256, help="side of the network's input (default: 256)")
    parser.add_argument("--parts", type=int, default=48, help="of each domain (default: 48)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--recipes", nargs="*", default=list(REMEDIES), metavar="NAME", help=f"{PLAIN} among them")
    parser.add_argument("--backbones", nargs="*", default=[name for name in PRESETS if name != USUAL], metavar="NAME")
    options = parser.parse_args(arguments)
    if PLAIN not in options.recipes or min(options.rounds, options.steps) < 1:
        parser.error(f"expected {PLAIN} among the recipes, and at least one round of one step")
    torch.set_num_threads(1)
    counts = LineCounts(train=options.parts, evaluation=2, mentoring=options.parts)
    values = measure(load_experiment(counts=counts), options)
    table = Table(title=f"One training step against that of {PLAIN}, median of {options.rounds} rounds")
    for heading in ("recipe", "ratio", "lowest to highest", "pictures/s"):
        table.add_column(heading, justify="left" if heading == "recipe" else "right")
    for row in values["rows"]:
        spread = f"{row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f}"
        table.add_row(row["name"], f"{row['ratio']:.2f}", spread, f"{row['pictures_a_second']:.1f}")
    Console().print(table)
    if options.json:
        write_json(options.json, values)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
