"""`table1`: the paper's Table 1 on anybody's data. Parses, plans, runs, writes."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.table1.plan import TablePlan

HELP = "every recipe with several seeds: a table with intervals, a report with a recommendation"


def describe(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the table; started again it goes on there")
    parser.add_argument("--small", action="store_true", help="the synthetic line, 20 minutes on two cores")
    what = parser.add_argument_group("what")
    what.add_argument("--data", metavar="KIND:PLACE", help="deeppcb, magnetic_tile, synthetic, coco or yolo")
    what.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    what.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    what.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")
    what.add_argument("--head", choices=("anchors", "cells"), help="default: anchors")
    what.add_argument("--recipes", metavar="A,B,...", help="rows (default: all; see `recipes`)")
    what.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 (default: 3)")
    how = parser.add_argument_group("how long")
    how.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="of wall time for the whole table: all rows get fewer steps by the same factor if need be",
    )
    how.add_argument("--scale", type=float, help="factor of all numbers of steps (default: 1)")
    how.add_argument("--steps", action="append", metavar="RECIPE=N", help="a row's steps, whatever the factor")
    how.add_argument("--parallel", type=int, metavar="N", help="runs at a time (default: one a core, or a GPU)")
    how.add_argument("--size", type=int, help="side of the network's input in pixels")
    how.add_argument("--crop", type=int, help="side of training crops in pixels")
    how.add_argument("--batch", type=int, help="pictures a step")
    who = parser.add_argument_group("the simulated operator")
    who.add_argument("--error-rate", type=float, help="share of wrong answers (default: 0)")
    who.add_argument("--indecision", type=float, help='share of answers that are "unsure" (default: 0)')
    who.add_argument("--fatigue", type=float, help="growth of the error rate in an hour of their time (default: 0)")
    who.add_argument("--draws", action="store_true", default=None, help="draws missed defects instead of tapping them")
    for name, words in (
        ("click", "an answer"),
        ("tap", "a tapped defect"),
        ("draw", "a drawn box"),
        ("search", "a look over a frame"),
    ):
        who.add_argument(f"--{name}-seconds", type=float, metavar="S", help=f"of their time for {words}")


def run(options: argparse.Namespace) -> int:
    """Makes the table; 0 when all of it is there, 1 when runs failed, 130 when it was interrupted."""
    from training.table1.table import make

    if options.threads not in (None, 1):
        raise ValueError("threads: a run of the table has one; say with --parallel how many run at a time")
    wanted = plan_of(options)
    budget = options.budget
    if options.small and budget is None and options.scale is None:
        from training.table1.preset import BUDGET_SECONDS

        budget = BUDGET_SECONDS
    try:
        made = make(
            wanted,
            options.out,
            budget=budget,
            parallel=options.parallel,
            progress=options.progress,
            command=command_of(sys.argv),
        )
    except KeyboardInterrupt:
        print(
            f"interrupted; the same command goes on where it was: what is done stays in {options.out}", file=sys.stderr
        )
        return 130
    if options.progress != "json":
        print(made.text)
    for job, message in made.failures.items():
        print(f"failed: {job.name}: {message}", file=sys.stderr)
    if options.progress != "json":
        print(made.report)
    return 1 if made.failures else 0


def command_of(words: Sequence[str]) -> str:
    """The command as somebody would type it again."""
    program = "lineside train" if Path(words[0]).name == "lineside" else "python -m training"
    given = words[2:] if program == "lineside train" and words[1:2] == ["train"] else words[1:]
    return shlex.join([*program.split(), *given])


def plan_of(options: argparse.Namespace) -> TablePlan:
    """The plan that the options ask for.

    Raises:
        ValueError: an option says what cannot be.
    """
    from training.simulation.judging import Character, Pace
    from training.table1.plan import TablePlan
    from training.table1.preset import small

    changes: dict[str, Any] = {
        name: value
        for name in ("data", "new", "experiment", "level", "head", "seeds", "scale", "size", "crop", "batch")
        if (value := getattr(options, name)) is not None
    }
    if options.recipes is not None:
        changes["recipes"] = tuple(name.strip() for name in options.recipes.split(",") if name.strip())
    if options.steps:
        changes["steps"] = dict(_steps(item) for item in options.steps)
    pace = Pace(
        **{
            name: value
            for name in ("click", "tap", "draw", "search")
            if (value := getattr(options, f"{name}_seconds")) is not None
        }
    )
    habits = {
        name: value
        for name in ("error_rate", "indecision", "fatigue", "draws")
        if (value := getattr(options, name)) is not None
    }
    changes["character"] = Character(**habits, pace=pace)
    if options.small:
        return dataclasses.replace(small(), **changes)
    if "data" not in changes:
        raise ValueError("data is not given; name it with --data KIND:PLACE, or try --small")
    return TablePlan(**changes)


def _steps(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not count.isdigit():
        raise ValueError(f"steps is {text!r}, expected RECIPE=N with a number of steps")
    return name, int(count)
