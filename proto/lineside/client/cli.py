"""`lineside models VERB --station HOST:PORT`: the engineer's hand on a station's models."""

from __future__ import annotations

import argparse
import datetime
import getpass
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf import json_format

from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_BAR = 32


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside models", description="What an engineer does with the models of a station."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--station", default="127.0.0.1:50051", metavar="HOST:PORT", help="where the station's gRPC is (%(default)s)"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", parents=[common], help="every package the station knows, the serving one first")
    push = verbs.add_parser("push", parents=[common], help="send a package; the station verifies and tries it")
    push.add_argument("package", type=Path, help="package folder")
    push.add_argument("--activate", action="store_true", help="let it serve when it has passed")
    prepare = verbs.add_parser(
        "prepare", parents=[common], help="begin what comes before serving, where the station asks: replay, shadow"
    )
    prepare.add_argument("--shadow", action="store_true", help="a shadow even where the station asks for none")
    prepare.add_argument("--follow", action="store_true", help="show its progress until it may serve or is refused")
    activate = verbs.add_parser("activate", parents=[common], help="let a package serve, on probation")
    confirm = verbs.add_parser("confirm", parents=[common], help="end the serving model's probation")
    for verb in (prepare, activate, confirm):
        verb.add_argument("model", help="digest, the first digits of one, or NAME@VERSION")
    rollback = verbs.add_parser("rollback", parents=[common], help="back to the model that served before")
    rollback.add_argument("--why", default="", help="in words, for the audit")
    freeze = verbs.add_parser("freeze", parents=[common], help="let nothing be activated from now on")
    thaw = verbs.add_parser("thaw", parents=[common], help="let models be activated again")
    for verb in (freeze, thaw):
        verb.add_argument("--why", default="", help="in words, for the audit and whoever is refused")
    verbs.add_parser("watch", parents=[common], help="every change of state and progress, until Ctrl-C")
    audit = verbs.add_parser("audit", parents=[common], help="who did what, oldest first")
    audit.add_argument("--after", type=int, default=0, metavar="N", help="only entries with a higher number")
    describe = verbs.add_parser("describe", parents=[common], help="state and manifest of a package, as JSON")
    describe.add_argument("model", nargs="?", default="", help="as for activate; the serving model by default")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Runs one verb; 0 done, 2 refused or not reached, with one line that says why."""
    given = _parser().parse_args(list(arguments))
    verbs: dict[str, Callable[[ModelsClient, argparse.Namespace], None]] = {
        "list": _list,
        "push": _push,
        "activate": lambda client, args: _say(client.activate(resolve(client.list(), args.model))),
        "confirm": lambda client, args: _say(client.confirm(resolve(client.list(), args.model))),
        "rollback": lambda client, args: _say(client.rollback(args.why)),
        "prepare": _prepare,
        "freeze": lambda client, args: print(f"frozen {client.freeze(args.why)}"),
        "thaw": lambda client, args: client.thaw(args.why),
        "watch": _watch,
        "audit": _audit,
        "describe": _describe,
    }
    try:
        with ModelsClient(given.station, actor=_user()) as client:
            verbs[given.verb](client, given)
    except KeyboardInterrupt:
        return 0 if given.verb == "watch" else 130
    except (ContractError, StationUnreachableError, OSError, ValueError) as error:
        print(f"lineside models {given.verb}: {error}", file=sys.stderr)
        return 2
    return 0


def resolve(models: Sequence[model_pb2.ModelStatus], text: str) -> str:
    """The digest somebody means by a digest, its first digits, or NAME@VERSION.

    Raises:
        ValueError: none or several models fit.
    """
    wanted = text.removeprefix("sha256:")
    fits = [
        status.model.digest
        for status in models
        if (wanted and status.model.digest.removeprefix("sha256:").startswith(wanted))
        or f"{status.model.name}@{status.model.version}" == text
    ]
    if len(fits) == 1:
        return fits[0]
    known = ", ".join(f"{status.model.name}@{status.model.version}" for status in models) or "none"
    raise ValueError(f"{len(fits)} models fit {text!r}; the station holds {known}")


def _list(client: ModelsClient, _: argparse.Namespace) -> None:
    models, frozen = client.list(), client.frozen()
    if frozen:
        print(f"frozen {frozen}")
    if not models:
        print("no models; push one with: lineside models push PACKAGE")
    for status in models:
        _say(status)


def _push(client: ModelsClient, given: argparse.Namespace) -> None:
    status = client.push(given.package, on_progress=_progress if sys.stderr.isatty() else None, on_trouble=_say_trouble)
    if given.activate and not status.serving:
        status = client.activate(status.model.digest)
    _say(status)


def _describe(client: ModelsClient, given: argparse.Namespace) -> None:
    described = client.describe(resolve(client.list(), given.model) if given.model else "")
    print(json_format.MessageToJson(described, preserving_proto_field_name=True, indent=1))


def _prepare(client: ModelsClient, given: argparse.Namespace) -> None:
    digest = resolve(client.list(), given.model)
    status = client.prepare(digest, shadow=given.shadow)
    _say(status)
    if not given.follow or _may_serve(status, given.shadow):
        return
    # Watch begins with the present, so nothing is missed between the two calls.
    for event in client.watch():
        if event.status.model.digest != digest or event.status == status:
            continue
        status = event.status
        _say(status)
        if status.state == model_pb2.MODEL_STATE_REFUSED:
            raise ContractError(Reason[status.reason], status.message)
        if _may_serve(status, given.shadow):
            return


def _may_serve(status: model_pb2.ModelStatus, shadow: bool) -> bool:
    """Whether nothing is left to wait for; with a shadow that was asked for, it has to have begun."""
    return status.serving or (status.ready and (status.HasField("shadow") or not shadow))


def _watch(client: ModelsClient, _: argparse.Namespace) -> None:
    for event in client.watch():
        _say(event.status)


def _audit(client: ModelsClient, given: argparse.Namespace) -> None:
    for entry in client.audit(given.after):
        when = datetime.datetime.fromtimestamp(entry.unix_ns / 1e9, datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%SZ"
        )
        model = f"{entry.name}@{entry.version}" if entry.name else ""
        words = [str(entry.number), when, entry.action, model or entry.digest[:19], entry.outcome, entry.actor]
        print("  ".join(word for word in (*words, entry.message) if word))


def _say(status: model_pb2.ModelStatus) -> None:
    state = model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
    words = [f"{status.model.name or '(unread)'} {status.model.version}".strip(), state]
    if status.serving:
        words.append("serving")
    if status.reason:
        words.append(f"{status.reason}: {status.message}")
    elif status.message:
        words.append(status.message)
    print("  ".join([*words, status.model.digest]), flush=True)
    for line in report_lines(status):
        print(f"    {line}", flush=True)


def report_lines(status: model_pb2.ModelStatus) -> list[str]:
    """What a status says of replay, shadow and probation, a line each and one for every class that is disagreed on."""
    lines = []
    if status.HasField("replay"):
        replay = status.replay
        lines.append(
            f"replay: {replay.used} records used, {replay.escapes} of {replay.defects} known defects escape"
            if replay.finished
            else f"replay: {replay.done} of {replay.total} records"
        )
    if status.HasField("shadow"):
        shadow = status.shadow
        frames = f"{shadow.frames} of {shadow.wanted}" if shadow.wanted else f"{shadow.frames}"
        lines.append(
            f"shadow: {frames} frames, {shadow.dropped} dropped, {shadow.failed} failed;"
            f" {shadow.reject_to_pass} REJECT to PASS, {shadow.pass_to_reject} PASS to REJECT"
        )
        lines += [
            f"  {item.class_name}: {item.both} found by both, {item.only_serving} only by the serving model,"
            f" {item.only_candidate} only by this one"
            for item in shadow.classes
        ]
        lines += [f"  not yet: {text}" for text in shadow.objections]
    if status.HasField("probation"):
        trial = status.probation
        lines.append(
            f"probation: {trial.frames} frames in {trial.seconds:.0f} s, {trial.errors} errors, {trial.alarms} rejected"
            f" (before: {trial.baseline_alarms} of {trial.baseline_frames}),"
            f" p99 {trial.p99_us / 1000:.1f} ms (before: {trial.baseline_p99_us / 1000:.1f} ms)"
        )
    return lines


def _say_trouble(error: Exception, wait: float) -> None:
    print(f"lineside models push: {error}; goes on in {wait:g} s", file=sys.stderr)


def _user() -> str:
    """Who runs this, as far as the machine says."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return ""


def _progress(sent: int, total: int) -> None:
    share = sent / total if total else 1.0
    filled = round(share * _BAR)
    end = "\n" if sent == total else ""
    print(
        f"\rpush [{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%} {sent / 1e6:.1f} of {total / 1e6:.1f} MB",
        end=end,
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
