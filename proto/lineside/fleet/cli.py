"""`lineside deploy VERB`: one desk, many stations. Parses, calls one function, shows; decides nothing."""

from __future__ import annotations

import argparse
import getpass
import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.client.errors import StationUnreachableError
from lineside.reasons import ContractError

if TYPE_CHECKING:
    from lineside.fleet.inventory import Station
    from lineside.fleet.journal import Journal
    from lineside.fleet.plan import Limits, Plan
    from lineside.fleet.rollout import Result
    from lineside.fleet.worker import Job
    from lineside.package import Package

DONE, STOPPED, WRONG, NOT_REACHED = 0, 1, 2, 3
JOURNALS = "rollouts"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside deploy",
        description="Many stations from one desk. Exit code 0: done, 1: stopped by a refusal or an alarm, 2: called"
        " wrongly, 3: some stations were not reached or have not settled; the same command goes on.",
    )
    fleet = argparse.ArgumentParser(add_help=False)
    fleet.add_argument(
        "--fleet", type=Path, default=Path("fleet.toml"), metavar="FILE", help="the inventory (%(default)s)"
    )
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--to", nargs="+", required=True, metavar="WHO", help="stations, groups, tag:TAG, or all")
    patience = argparse.ArgumentParser(add_help=False)
    patience.add_argument(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="without an answer or progress before a station is given up for now (%(default)g)",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_status(verbs.add_parser("status", parents=[fleet], help="the state of every station on one page"))
    push = verbs.add_parser("push", parents=[fleet, chosen, patience], help="send a package; nothing is activated")
    push.add_argument("package", type=Path, help="package folder")
    rollout = verbs.add_parser(
        "rollout", parents=[fleet, chosen, patience], help="canaries, then waves; stops at the first refusal or alarm"
    )
    _add_rollout(rollout)
    rollback = verbs.add_parser(
        "rollback", parents=[fleet, chosen, patience], help="back to the model before, on many stations at once"
    )
    rollback.add_argument(
        "--from",
        dest="model",
        default="",
        metavar="MODEL",
        help="digest, its first digits, or NAME@VERSION; a station that serves another is left alone (any)",
    )
    rollback.add_argument("--why", default="", help="in words, for the audit")
    return parser


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", nargs="+", default=["all"], metavar="WHO", help="only these (all)")
    parser.add_argument("--json", action="store_true", help="as one JSON document")
    parser.add_argument("--html", type=Path, metavar="FILE", help="as one HTML file that needs nothing else")
    parser.add_argument("--every", type=float, default=0.0, metavar="SECONDS", help="again and again, until Ctrl-C")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for an answer (%(default)g)")


def _add_rollout(parser: argparse.ArgumentParser) -> None:
    from lineside.fleet.plan import Limits

    usual = Limits()
    parser.add_argument("package", type=Path, help="package folder")
    parser.add_argument(
        "--canary", nargs="+", required=True, metavar="N|NAME", help="how many stations, or which, get it first"
    )
    parser.add_argument(
        "--wave", type=int, default=8, metavar="N", help="stations at once afterwards; 0: all (%(default)s)"
    )
    parser.add_argument(
        "--frames", type=int, default=usual.frames, help="a model has to answer to settle (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=usual.seconds, help="and to serve before it has settled (%(default)g)"
    )
    parser.add_argument(
        "--most-errors", type=int, default=usual.most_errors, help="frames it may leave unanswered (%(default)s)"
    )
    parser.add_argument(
        "--most-alarm-ratio",
        type=float,
        default=usual.most_alarm_ratio,
        help="times the share of rejected frames before it; 0: not looked at (%(default)g)",
    )
    parser.add_argument(
        "--shadow-frames", type=int, default=0, help="live frames in shadow first, whatever the station asks for"
    )
    parser.add_argument(
        "--most-flips", type=float, default=1.0, help="0 to 1: of those, verdicts that would change (no limit)"
    )
    parser.add_argument("--confirm", action="store_true", help="confirm the model where it has settled")
    parser.add_argument(
        "--undo", action="store_true", help="on a refusal or alarm go back wherever this roll-out brought the model"
    )
    parser.add_argument(
        "--journal", type=Path, help=f"file that remembers how far it came ({JOURNALS}/NAME-VERSION-...)"
    )
    parser.add_argument("--anew", action="store_true", help="forget what the journal says and begin at the beginning")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")


def main(arguments: Sequence[str]) -> int:
    """Runs one verb; the exit code is as --help says."""
    given = _parser().parse_args(list(arguments))
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "status": _status,
        "push": _push,
        "rollout": _rollout,
        "rollback": _rollback,
    }
    try:
        return verbs[given.verb](given)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    except (ContractError, StationUnreachableError, OSError, ValueError) as error:
        print(f"lineside deploy {given.verb}: {error}", file=sys.stderr)
        return WRONG


def _stations(given: argparse.Namespace) -> tuple[Station, ...]:
    from lineside.fleet.inventory import load_inventory

    return load_inventory(given.fleet).select(given.to)


