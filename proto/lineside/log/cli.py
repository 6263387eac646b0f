"""`lineside log ...`: parses, calls one function, prints."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from lineside.log.pseudonyms import KEY_NAME, Rename, plain, pseudonymiser, read_key
from lineside.reasons import ContractError

FORMATS = ("coco", "yolo", "labelstudio", "cvat")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0: it did its job, 2: it was called wrongly or given what it cannot use."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ModuleNotFoundError as error:
        print(
            f"lineside log: {error.name} is not installed here; install it with: pip install 'lineside[log]'",
            file=sys.stderr,
        )
    except (ContractError, OSError, ValueError, sqlite3.Error) as error:
        print(f"lineside log: {' '.join(str(error).split())}", file=sys.stderr)
    except KeyboardInterrupt:
        print("lineside log: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 2


def add_operators(parser: argparse.ArgumentParser) -> None:
    """How operators are called in what leaves the station."""
    parser.add_argument(
        "--operators",
        choices=("pseudonym", "plain"),
        default="pseudonym",
        help="pseudonym (default): a keyed hash of the name; plain: the name",
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help=f"of the pseudonyms (default: {KEY_NAME} in the log's folder)"
    )


def rename_of(options: argparse.Namespace) -> Rename:
    """As `add_operators` was answered; makes a key where there is none."""
    if options.operators == "plain":
        return plain
    if not options.log.is_dir():
        raise FileNotFoundError(f"there is no folder {options.log}; name the folder of a mentoring log")
    return pseudonymiser(read_key(options.key or options.log / KEY_NAME))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside log", description="The mentoring log in other tools, in tables, and in object storage."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    export = commands.add_parser("export", help="judged frames for another tool, with masks of what is known")
    export.add_argument("log", type=Path, metavar="LOG", help="folder of a mentoring log")
    export.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not be there")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--whole-only", action="store_true", help="leave out frames that are only partly known")
    add_operators(export)
    export.set_defaults(run=_export)

    returned = commands.add_parser("import", help="another tool's files as a mentoring log of their own")
    returned.add_argument("folder", type=Path, metavar="FOLDER", help="an export that was edited, or somebody's set")
    returned.add_argument("out", type=Path, metavar="LOG", help="folder of the new log; must not be there")
    returned.add_argument("--format", choices=FORMATS, required=True)
    returned.add_argument("--operator", required=True, metavar="NAME", help="who made the changes")
    returned.add_argument(
        "--complete",
        action="store_true",
        help="of a set that others made: its pictures show every defect they have; without a box they are healthy",
    )
    returned.set_defaults(run=_import)
    return parser


def _export(options: argparse.Namespace) -> int:
    from lineside.log.export import export_log

    done = export_log(
        options.log, options.out, options.format, rename=rename_of(options), whole_only=options.whole_only
    )
    for line in done.left_out:
        print(f"left out: {line}")
    print(f"{options.out}: {done.whole} frames wholly known, {done.partial} partly, {done.boxes} defects")
    return 0


def _import(options: argparse.Namespace) -> int:
    from lineside.log.importing import import_log

    done = import_log(options.folder, options.out, options.format, operator=options.operator, complete=options.complete)
    for line in done.left_out:
        print(f"left out: {line}")
    print(
        f"{options.out}: {done.frames} frames, {done.answers} answers as before, {done.new} new of {options.operator}"
    )
    return 0
