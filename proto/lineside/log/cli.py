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

    sql = commands.add_parser("sql", help="asks a log in SQL, with views; docs/log.md says which")
    sql.add_argument("log", type=Path, nargs="+", metavar="LOG", help="folder of a mentoring log; DuckDB takes several")
    sql.add_argument("query", metavar="QUERY", help='e.g. "SELECT * FROM operators"')
    sql.add_argument("--engine", choices=("sqlite", "duckdb"), default="sqlite", help="default: %(default)s")
    sql.add_argument("--csv", action="store_true", help="comma separated, for other programs")
    sql.set_defaults(run=_sql)

    sync = commands.add_parser("sync", help="sends what a log has gained to a place, as immutable shards")
    sync.add_argument("log", type=Path, metavar="LOG", help="folder of a mentoring log; the station may go on")
    sync.add_argument("place", metavar="PLACE", help="s3://BUCKET/PREFIX, or a folder; many stations may share it")
    sync.add_argument("--station", required=True, metavar="NAME", help="of this log in the place")
    sync.add_argument("--kilobytes", type=float, metavar="N", help="kilobytes a second at most (default: no limit)")
    sync.add_argument("--every", type=float, metavar="SECONDS", help="goes on, looking again so often")
    sync.add_argument("--all-pictures", action="store_true", help="also pictures that nobody has judged")
    add_operators(sync)
    sync.set_defaults(run=_sync)
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


def _sql(options: argparse.Namespace) -> int:
    from lineside.log.views import ask

    names, rows = ask(options.log, options.query, engine=options.engine)
    if options.csv:
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(rows)
        return 0
    table = [names, *([_told(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _told(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "" if value is None else str(value)


def _sync(options: argparse.Namespace) -> int:
    import time

    from lineside.log.place import PlaceError, open_place
    from lineside.log.sync import Throttle, sync

    if options.every is not None and options.every <= 0:
        raise ValueError(f"--every is {options.every:g} seconds, expected more than 0")
    throttle = Throttle(None if options.kilobytes is None else options.kilobytes * 1000)
    rename, place = rename_of(options), open_place(options.place)
    while True:
        try:
            done = sync(
                options.log,
                place,
                options.station,
                rename=rename,
                pseudonyms=options.operators == "pseudonym",
                throttle=throttle,
                all_pictures=options.all_pictures,
            )
        except PlaceError as error:
            if options.every is None:
                raise
            print(f"lineside log: {error}", file=sys.stderr, flush=True)
        else:
            if done.shards or options.every is None:
                told = (
                    f"{done.frames} frames, {done.answers} answers, {done.pictures} pictures, {done.bytes / 1e6:.1f} MB"
                )
                gone = f"; {done.missing} pictures of the log are gone or damaged" if done.missing else ""
                print(f"{options.place}: {done.shards} shards, {told}{gone}", flush=True)
        if options.every is None:
            return 0
        time.sleep(options.every)
