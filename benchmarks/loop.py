"""The whole loop on real images, by the product's own path: what clicks bring, and what they cost.

    python -m benchmarks.loop --data deeppcb --seeds 2 --json FILE

For each seed, in a process and on a core of its own: train the baseline on the original domain, package it, start a
station, stream the new domain's mentoring pictures and their healthy ones to it by gRPC, answer every detection through
the feedback socket from ground truth, train the candidate from the log, package it, swap it under load, measure both
on both domains. Beside them `full`: the same training with the new domain annotated completely by hand, no clicks.

The baseline's training sees only the original domain; the operator only what the station shows; the figures are over
pictures that neither has seen.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lineside.reasons import ContractError
from loop.display import Advance, Display, JsonDisplay, open_display
from loop.figures import (
    digest_of_folder,
    gap_closed,
    loop_figures,
    machine,
    mean_of,
    model_figures,
    operator_words,
    write_json,
)
from loop.table import counts, number, table
from training.simulation.judging import Character, Habit, Pace

DATA = ("deeppcb", "magnetic_tile", "synthetic")
MODELS = ("baseline", "candidate", "full")
RESULT_NAME = "result.json"
SHEET_PARTS = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of the loop, for one seed."""

    data: str
    experiment: str
    head: str
    seed: int
    recipe: str
    character: Character
    steps: Mapping[str, int]


def run_seed(job: Job, out: Path, display: Display) -> dict[str, Any]:
    """Runs the loop once; writes pictures into `out`.

    Returns:
        The seed's figures, as in the JSON under `per_seed`.
    """
    from loop.answers import PackageAnswers
    from loop.pictures import before_and_after, first_of_both_kinds
    from loop.run import Loop, Plan, in_memory
    from training.data.sources import load_experiment, parse_source

    started = time.monotonic()
    source = parse_source(job.data)
    with display.step("Read the pictures"):
        experiment = in_memory(load_experiment(source, job.experiment))
    plan = Plan(
        source=source, head=job.head, seed=job.seed, recipe=job.recipe, steps=job.steps, character=job.character
    )
    with Loop(plan, experiment, out, display) as loop:
        baseline = loop.train("baseline", title="Train the baseline")
        old = loop.package(baseline, "1.0.0", title="Package the baseline")
        loop.start_station(name="benchmark")
        loop.deploy(old)
        mentoring = loop.mentor(title="Stream and click")
        candidate = loop.train(job.recipe, parent=old, parent_checkpoint=baseline, title="Train the candidate")
        new = loop.package(candidate, "1.1.0", title="Package the candidate")
        swap = loop.swap(old, new, title="Swap under load")
        full_weights = loop.train("full", parent=old, parent_checkpoint=baseline, title="Train with full annotation")
        full = loop.package(full_weights, "1.2.0", title="Package full annotation")
        packages = dict(zip(MODELS, (old, new, full), strict=True))
        figures = {name: loop.evaluate(item, title=f"Evaluate {name}") for name, item in packages.items()}
        samples = first_of_both_kinds(experiment.eval_new, SHEET_PARTS)
        answers = {}
        for name in ("baseline", "candidate"):
            with PackageAnswers(packages[name]) as model:
                answers[f"{name}, new domain"] = [model.answer(sample.picture.read()).deployed for sample in samples]
        before_and_after(out / "before_and_after.png", samples, answers)
    models = {name: model_figures(pair) for name, pair in figures.items()}
    return {
        "seed": job.seed,
        **loop_figures(mentoring, swap),
        **models,
        "gap_closed": gap_closed(models),
        "classes": {
            name: {entry.domain: [dataclasses.asdict(item) for item in entry.classes] for entry in pair}
            for name, pair in figures.items()
        },
        "images": {entry.domain: [entry.images, entry.healthy_images] for entry in figures["baseline"]},
        "seconds": round(time.monotonic() - started, 1),
    }


