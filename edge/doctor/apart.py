"""Looks at drivers and runtimes in a process of their own: one that crashes or hangs is a finding, not the end.

`python -m edge.doctor.apart NAME ...` runs the looks in turn and prints a line of JSON as each one ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge.doctor import drivers, runtimes


class Seen(NamedTuple):
    """What a look gave."""

    works: bool
    text: str
    """What was seen, or why it does not work."""


LOOKS: Mapping[str, Callable[[], str]] = {**runtimes.LOOKS, **drivers.LOOKS}
"""By name; each gives what it saw, or raises runtimes.CannotError or drivers.CannotError with why not."""


def look(
    names: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    command: Sequence[str] | None = None,
) -> dict[str, Seen]:
    """Runs looks apart.

    Args:
        names: of LOOKS.
        environment: variables beside those there are.
        seconds: for all together; what is not seen by then hangs.
        command: what to start; the names are appended. For tests.
    """
    found: dict[str, Seen] = {}
    left = list(names)
    while left:
        arguments = [*(command or (sys.executable, "-m", "edge.doctor.apart")), *left]
        code, answers = _run(arguments, {**os.environ, **(environment or {})}, seconds)
        found |= {name: seen for name, seen in answers.items() if name in left}
        left = [name for name in left if name not in answers]
        if left:  # the first of those without an answer is to blame; the ones after it are tried again
            culprit = left.pop(0)
            found[culprit] = Seen(False, _how(code, seconds))
    return found


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int | None, dict[str, Seen]]:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as noise:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=noise,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            code: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        said.seek(0)
        answers = {}
        for line in said.read().decode(errors="replace").splitlines():
            try:
                name, works, text = json.loads(line)
            except ValueError:
                continue
            answers[name] = Seen(bool(works), str(text))
    return code, answers


def _how(code: int | None, seconds: float) -> str:
    if code is None:
        return f"its driver did not answer within {seconds:g} s"
    return f"its driver crashed ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def main(names: Sequence[str]) -> int:
    """The child."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not garble the answers
    for name in names:
        try:
            seen = Seen(True, LOOKS[name]())
        except (runtimes.CannotError, drivers.CannotError) as error:
            seen = Seen(False, str(error))
        except Exception as error:
            seen = Seen(False, f"{type(error).__name__}: {error}")
        answers.write(json.dumps([name, *seen]) + "\n")
        answers.flush()
    os._exit(0)  # drivers may hang or crash while they are taken down; everything has been said


if __name__ == "__main__":
    main(sys.argv[1:])
