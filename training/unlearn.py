"""`unlearn`: a model without what some answers taught it, and what moved. Parses, calls, prints.

Trained anew from the model's own parent by the model's own recipe, seed, steps and batch, without the answers named:
what they taught is not weakened but was never there. (Pushing weights away from bad answers would leave a network that
nobody can say the material of.) Both models are then measured on the same evaluation pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.data.account import Account
    from training.evaluate.figures import Figures

HELP = "trains a model anew without an operator's, a shift's or a batch's answers, and says what moved"

MOVED = ("map_33", "precision", "recall", "false_alarms_per_healthy", "escapes")


def describe(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("model", type=Path, help="the checkpoint that learned from the answers")
    parser.add_argument("--parent", type=Path, required=True, help="the checkpoint it was trained from")
    parser.add_argument("--log", type=Path, action="append", required=True, help="folder of a log it was trained on")
    parser.add_argument(
        "--without",
        action="append",
        required=True,
        metavar="RULE",
        help="operator=NAME,station=NAME,sequences=FROM-TO,time=FROM/TO, any of them; again for more",
    )
    parser.add_argument("--data", required=True, metavar="KIND:PLACE", help="the original pictures, as for `train`")
    parser.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    parser.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    parser.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.safetensors and unlearned.json")


def run(options: argparse.Namespace) -> int:
    """Trains and compares; 0 when the new checkpoint was written."""
    from training.checkpoint import load
    from training.cli import display, set_threads
    from training.data.sources import load_experiment, parse_source
    from training.data.without import parse_without
    from training.run import TrainRequest, evaluate_experiment, keep_figures, run_training

    set_threads(options.threads)
    rules = tuple(parse_without(rule) for rule in options.without)
    old = load(options.model)
    training = old.metadata.training
    if training.get("new_labels") != "mentored":
        raise ValueError(f"{options.model} learned from no answers (recipe {old.metadata.recipe}); nothing to unlearn")
    source = parse_source(options.data)
    new = parse_source(options.new) if options.new else None
    request = TrainRequest(
        recipe=old.metadata.recipe,
        source=source,
        out=options.out,
        new=new,
        experiment=options.experiment,
        level=options.level,
        logs=tuple(options.log),
        without=rules,
        parent=options.parent,
        seed=int(training["seed"]),
        steps=int(training["steps"]),
        batch=int(training["batch"]),
    )
    accounts: list[Account] = []
    with display(options.progress) as show:
        path = run_training(
            request,
            lambda progress: show("unlearning", progress.done, progress.total, dataclasses.asdict(progress)),
            accounts.append,
        )
        experiment = load_experiment(source, options.experiment, level=options.level, new=new)
        figures = {
            name: evaluate_experiment(
                checkpoint, experiment, lambda done, total: show("evaluating", done, total, {"stage": "evaluating"})
            )
            for name, checkpoint in (("with", old), ("without", load(path)))
        }
    keep_figures(path, figures["without"])
    report = moved(figures["with"], figures["without"], accounts[-1] if accounts else None)
    (options.out / "unlearned.json").write_text(json.dumps({"without": options.without, **report}, indent=1) + "\n")
    print(text(report, [rule.reason for rule in rules]))  # noqa: T201
    print(path)  # noqa: T201
    return 0


def moved(before: tuple[Figures, ...], after: tuple[Figures, ...], account: Account | None) -> dict[str, Any]:
    """What is different without the answers: figures by domain, and what became of all answers.

    Args:
        before: of the model that learned from them, by domain.
        after: of the one that did not.
        account: of the logs as read for the second one.
    """
    now = {entry.domain: entry for entry in after}
    domains = {
        entry.domain: {
            name: {"with": getattr(entry, name), "without": getattr(now[entry.domain], name)} for name in MOVED
        }
        for entry in before
        if entry.domain in now
    }
    answers = {} if account is None else account.answers.to_json()
    return {"figures": domains, "answers": answers}


def text(report: dict[str, Any], rules: list[str]) -> str:
    """The report for a terminal."""
    skipped = report["answers"].get("skipped", {})
    lines = [f"{skipped.get(rule, 0)} answers {rule}" for rule in dict.fromkeys(rules)]
    if report["answers"]:
        lines.append(f"{report['answers']['used']} of {report['answers']['read']} answers are taught now")
    for domain, figures in report["figures"].items():
        for name, values in figures.items():
            one, other = values["with"], values["without"]
            if one is not None and other is not None:
                lines.append(f"{domain:<10} {name:<26} {one:.3f} -> {other:.3f} ({other - one:+.3f})")
    return "\n".join(lines)
