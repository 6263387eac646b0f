"""`lineside station run|check FILE`, `lineside station keys FOLDER NAME`, `lineside station user add|remove|list FILE`.

The same as `python -m edge`.

Parses, calls one function, maps errors.
"""

from __future__ import annotations

import argparse
import logging
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from lineside.reasons import ContractError

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "MALLOC_ARENA_MAX": "2",
}
"""glibc gives blocks of the size of a picture back to the kernel after every message and asks for them anew; zeroing
their pages costs more than the inspection's transport itself (a 1.2 MB message: 3.5 ms against 1.5). With these it
keeps them, in two arenas instead of one for every other thread. It reads them when the process begins, so the station
starts itself once more with them set. Whoever sets any MALLOC_ variable himself is left alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0: it did its job, 2: it was called or configured wrongly."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "check":
            return _check(parsed.file)
        if parsed.command == "keys":
            return _keys(parsed.folder, parsed.name)
        if parsed.command == "user":
            return _user(parsed)
        return _run(parsed.file, parsed.log_level)
    except (ContractError, OSError, ValueError) as error:
        print(f"lineside station: {error}", file=sys.stderr)
        return 2
    except sqlite3.Error as error:
        print(f"lineside station: the mentoring log cannot be used: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside station", description="A station of the line, from its station.toml."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the station until SIGTERM or Ctrl-C")
    run.add_argument("file", type=Path, metavar="station.toml")
    run.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"], help="default: %(default)s"
    )
    check = commands.add_parser("check", help="say whether the configuration is right, start nothing")
    check.add_argument("file", type=Path, metavar="station.toml")
    keys = commands.add_parser("keys", help="make a pair of CURVE keys, for the station or for an operator")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    keys.add_argument("name", metavar="NAME", help="of the station or the operator")
    user = commands.add_parser("user", help="accounts of the panel: who may judge, change models, make accounts")
    verbs = user.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="make an account, or give it another role and PIN")
    remove = verbs.add_parser("remove", help="remove an account; its sessions end at once")
    listing = verbs.add_parser("list", help="names and roles")
    for verb in (add, remove, listing):
        verb.add_argument("file", type=Path, metavar="station.toml")
    for verb in (add, remove):
        verb.add_argument("name", metavar="NAME", help="as it stands beside each judgement")
    add.add_argument("--role", required=True, choices=["viewer", "operator", "engineer", "admin"])
    return parser


def _user(parsed: argparse.Namespace) -> int:
    from edge.config import load_config
    from edge.panel.access.accounts import Accounts
    from edge.panel.access.roles import role_of

    accounts = Accounts(load_config(parsed.file).panel_folder)
    if parsed.verb == "list":
        for _, account in sorted(accounts.all().items()):
            print(f"{account.role.word:<9} {account.name}")
    elif parsed.verb == "remove":
        accounts.remove(parsed.name)
        print(f"{parsed.name}: removed")
    else:
        role = role_of(parsed.role)
        accounts.put(parsed.name, role, _ask_secret())
        print(f"{parsed.name}: {role.word}")
    return 0


def _ask_secret() -> str:
    """Asked twice on a terminal; else one line of the standard input, for provisioning."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    secret = getpass.getpass("PIN or password: ")
    if getpass.getpass("Once more: ") != secret:
        raise ValueError("these two are not the same; nothing was changed")
    return secret


def _keys(folder: Path, name: str) -> int:
    from edge.frame import is_camera_name
    from lineside.client.curve import make_keys

    if not is_camera_name(name):
        raise ValueError(f"{name!r} is no name for keys: use 1 to 64 letters, digits, '-', '_' or '.'")
    public, secret = make_keys(folder, name)
    print(f"{public}: to the other side\n{secret}: stays here, keep it secret")
    return 0


def _check(file: Path) -> int:
    from edge.config import load_config
    from edge.outputs.board import check

    config = load_config(file)
    outputs = ", ".join(check(config.outputs)) or "none"
    cameras = ", ".join(camera.name for camera in config.cameras) or "none"
    recipes = ", ".join(recipe.name for recipe in config.recipes) or "none"
    print(
        f"{file}: station {config.station.name}, cameras: {cameras}; recipes: {recipes}; outputs: {outputs}; "
        "all keys are known"
    )
    return 0


def _run(file: Path, log_level: str) -> int:
    from edge.config import load_config

    config = load_config(file)  # before anything starts, so that a wrong file costs nothing
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        os.execve(  # noqa: S606 - ourselves, with the same arguments
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **MALLOC}
        )
    from edge.daemon import run

    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn.error").setLevel("WARNING")  # its own start and end; ours are told by the panel
    logging.getLogger("asyncua").setLevel("ERROR")  # every session and subscription; ours are told by the output
    run(config)
    return 0
