"""`lineside models VERB --station HOST:PORT`: the engineer's hand on a station's models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf import json_format

from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient
from lineside.reasons import ContractError
from lineside.v1 import model_pb2

_BAR = 32


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside models", description="List, push, activate, confirm and roll back the models of a station."
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
    activate = verbs.add_parser("activate", parents=[common], help="let a package serve, on probation")
    confirm = verbs.add_parser("confirm", parents=[common], help="end the serving model's probation")
    for verb in (activate, confirm):
        verb.add_argument("model", help="digest, the first digits of one, or NAME@VERSION")
    rollback = verbs.add_parser("rollback", parents=[common], help="back to the model that served before")
    rollback.add_argument("--why", default="", help="in words, for the audit")
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
        "describe": _describe,
    }
    try:
        with ModelsClient(given.station) as client:
            verbs[given.verb](client, given)
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
    models = client.list()
    if not models:
        print("no models; push one with: lineside models push PACKAGE")
    for status in models:
        _say(status)


def _push(client: ModelsClient, given: argparse.Namespace) -> None:
    status = client.push(given.package, on_progress=_progress if sys.stderr.isatty() else None)
    if given.activate and not status.serving:
        status = client.activate(status.model.digest)
    _say(status)


def _describe(client: ModelsClient, given: argparse.Namespace) -> None:
    described = client.describe(resolve(client.list(), given.model) if given.model else "")
    print(json_format.MessageToJson(described, preserving_proto_field_name=True, indent=1))


def _say(status: model_pb2.ModelStatus) -> None:
    state = model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
    words = [f"{status.model.name or '(unread)'} {status.model.version}".strip(), state]
    if status.serving:
        words.append("serving")
    if status.reason:
        words.append(f"{status.reason}: {status.message}")
    print("  ".join([*words, status.model.digest]))


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