def _status(given: argparse.Namespace) -> int:
    from lineside.fleet.asking import ask_all
    from lineside.fleet.page import html_page, text_lines, write_whole
    from lineside.fleet.standing import document_of

    stations = _stations(given)
    while True:
        document = document_of(ask_all(stations, timeout=given.timeout), now=time.time())
        if given.html:
            write_whole(given.html, html_page(document, every=given.every))
        if given.json:
            print(json.dumps(document, ensure_ascii=False, indent=None if given.every else 1), flush=True)
        elif not given.html or not given.every:
            print("\n".join(text_lines(document)), flush=True)
        if not given.every:
            return DONE if document["reachable"] == len(stations) else NOT_REACHED
        time.sleep(given.every)


def _push(given: argparse.Namespace) -> int:
    from lineside.fleet.rollout import push_all
    from lineside.fleet.telling import teller

    stations, package = _stations(given), _package(given)
    with teller([station.name for station in stations]) as tell:
        result = push_all(stations, _job(given, package), tell=tell.words, tell_progress=tell.progress)
    return _ended(result)


def _rollback(given: argparse.Namespace) -> int:
    from lineside.fleet.rollout import roll_back_all
    from lineside.fleet.telling import teller

    stations = _stations(given)
    with teller([station.name for station in stations]) as tell:
        result = roll_back_all(
            stations, given.model, given.why, actor=_user(), patience=given.patience, tell=tell.words
        )
    return _ended(result)


def _rollout(given: argparse.Namespace) -> int:
    from lineside.fleet.journal import Journal
    from lineside.fleet.rollout import roll_out
    from lineside.fleet.telling import teller

    stations, package = _stations(given), _package(given)
    limits = _limits(given)
    if given.dry_run:
        from lineside.fleet.dry_run import dry_run

        plan = _plan(given, stations, package, limits)
        for line in dry_run(stations, plan, given.package):
            print(line)
        return DONE
    manifest = package.manifest
    name = f"{manifest.name}-{manifest.version}-{package.digest[7:19]}.jsonl"
    with Journal(given.journal or given.fleet.parent / JOURNALS / name) as journal:
        plan = _plan_to_go_on_with(given, journal, stations, package, limits)
        print(f"journal: {journal.path}", file=sys.stderr)
        with teller(plan.names) as tell:
            job = _job(given, package, limits)
            result = roll_out(
                stations, plan, job, journal, undo=given.undo, tell=tell.words, tell_progress=tell.progress
            )
    return _ended(result, all_of=plan.names)


def _plan_to_go_on_with(
    given: argparse.Namespace, journal: Journal, stations: Sequence[Station], package: Package, limits: Limits
) -> Plan:
    """The journal's plan where it is the same roll-out, so that a number of canaries means the same stations again."""
    known = None if given.anew else journal.progress.plan
    names = {station.name for station in stations}
    if known is None:
        plan = _plan(given, stations, package, limits)
        journal.begin(plan)
        return plan
    asked = (package.digest, limits, bool(given.confirm), names)
    if (known.digest, known.limits, known.confirm, set(known.names)) != asked:
        raise ValueError(
            f"{journal.path} holds a roll-out of this package with other stations or limits; give the same ones to go"
            " on with it, --anew to begin again, or another --journal"
        )
    return known


def _plan(given: argparse.Namespace, stations: Sequence[Station], package: Package, limits: Limits) -> Plan:
    from lineside.fleet.asking import ask_all
    from lineside.fleet.plan import make_plan

    answering = [answer.station.name for answer in ask_all(stations) if answer.said is not None and not answer.trouble]
    return make_plan(
        stations,
        given.canary,
        digest=package.digest,
        limits=limits,
        wave=given.wave,
        confirm=given.confirm,
        answering=answering,
    )


def _limits(given: argparse.Namespace) -> Limits:
    from lineside.fleet.plan import Limits

    return Limits(
        frames=given.frames,
        seconds=given.seconds,
        most_errors=given.most_errors,
        most_alarm_ratio=given.most_alarm_ratio,
        shadow_frames=given.shadow_frames,
        most_flips=given.most_flips,
    )


def _package(given: argparse.Namespace) -> Package:
    from lineside.package import read_package

    return read_package(given.package)


def _job(given: argparse.Namespace, package: Package, limits: Limits | None = None) -> Job:
    from lineside.fleet.plan import Limits
    from lineside.fleet.worker import Job

    return Job(
        folder=given.package,
        digest=package.digest,
        limits=limits or Limits(),
        confirm=limits is not None and given.confirm,
        actor=_user(),
        patience=given.patience,
    )


def _ended(result: Result, *, all_of: Sequence[str] = ()) -> int:
    """Shows how it ended; the exit code."""
    from lineside.fleet.page import printable

    outcomes = {outcome.station: outcome for outcome in result.outcomes}
    for name in all_of or outcomes:
        outcome = outcomes.get(name)
        words = "not begun" if outcome is None else f"{outcome.step} {outcome.outcome}: {outcome.text}"
        print(printable(f"{name}  {words}"))
    for outcome in result.undone:
        print(printable(f"{outcome.station}  {outcome.step} {outcome.outcome}: {outcome.text}"))
    if result.stopped_by is not None:
        print(printable(f"STOPPED by {result.stopped_by.station}: {result.stopped_by.text}"))
        return STOPPED
    if result.open:
        print(f"{len(result.open)} stations are not done; the same command goes on")
        return NOT_REACHED
    return DONE


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
