"""`lineside train` and `python -m training`: parses, calls one function, prints. Decides nothing.

The first word may be left out where it is `train`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.reasons import ContractError

if TYPE_CHECKING:
    from training.data.sample import Experiment

PARTS: Mapping[str, str] = {
    "estimate": "training.estimate.cli",
    "features": "training.evaluate.domains",
    "quickfix": "training.quickfix.cli",
    "rescue": "training.rescue",
    "table1": "training.table1.cli",
    "unlearn": "training.unlearn",
}
"""Commands that live with what they do: name to module. Each has `describe(parser)`, which takes the parser of its own
command, `HELP`, one line, and `run(options) -> int`; none imports torch before it is called."""
COMMANDS = ("train", "calibrate", "evaluate", "report", "recipes", *PARTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 when it did its job, 2 when it was called wrongly or given what it cannot use."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] not in COMMANDS and given[0] not in ("-h", "--help"):
        given = ["train", *given]
    options = _parser().parse_args(given)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    try:
        return int(options.run(options))
    except (ContractError, FileNotFoundError, ValueError) as error:
        print(f"lineside train: {_speaker()}{' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lineside train: interrupted; go on later with --resume if --save-every was given", file=sys.stderr)
        return 130


def _speaker() -> str:
    """Who of several processes speaks: each machine may have troubles of its own."""
    rank, count = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "1")
    return f"process {rank} of {count}: " if rank is not None and count != "1" else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineside train", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS or all)")
    common.add_argument("--progress", choices=("bar", "json", "none"), default="bar", help="json: one object a line")
    common.add_argument("--verbose", action="store_true", help="say what happens")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data",
        required=True,
        metavar="KIND:PLACE",
        help="deeppcb, magnetic_tile, synthetic, coco or yolo; PLACE may be s3://...",
    )
    data.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    data.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    data.add_argument(
        "--part-ids",
        choices=("piece", "kind"),
        help="what part ids name: a piece, never to be taught and judged by, or a kind of part that comes again",
    )
    data.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")

    compute = argparse.ArgumentParser(add_help=False)
    compute.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one"
    )

    train = commands.add_parser("train", parents=[common, data, compute], help="data (and clicks) to a checkpoint")
    train.add_argument("--recipe", default="baseline", help="see `recipes`")
    train.add_argument(
        "--log", type=Path, action="append", default=[], help="folder of a mentoring log; again for more, in any order"
    )
    train.add_argument("--after", type=int, default=0, help="only feedback with a higher log sequence")
    train.add_argument("--without-operator", action="append", default=[], metavar="NAME", help="leave his answers out")
    train.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="RULE",
        help="leave answers out: operator=NAME,station=NAME,sequences=FROM-TO,time=FROM/TO, any of them",
    )
    train.add_argument(
        "--two-persons", action="store_true", help="answers that would silence a class count only if two say so"
    )
    train.add_argument("--parent", type=Path, help="checkpoint to start from")
    train.add_argument("--parent-digest", default="", help="package digest of the parent, for the lineage")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint.safetensors and history.jsonl")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--head", choices=("anchors", "cells"), help="default: anchors, or the parent's")
    train.add_argument("--backbone", metavar="NAME", help="small (default), medium, strong, or timm:NAME")
    train.add_argument("--size", type=int, help="side of the network's input in pixels")
    train.add_argument("--steps", type=int, help="default: the recipe's")
    train.add_argument("--batch", type=int, help="pictures a step (default: the recipe's)")
    train.add_argument("--turn", choices=("all", "mirror", "none"), help="which turns leave a part a part")
    train.add_argument("--budget-seconds", type=float, help="wall time of the steps; fewer are done if need be")
    train.add_argument("--save-every", type=int, default=0, metavar="STEPS", help="save a state to resume from")
    train.add_argument("--resume", action="store_true", help="go on from the saved state")
    train.add_argument("--tensorboard", type=Path, metavar="DIR", help="write curves there for TensorBoard")
    train.add_argument(
        "--floor",
        type=float,
        metavar="FALL",
        help="save no weights whose mAP on held-out original parts is more than FALL below the parent's",
    )
    train.add_argument("--watch-every", type=int, metavar="STEPS", help="between two such measurements (default: 100)")
    train.set_defaults(run=_train)

    calibrate = commands.add_parser(
        "calibrate", parents=[common, data, compute], help="choose a checkpoint's thresholds"
    )
    calibrate.add_argument("checkpoint", type=Path)
    calibrate.add_argument("--beta", type=float, default=1.0, help="above 1 recall counts more (default: 1)")
    calibrate.set_defaults(run=_calibrate)

    evaluate = commands.add_parser(
        "evaluate", parents=[common, data, compute], help="figures of a checkpoint on both domains"
    )
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    evaluate.set_defaults(run=_evaluate)

    report = commands.add_parser("report", parents=[common, data], help="one HTML file: figures, curves, pictures")
    report.add_argument("checkpoint", type=Path, nargs="+", help="one, or several to be compared")
    report.add_argument("--out", type=Path, required=True, help="the HTML file")
    report.set_defaults(run=_report)

    recipes = commands.add_parser("recipes", parents=[common], help="what can be trained")
    recipes.set_defaults(run=_recipes)

    for name, module in PARTS.items():
        part = importlib.import_module(module)
        command = commands.add_parser(name, parents=[common], help=part.HELP, description=part.HELP)
        part.describe(command)
        command.set_defaults(run=part.run)
    return parser


def _train(options: argparse.Namespace) -> int:
    from training.data.account import Account, table
    from training.data.sources import parse_source
    from training.data.without import Without, parse_without
    from training.device import choose_device
    from training.loop import Progress, RunOptions
    from training.processes import announced, join, leave
    from training.run import TrainRequest, run_training

    set_threads(options.threads)
    device = choose_device(options.device, local_rank=announced().local_rank)
    processes = join()
    request = TrainRequest(
        recipe=options.recipe,
        source=parse_source(options.data),
        out=options.out,
        new=parse_source(options.new) if options.new else None,
        experiment=options.experiment,
        level=options.level,
        logs=tuple(options.log),
        after=options.after,
        without=(
            *(Without(operator=name) for name in options.without_operator),
            *(parse_without(rule) for rule in options.without),
        ),
        two_persons=options.two_persons,
        part_ids=options.part_ids,
        parent=options.parent,
        parent_digest=options.parent_digest,
        head=options.head,
        backbone=options.backbone,
        size=options.size,
        seed=options.seed,
        steps=options.steps,
        batch=options.batch,
        turn=options.turn,
        floor=options.floor,
        watch_every=options.watch_every,
        options=RunOptions(
            resume=options.resume,
            save_every=options.save_every,
            budget_seconds=options.budget_seconds,
            device=device,
            processes=processes,
            tensorboard=options.tensorboard,
        ),
    )
    with display(options.progress if processes.first else "none") as show:

        def on_progress(progress: Progress) -> None:
            text = f"{options.recipe}: {progress.stage}"
            if progress.stage == "training":
                text += f", loss {progress.loss:.3f}"
            show(text, progress.done, progress.total, dataclasses.asdict(progress))

        def on_account(account: Account) -> None:
            if options.progress == "json":
                print(json.dumps({"stage": "account", "account": account.to_json()}), flush=True)
            elif processes.first:
                print(table(account))

        path = run_training(request, on_progress, on_account)
    leave(processes)
    if not processes.first:
        return 0
    if options.progress == "json":
        print(json.dumps({"stage": "done", "checkpoint": str(path)}), flush=True)
    else:
        print(path)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from training.checkpoint import load_metadata
    from training.device import choose_device
    from training.run import calibrate

    set_threads(options.threads)
    original = _experiment(options).train
    with display(options.progress) as show:
        path = calibrate(
            options.checkpoint,
            original,
            beta=options.beta,
            on_picture=lambda done, total: show("calibrating", done, total, {"stage": "calibrating"}),
            device=choose_device(options.device),
        )
    thresholds = load_metadata(path).thresholds
    if options.progress == "json":
        print(json.dumps({"stage": "done", "thresholds": dict(thresholds)}), flush=True)
    else:
        for name, value in thresholds.items():
            print(f"{name:<20} {value:.2f}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from training.checkpoint import load
    from training.device import choose_device
    from training.evaluate.text import table
    from training.run import evaluate_experiment, keep_figures, write_figures

    set_threads(options.threads)
    checkpoint = load(options.checkpoint)
    experiment = _experiment(options)
    with display(options.progress) as show:
        figures = evaluate_experiment(
            checkpoint,
            experiment,
            lambda done, total: show("evaluating", done, total, {"stage": "evaluating"}),
            device=choose_device(options.device),
        )
    keep_figures(options.checkpoint, figures)
    if options.json:
        write_figures(options.json, figures)
    if options.progress == "json":
        print(json.dumps({"stage": "done", "figures": [entry.to_json() for entry in figures]}), flush=True)
    else:
        print(table(figures, title=f"{experiment.name}"))
    return 0


def _report(options: argparse.Namespace) -> int:
    from training.evaluate.html import write_report

    set_threads(options.threads)
    experiment = _experiment(options)
    with display(options.progress) as show:
        write_report(
            options.out,
            options.checkpoint,
            experiment,
            on_picture=lambda done, total: show("evaluating", done, total, {"stage": "evaluating"}),
        )
    print(options.out)
    return 0


def _recipes(_: argparse.Namespace) -> int:
    from training.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name:<20} {(recipe.__doc__ or '').strip().splitlines()[0]}")
    return 0


def _experiment(options: argparse.Namespace) -> Experiment:
    from training.data.sources import load_experiment, parse_source

    new = parse_source(options.new) if options.new else None
    experiment = load_experiment(parse_source(options.data), options.experiment, level=options.level, new=new)
    return experiment if options.part_ids is None else dataclasses.replace(experiment, part_ids=options.part_ids)


def set_threads(count: int | None) -> None:
    """Processor threads of the network; None leaves what the environment says."""
    if count is None:
        return
    if count < 1:
        raise ValueError(f"threads is {count}, expected at least 1")
    import torch

    torch.set_num_threads(count)


Show = Callable[[str, int, int, Mapping[str, object]], None]
"""Text, pieces done, pieces in all, and everything there is to say."""


@contextlib.contextmanager
def display(kind: str) -> Iterator[Show]:
    """How progress is shown: a bar, one JSON object a line, or not at all."""
    if kind == "bar":
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as bars:
            task = bars.add_task("starting", total=None)
            yield lambda text, done, total, _: bars.update(task, description=text, completed=done, total=total)
        return

    def line(_: str, done: int, total: int, values: Mapping[str, object]) -> None:
        if kind == "json":
            print(json.dumps({"done": done, "total": total, **values}), flush=True)

    yield line