def summary(per_seed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of everything the table shows."""
    names = ("frames_sent", "frames_answered", "frames_lost", "clicks", "operator_seconds", *MODELS, "gap_closed")
    return mean_of([{name: seed[name] for name in names} for seed in per_seed])


def report(result: Mapping[str, Any]) -> str:
    """Table, counts and what they are, for a terminal and a file."""
    pace = Pace(**result["operator"]["seconds"])
    lines = [
        table(
            {name: result[name] for name in MODELS},
            title=f"{result['data']}, experiment {result['experiment']}, head {result['head']},"
            f" mean of seeds {', '.join(str(seed['seed']) for seed in result['per_seed'])}",
        ),
        "",
        counts(
            {name: result[name] for name in ("frames_sent", "frames_answered", "frames_lost", "clicks")}
            | {"operator_seconds": round(result["operator_seconds"])}
        ),
        f"(an operator with the habit {result['operator']['habit']!r}: {pace})",
        f"gap closed: {number(result['gap_closed'])} of the way from baseline to full annotation, in new-domain mAP",
        "by seed (new mAP .33 of baseline, candidate, full): "
        + "; ".join(", ".join(number(seed[name]["new_map"]) for name in MODELS) for seed in result["per_seed"]),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0: done, 1: a run failed, 2: called wrongly."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.seed is not None:
            return _child(parsed)
        return _parent(parsed, list(sys.argv[1:] if arguments is None else arguments))
    except (ContractError, OSError, ValueError) as error:
        print(f"benchmarks.loop: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, metavar="KIND[:FOLDER]", help=f"one of {', '.join(DATA)}")
    parser.add_argument("--experiment", default="", help="of the data's splits.json (default: the kind's usual one)")
    parser.add_argument("--head", choices=("anchors", "cells"), default="anchors")
    parser.add_argument("--seeds", type=int, default=2, help="how many, from 0 (default: %(default)s)")
    parser.add_argument("--recipe", default="recommended", help="of the candidate (default: %(default)s)")
    parser.add_argument(
        "--operator", choices=[habit.value for habit in Habit], default="answers", help="default: %(default)s"
    )
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of the operator's answers that are wrong")
    parser.add_argument("--indecision", type=float, default=0.0, help="share of answers that are 'unsure'")
    for name, value in dataclasses.asdict(Pace()).items():
        parser.add_argument(f"--seconds-{name}", type=float, default=value, help="operator time (default: %(default)s)")
    parser.add_argument(
        "--steps", type=_steps, default={}, metavar="RECIPE=N,...", help="default: the recipes' own numbers of steps"
    )
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep table, pictures, packages and logs here")
    parser.add_argument("--parallel", type=int, metavar="N", help="runs at a time (default: one for each core)")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    return parser


def _steps(text: str) -> dict[str, int]:
    try:
        return {name: int(value) for name, value in (item.split("=") for item in text.split(",") if item)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected RECIPE=N,RECIPE=N") from None


def _job(parsed: argparse.Namespace, seed: int) -> Job:
    from training.data.sources import DEFAULT_EXPERIMENT, parse_source

    kind = parse_source(parsed.data).kind
    if kind not in DATA:
        raise ValueError(f"data is {parsed.data!r}, expected one of {', '.join(DATA)}")
    pace = Pace(**{name: getattr(parsed, f"seconds_{name}") for name in dataclasses.asdict(Pace())})
    return Job(
        data=parsed.data,
        experiment=parsed.experiment or DEFAULT_EXPERIMENT[kind],
        head=parsed.head,
        seed=seed,
        recipe=parsed.recipe,
        character=Character(
            habit=Habit(parsed.operator), error_rate=parsed.error_rate, indecision=parsed.indecision, pace=pace
        ),
        steps=parsed.steps,
    )


def _child(parsed: argparse.Namespace) -> int:
    """One seed, told to the parent as JSON lines."""
    import torch

    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    torch.set_num_threads(1)
    result = run_seed(_job(parsed, parsed.seed), parsed.out, JsonDisplay(sys.stdout))
    write_json(parsed.out / RESULT_NAME, result)
    return 0


def _parent(parsed: argparse.Namespace, arguments: list[str]) -> int:
    """All seeds in processes of their own, as many at a time as there are cores."""
    if parsed.seeds < 1:
        raise ValueError(f"--seeds is {parsed.seeds}, expected at least 1")
    job = _job(parsed, 0)
    _check_data(job)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        out = parsed.out
        if out is None:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lineside-loop-")))
        elif out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty; name another folder with --out")
        facts = _facts(job, arguments)
        with open_display() as display:
            per_seed = _run_all(parsed, arguments, out, display)
        if len(per_seed) < parsed.seeds:
            return 1
        result = {**facts, **summary(per_seed), "per_seed": per_seed, "seconds": round(time.monotonic() - started, 1)}
        write_json(parsed.json, result)
        text = report(result)
        (out / "table.txt").write_text(text + "\n", encoding="utf-8")
        print(f"\n{text}\n\nfigures   {parsed.json}")
        if parsed.out is not None:
            print(f"table     {out / 'table.txt'}")
            for seed in range(parsed.seeds):
                print(f"pictures  {out / f'seed{seed}' / 'before_and_after.png'}")
        print(f"it took   {result['seconds']:.0f} s")
    return 0


def _check_data(job: Job) -> None:
    """Reads the lists, not the pictures: data that is not what it claims is told before anything is started."""
    from training.data.sources import load_experiment, parse_source

    source = parse_source(job.data)
    if source.kind != "synthetic":
        load_experiment(source, job.experiment)


def _facts(job: Job, arguments: list[str]) -> dict[str, Any]:
    from training.data.sources import parse_source

    source = parse_source(job.data)
    return {
        "what": "mAP: mean over classes at IoU 0.33 (_50: at 0.5); precision, recall, false_alarms_per_healthy: new"
        " domain, detections of score 0.5 or more, IoU 0.33; full: the new domain annotated by hand, no clicks",
        "command": " ".join(["python -m benchmarks.loop", *arguments]),
        "data": source.kind,
        "data_digest": "" if source.kind == "synthetic" else digest_of_folder(source.folder),
        "experiment": job.experiment,
        "head": job.head,
        "recipe": job.recipe,
        "operator": operator_words(job.character),
        "machine": machine(),
    }


def _run_all(parsed: argparse.Namespace, arguments: list[str], out: Path, display: Display) -> list[dict[str, Any]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    room = threading.Semaphore(max(1, parsed.parallel or cores))
    results: dict[int, dict[str, Any]] = {}

    def run(seed: int) -> None:
        folder = out / f"seed{seed}"
        folder.mkdir(parents=True)
        with room, open(folder / "errors.log", "wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.loop", *arguments, "--seed", str(seed), "--out", str(folder)],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            _show(child, display, f"seed {seed}")
            code = child.wait()
        if code == 0:
            results[seed] = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        else:
            tail = (folder / "errors.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            display.say(f"seed {seed} ended with exit code {code}:\n{tail}")

    threads = [threading.Thread(target=run, args=(seed,), name=f"seed {seed}") for seed in range(parsed.seeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[seed] for seed in sorted(results)]


def _show(child: subprocess.Popen[bytes], display: Display, name: str) -> None:
    """Passes a child's progress on to the display, step by step, until it closes its output."""
    assert child.stdout is not None
    with contextlib.ExitStack() as stack, child.stdout as lines:
        title, advance, step = "", None, stack.enter_context(contextlib.ExitStack())
        for line in lines:
            try:
                told: dict[str, Any] = json.loads(line)
            except json.JSONDecodeError:
                continue  # a library printed something
            if "say" in told:
                display.say(f"{name}: {told['say']}")
                continue
            if told.get("over"):
                step.close()
                title = ""
                continue
            if told["step"] != title:
                step.close()
                title = told["step"]
                advance = step.enter_context(display.step(f"{name}: {title}"))
            if advance is not None:
                _pass_on(advance, told)


def _pass_on(advance: Advance, told: Mapping[str, Any]) -> None:
    advance(int(told["done"]), int(told["total"]), str(told["words"]))


if __name__ == "__main__":
    sys.exit(main())
