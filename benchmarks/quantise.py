"""What fewer bits cost and gain: mAP before and after on both domains, the worst class, and time as a ratio.

    LINESIDE_DATA=DATA python -m benchmarks.quantise RUNS/recommended-seed0/round1 --json FILE

Takes the folder of a checkpoint that `lineside train train` or `table1` wrote, and the data it was trained on. All
graphs see each picture in turn. Time is processor time of the thread that runs the graph, float and reduced one after
the other on the same picture; the figure is the median of the ratios. Calibration frames are drawn from the training
parts of both domains, never from those that are measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from export.graph import DeployedGraph
from export.package import TOLERANCE
from export.parity import Images, in_onnxruntime, letterbox_input
from export.quantise.choose import choose
from export.quantise.damage import JUDGED, damage_of, table_of, too_much
from export.quantise.fp16 import to_fp16
from export.quantise.int8 import quantisable, with_ranges
from export.quantise.measured import figures_on
from export.quantise.ranges import METHODS, calibrate
from export.to_onnx import to_onnx
from lineside.areas import write_head
from lineside.pixels import Pixels
from lineside.v1 import model_pb2
from training.checkpoint import load
from training.data.sample import Dataset, Experiment
from training.data.sources import load_experiment, parse_source
from training.evaluate.figures import Figures
from training.evaluate.predictor import TOP_K, decode_parameters


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantise", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("--data", default="deeppcb", metavar="KIND[:PLACE]", help="what it learned from (%(default)s)")
    parser.add_argument("--calibration", type=int, default=64, help="frames, half of each domain (%(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="pairs of timed runs (%(default)s)")
    parser.add_argument("--limit", type=int, help="pictures measured of each domain (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the calibration frames' draw")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    detector, metadata = load(given.checkpoint)
    experiment = load_experiment(parse_source(given.data))
    manifest = _manifest(DeployedGraph(detector, top_k=TOP_K), metadata.thresholds)
    graph = to_onnx(DeployedGraph(detector, top_k=TOP_K))
    frames = calibration_frames(experiment, given.calibration, given.seed)
    pictures = [letterbox_input(frame, manifest.input) for frame in frames]
    graphs, notes = variants(graph, manifest, frames, pictures)
    domains = [
        (name, _first(dataset, given.limit))
        for name, dataset in (("original", experiment.eval_original), ("new", experiment.eval_new))
    ]
    measured = figures_on(graphs, manifest, domains, on_picture=_told)
    ratios = {name: time_ratio(graph, made, pictures, given.rounds) for name, made in graphs.items() if name != "fp32"}
    report = {
        "command": f"python -m benchmarks.quantise {given.checkpoint.parent.name}/{given.checkpoint.name}"
        f" --data {parse_source(given.data).kind} --calibration {given.calibration} --seed {given.seed}",
        "recipe": metadata.recipe,
        "data": experiment.name,
        "pictures": {name: len(dataset) for name, dataset in domains},
        "seed": given.seed,
        "machine": machine(),
        "onnxruntime": onnxruntime.__version__,
        "calibration_frames": len(frames),
        "disagreement_on_calibration": notes["disagreement"],
        "sensitivity": notes["sensitivity"],
        "variants": {
            name: _row(measured["fp32"], measured[name], len(graphs[name]), ratios.get(name)) for name in graphs
        },
    }
    for name in graphs:
        row = report["variants"][name]
        print(f"{name}: {json.dumps(row)}")
    print(table_of(measured["fp32"], measured["int8 minmax"]))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def variants(
    graph: bytes, manifest: model_pb2.PackageManifest, frames: Sequence[Pixels], pictures: Sequence[Images]
) -> tuple[dict[str, bytes], dict[str, Mapping[str, float]]]:
    """The graphs to compare, and what was seen without labels while they were made."""
    made = {"fp32": graph, "fp16": to_fp16(graph)}
    ranges = {method: calibrate(graph, pictures, method) for method in METHODS}
    for method in METHODS:
        made[f"int8 {method}"] = with_ranges(graph, ranges[method])
    made["int8 minmax, cpu form"] = with_ranges(graph, ranges["minmax"], form="cpu")
    mixed = choose(graph, manifest, frames, method="minmax", float_layers=min(2, len(quantisable(graph)) - 1))
    made["int8 minmax, two layers in float"] = mixed.graph
    chosen = choose(graph, manifest, frames)
    return made, {"disagreement": chosen.by_method, "sensitivity": mixed.by_layer}


def calibration_frames(experiment: Experiment, count: int, seed: int) -> list[Pixels]:
    """Half from the original training pictures, half from the new domain's mentoring pictures."""
    generator = np.random.default_rng(seed)
    frames: list[Pixels] = []
    for dataset, share in ((experiment.train, count - count // 2), (experiment.mentoring, count // 2)):
        places = generator.choice(len(dataset), min(share, len(dataset)), replace=False)
        frames.extend(dataset[int(place)].picture.read() for place in sorted(places))
    return frames


def time_ratio(before: bytes, after: bytes, pictures: Sequence[Images], rounds: int) -> float:
    """How many times faster the second is: the median over pairs of runs on one thread, its own processor time."""
    pair = [in_onnxruntime(graph) for graph in (before, after)]
    ratios = []
    for number in range(rounds + 5):
        picture = pictures[number % len(pictures)]
        seconds = []
        for infer in pair:
            started = time.thread_time()
            infer(picture)
            seconds.append(time.thread_time() - started)
        ratios.append(seconds[0] / seconds[1])
    return float(np.median(ratios[5:]))


def machine() -> str:
    """Processor and what of it matters for eight bits."""
    flags: set[str] = set()
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            if name.strip() == "flags":
                flags = set(value.split())
    vnni = "with VNNI" if flags & {"avx512_vnni", "avx_vnni"} else "without VNNI"
    return f"{model}, {'AVX2' if 'avx2' in flags else 'no AVX2'}, {vnni}, one thread"


def _row(before: Sequence[Figures], after: Sequence[Figures], size: int, ratio: float | None) -> dict[str, object]:
    damage = damage_of(before, after)
    return {
        "bytes": size,
        "times_faster": None if ratio is None else round(ratio, 2),
        "refused": list(too_much(damage)),
        **{
            f"{figures.domain}_{name}": None if value is None else round(value, 4)
            for figures in after
            for name, value in (
                ("map_33", figures.map_33),
                ("map_50", figures.map_50),
                ("recall", figures.recall),
                ("precision", figures.precision),
            )
        },
        "worst_class_loss": {
            figure: {
                figures.domain: round(max(item.loss(figure) for item in damage if item.domain == figures.domain), 4)
                for figures in after
            }
            for figure in JUDGED
        },
    }


def _manifest(graph: DeployedGraph, thresholds: Mapping[str, float]) -> model_pb2.PackageManifest:
    config = graph.detector.config
    manifest = model_pb2.PackageManifest(
        input=model_pb2.ModelInput(
            width=config.width, height=config.height, channels=config.channels, padding=config.padding
        ),
        classes=[model_pb2.ModelClass(name=name, threshold=thresholds.get(name, 0.5)) for name in config.classes],
        decode=decode_parameters(exclusive_classes=config.exclusive_classes),
        parity=TOLERANCE,
    )
    write_head(graph.detector.head, manifest, top_k=graph.top_k)
    return manifest


def _first(dataset: Dataset, limit: int | None) -> Dataset:
    if limit is None:
        return dataset
    return Dataset(name=dataset.name, classes=dataset.classes, samples=dataset.samples[:limit])


def _told(done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        sys.stderr.write(f"picture {done} of {total}\n")


if __name__ == "__main__":
    sys.exit(main())
