"""`quickfix`: from rejections of one repeated pattern to a mended checkpoint. Parses, calls, prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.quickfix.run import Outcome, QuickFixConfig

HELP = "unlearns one repeated false alarm from a few rejections, in two minutes, and keeps everything else as it is"


def describe(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--parent", type=Path, required=True, help="checkpoint of the model that serves")
    parser.add_argument("--parent-digest", default="", help="its package digest, for the lineage")
    parser.add_argument("--log", type=Path, required=True, help="folder of the mentoring log, or s3://...")
    parser.add_argument("--after", type=int, default=0, help="only feedback with a higher log sequence")
    parser.add_argument("--data", required=True, metavar="KIND:PLACE", help="the original pictures, as for `train`")
    parser.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    parser.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    parser.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.safetensors")
    parser.add_argument("--seconds", type=float, default=120.0, help="of wall time for all of it (default: 120)")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="only rejections of this class")
    parser.add_argument("--recent", type=int, default=40, metavar="N", help="rejections looked at, the newest (40)")
    parser.add_argument("--turn", choices=("all", "mirror", "none"), help="which turns leave a part a part")
    parser.add_argument("--steps", type=int, default=300, help="at most (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--silenced", type=float, default=0.8, metavar="SHARE", help="of kept-back examples to fall silent (0.8)"
    )
    parser.add_argument(
        "--recall-fall", type=float, default=0.01, metavar="SHARE", help="of defects, allowed to be lost (0.01)"
    )
    parser.add_argument("--force", action="store_true", help="write it although it did not pass the check")


def run(options: argparse.Namespace) -> int:
    """Mends; 0 when it was written, 1 when it did not pass the check (nothing is written without --force)."""
    from collections import Counter

    from training.checkpoint import FILE_NAME, load
    from training.cli import display, set_threads
    from training.data.fetching import local_log
    from training.data.sources import load_experiment, parse_source
    from training.quickfix.clicks import read_judged
    from training.quickfix.guard import Limits
    from training.quickfix.learn import FixConfig
    from training.quickfix.run import QuickFixConfig, quick_fix, write

    started = time.monotonic()
    set_threads(options.threads)
    parent = load(options.parent)
    source = parse_source(options.data)
    new = parse_source(options.new) if options.new else None
    original = load_experiment(source, options.experiment, level=options.level, new=new).train
    config = QuickFixConfig(
        seconds=options.seconds,
        recent=options.recent,
        class_name=options.class_name,
        seed=options.seed,
        fix=FixConfig(steps=options.steps),
        limits=Limits(silenced=options.silenced, recall_fall=options.recall_fall),
    )
    config = dataclasses.replace(
        config,
        # Reading the pictures counts as well; what is left may be little, but the check is never left out.
        seconds=max(1.0, options.seconds - (time.monotonic() - started)),
        augment=dataclasses.replace(config.augment, turn=options.turn or source.turn),
    )
    skipped: Counter[str] = Counter()
    judged = read_judged(local_log(options.log), after=options.after, most=config.frames, skipped=skipped)
    with display(options.progress) as show:
        outcome = quick_fix(
            parent,
            judged,
            original,
            config,
            skipped=skipped,
            tell=lambda text, done, total: show(text, done, total, {"stage": text.split(",")[0]}),
        )
    written: Path | None = None
    if not outcome.failures or options.force:
        file = options.parent / FILE_NAME if options.parent.is_dir() else options.parent
        written = write(
            outcome, parent, original, config, options.out, parent_digest=options.parent_digest, parent_file=file
        )
    _print(outcome, config, written, as_json=options.progress == "json")
    for reason in outcome.failures:
        print(f"lineside train: {reason}", file=sys.stderr)
    if outcome.failures:
        print(f"lineside train: {'written all the same' if written else 'nothing was written'}", file=sys.stderr)
    return 1 if outcome.failures else 0


def _print(outcome: Outcome, config: QuickFixConfig, written: Path | None, *, as_json: bool) -> None:
    found, check = outcome.found, outcome.check
    if as_json:
        document: dict[str, Any] = {
            "stage": "done",
            "checkpoint": None if written is None else str(written),
            "pattern": {"examples": len(found.pattern.members), "of": found.rejections, "classes": found.classes},
            "check": dataclasses.asdict(check),
            "failures": list(outcome.failures),
            "skipped": list(outcome.clicks.skipped),
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
        }
        print(json.dumps(document), flush=True)
        return
    kinds = ", ".join(f"{count} {name}" for name, count in found.classes.items())
    before, after = check.before, check.after
    print(f"pattern            {len(found.pattern.members)} of {found.rejections} rejections look alike ({kinds})")
    print(f"like a defect      {found.pattern.mistaken} of {found.pattern.compared} defects of those classes")
    print(f"learned from       {len(found.taught)} examples, {outcome.steps} steps, {outcome.seconds:.0f} s in all")
    print(f"kept-back examples {before.firing} fired, {after.firing} still do ({check.silenced:.0%} silent)")
    print(f"original defects   {before.original_found} found, now {after.original_found}, of {before.original}")
    print(f"confirmed defects  {before.confirmed_found} found, now {after.confirmed_found}, of {before.confirmed}")
    print(f"other false alarms {before.alarms}, now {after.alarms}, on {config.held_out:.0%} of the original pictures")
    for line in outcome.clicks.skipped:
        print(f"left out           {line}")
    if written is not None:
        print(written)
