"""Processes that swap models and are killed at a chosen step, or look at what such a one has left.

    python swap_victim.py PACKAGE_ONE PACKAGE_TWO          commands on standard input, one answer line each

    live FOLDER STEP    a station's models in FOLDER: push two, activate, confirm, roll back, freeze. Before the STEP-th
                        time that anything becomes durable or visible on the disk (fsync, rename, unlink, removal) the
                        process is killed. Answer: what had been acknowledged until then, and "end" if nothing killed it
    careless FOLDER STEP    the same, and nothing is ever fsynced: to show that the test would see it
    begin FOLDER        push one, activate, confirm
    look FOLDER         starts the models again. Answer: JSON of who serves, its score, every state, freeze and audit

Each command runs in a process of its own, forked after everything is imported. Trials apart are left out: they have
tests of their own, and take a second each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.pushes import ACTOR, Told, manager, push, score

from edge.models.audit import broken_links
from edge.models.trial import Trials
from lineside.package import read_package


def main() -> None:
    one, two = (read_package(Path(name)) for name in sys.argv[1:3])
    Trials.run = lambda *_: None  # type: ignore[method-assign]
    for line in sys.stdin:
        command, folder, *rest = line.split()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)

            def say(text: str, end: int = writer) -> None:
                # One system call: after a kill the word is there or not.
                os.write(end, text.encode() + b" ")

            try:
                if command in ("live", "careless"):
                    if command == "careless":
                        os.fsync = lambda _: None
                    kill_at(int(rest[0]))
                    live(Path(folder), two, say)
                elif command == "begin":
                    begin(Path(folder), one)
                else:
                    say(json.dumps(look(Path(folder))))
                os._exit(0)
            except BaseException as error:
                say(f"failed: {error!r}")
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            said = stream.read().decode()
        os.waitpid(child, 0)
        sys.stdout.write(said.replace("\n", " ") + "\n")
        sys.stdout.flush()


def kill_at(step: int) -> None:
    """Kills this process before the step-th call that changes what is on the disk."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call

    os.fsync = counted(os.fsync)
    shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]
    for name in ("replace", "rename", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))


def begin(folder: Path, one: Any) -> None:
    with manager(folder, Told()) as models:
        push(models, one.folder)
        models.activate(one.digest, ACTOR)
        models.confirm(one.digest, ACTOR)


def live(folder: Path, two: Any, say: Callable[[str], None]) -> None:
    with manager(folder, Told()) as models:
        push(models, two.folder)
        say("pushed")
        models.activate(two.digest, ACTOR)
        say("activated")
        models.confirm(two.digest, ACTOR)
        say("confirmed")
        models.rollback("why not", ACTOR)
        say("rolled-back")
        models.freeze("the story wants it", ACTOR)
        say("frozen")
    say("end")


def look(folder: Path) -> dict[str, object]:
    with manager(folder, Told()) as models:
        return {
            "serving": models.list()[0].model.version if models.list()[0].serving else "",
            "score": score(models),
            "states": {status.model.version: status.state for status in models.list()},
            "frozen": bool(models.frozen),
            "way_back": _can_go_back(models),
            "audit": [entry.action for entry in models.audit()],
            "broken_links": broken_links(folder / "models" / "audit.jsonl"),
            "staging": [path.name for path in (folder / "models" / "staging").iterdir()],
        }


def _can_go_back(models: Any) -> bool:
    return bool(models._roster.lineup.trail)


if __name__ == "__main__":
    main()
