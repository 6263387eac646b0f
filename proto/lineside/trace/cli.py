"""`lineside trace model|click|box`: parses, calls one function, prints."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lineside.reasons import ContractError
from lineside.trace.lineage import Click, ancestry, choose, clicks_in, find_click, known_models, learned_by, uses_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0: it did its job, 2: it was called wrongly or given what it cannot use."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ModuleNotFoundError as error:
        print(
            f"lineside trace: {error.name} is not installed here; install it with: pip install 'lineside[edge]'",
            file=sys.stderr,
        )
    except (ContractError, OSError, ValueError, sqlite3.Error) as error:
        print(f"lineside trace: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside trace", description="From a model to the clicks it learned from, and from a click to its models."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--packages",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a package, or a folder of packages (a station's: DATA_DIR/models/packages); again for more",
    )
    common.add_argument(
        "--log", type=Path, action="append", required=True, metavar="LOG", help="folder of a log; again for more"
    )
    common.add_argument("--json", action="store_true", help="one JSON document instead of a table")

    model = commands.add_parser("model", parents=[common], help="every click a model learned from")
    model.add_argument("model", metavar="MODEL", help="digest or its beginning, NAME, or NAME-VERSION")
    model.set_defaults(run=_model)

    click = commands.add_parser("click", parents=[common], help="every model that learned from a click")
    click.add_argument("click", metavar="CLICK", help="its key, or STATION:SEQUENCE")
    click.set_defaults(run=_click)

    box = commands.add_parser("box", help="why this box? The judged examples that look most like a detection")
    box.add_argument("package", type=Path, metavar="PACKAGE", help="folder of the model that is to be explained")
    box.add_argument("detection", metavar="DETECTION", help="id of a detection in the first log: FRAME/NUMBER")
    box.add_argument("--log", type=Path, action="append", required=True, metavar="LOG", help="again for more examples")
    box.add_argument("--most", type=int, default=6, metavar="N", help="examples (default: %(default)s)")
    box.add_argument("--picture", type=Path, metavar="FILE", help="write them as one PNG")
    box.set_defaults(run=_box)
    return parser


def _model(options: argparse.Namespace) -> int:
    models = known_models(options.packages, options.log)
    line, unknown = ancestry(choose(models, options.model), models)
    clicks = clicks_in(options.log)
    learned = [learned_by(model, clicks) for model in line]
    if options.json:
        document = {
            "models": [
                {
                    "digest": item.model.digest,
                    "name": item.model.name,
                    "version": item.model.version,
                    "recipe": item.model.recipe,
                    "exact": item.exact,
                    "clicks": [_click_json(click) for click in item.clicks],
                    "elsewhere": dict(item.elsewhere),
                }
                for item in learned
            ],
            "unknown_parent": unknown,
        }
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    for number, item in enumerate(learned):
        began = "" if number == 0 else "which began with the weights of "
        print(f"{began}{item.model.name}-{item.model.version} {item.model.digest[7:19]}, recipe {item.model.recipe}")
        if not item.model.taught:
            print("  learned from no clicks by itself")
            continue
        how = "learned from" if item.exact else "learned from some of (its package names the range only)"
        print(f"  {how} {len(item.clicks)} clicks of these logs")
        for click in item.clicks:
            print(f"  {_click_line(click)}")
        for station, numbers in item.elsewhere.items():
            print(f"  not in these logs: {station or 'a station that is not named'}, log sequences {numbers}")
    if unknown:
        print(f"which began with the weights of {unknown[7:19]}, a package that is not here")
    return 0


def _click(options: argparse.Namespace) -> int:
    models = known_models(options.packages, options.log)
    click = find_click(clicks_in(options.log), options.click)
    uses = uses_of(click, models)
    if options.json:
        document = {
            "click": _click_json(click),
            "models": [
                {
                    "digest": use.model.digest,
                    "name": use.model.name,
                    "version": use.model.version,
                    "through": use.through.digest,
                    "exact": use.exact,
                }
                for use in uses
            ],
        }
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    print(_click_line(click))
    for use in uses:
        through = "" if use.model == use.through else f", through {use.through.name}-{use.through.version}"
        sure = "" if use.exact else " (within its range; the package names no more)"
        print(f"  {use.model.name}-{use.model.version} {use.model.digest[7:19]}{through}{sure}")
    if not uses:
        print(f"  none of the {len(models)} models here learned from it")
    return 0


def _box(options: argparse.Namespace) -> int:
    # The station's own runtime gives the features; the contract imports no part of the product.
    why = importlib.import_module("edge.models.why")
    found = why.explain(options.package, options.detection, options.log, most=options.most)
    for line in found.lines():
        print(line)
    if options.picture is not None:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_bytes(why.picture_of(found))
        print(options.picture)
    return 0


def _click_line(click: Click) -> str:
    event = click.event
    when = dt.datetime.fromtimestamp(event.received_unix_ns / 1e9, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    what = event.gesture.name if event.class_name is None else f"{event.gesture.name} {event.class_name}"
    about = event.detection_id or event.frame_id
    return f"{click.station}:{event.log_sequence}  {when}  {event.operator}  {what}  {about}"


def _click_json(click: Click) -> dict[str, Any]:
    event = click.event
    return {
        "station": click.station,
        "log_sequence": event.log_sequence,
        "key": event.key,
        "operator": event.operator,
        "gesture": event.gesture.name,
        "class_name": event.class_name,
        "frame_id": event.frame_id,
        "detection_id": event.detection_id,
        "part_id": click.part_id,
        "received_unix_ns": event.received_unix_ns,
        "judged_model": click.model_digest,
    }
