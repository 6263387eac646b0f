"""The one command: `lineside COMMAND ...`. Parses nothing itself; hands over to the part that knows.

A part is imported only when its command is used, so `lineside models` on a line PC needs neither OpenCV nor PyTorch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from lineside import __version__


class Command(NamedTuple):
    """module.function takes the remaining arguments and gives back the exit code; `extra` is what to install."""

    module: str
    function: str
    extra: str
    help: str


COMMANDS = {
    "station": Command("edge.cli", "main", "edge", "run or check a station from its station.toml"),
    "doctor": Command(
        "edge.doctor.cli", "main", "edge", "what works on this machine, what would be used, what is missing"
    ),
    "models": Command(
        "lineside.client.cli", "main", "", "push, prepare, activate, watch, confirm, roll back, audit models"
    ),
    "feedback": Command(
        "lineside.client.feedback_cli",
        "main",
        "feedback",
        "what a later test or a return says of a part, by its serial",
    ),
    "deploy": Command(
        "lineside.fleet.cli", "main", "fleet", "many stations: status on one page, push, roll out in waves, roll back"
    ),
    "train": Command("training.cli", "main", "training", "train, evaluate and report (same as python -m training)"),
    "export": Command("export.cli", "main", "export", "checkpoint to package, replay, parity, engines, keys"),
    "log": Command(
        "lineside.log.cli", "main", "log", "the mentoring log elsewhere: labelling tools, SQL, object storage"
    ),
    "trace": Command(
        "lineside.trace.cli", "main", "log", "which clicks a model learned from, which models a click taught"
    ),
    "demo": Command("loop.cli", "main", "all", "the whole loop on a synthetic line, then a panel to click in"),
}


def usage() -> str:
    """The text of --help."""
    lines = ["usage: lineside COMMAND [ARGUMENT ...]", "", "An inspection station that learns from its operators.", ""]
    lines += [f"  {name:<10} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "lineside COMMAND --help says more; lineside --version says which this is."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 0 when it did its job, 2 when it was called wrongly."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else 2
    if given[0] == "--version":
        print(__version__)
        return 0
    command = COMMANDS.get(given[0])
    if command is None:
        print(f"lineside: no command {given[0]!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        package = f"lineside[{command.extra}]" if command.extra else "lineside"
        print(
            f"lineside {given[0]}: {error.name} is not installed here; install it with: pip install '{package}'",
            file=sys.stderr,
        )
        return 2
    return int(getattr(module, command.function)(given[1:]))


if __name__ == "__main__":
    sys.exit(main())
