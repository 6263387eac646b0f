"""A build in a process of its own that stands back: it may be slow, die or be killed, and whoever serves is unharmed.

Parent and child speak by pipes alone, so there is no file to be left half:
    to the child    one line of JSON (the job), the graph, the timing cache; then the pipe stays open: a lifeline
    to the parent   lines of JSON: progress, then the outcome; after a good one the engine and the two caches
The child stops when the lifeline ends, also because the parent was killed; a builder that does not listen is ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any, NoReturn

from export.engines.compile import Compiled, Job, OnProgress, compile_here
from lineside.engines.key import BatchRange
from lineside.engines.layers import as_json, of_json
from lineside.engines.tensorrt_api import EngineBuildError, EngineCancelledError, load_tensorrt

_GRACE_SECONDS = 20.0
"""A builder asks between steps whether to go on; a step may be long."""
_TELL_SECONDS = 0.05


def compile_apart(
    job: Job,
    graph: bytes,
    timing_cache: bytes = b"",
    on_progress: OnProgress = lambda *_: True,
) -> Compiled:
    """Builds in a child process with the lowest priority.

    Raises:
        EngineCancelledError: `on_progress` said False.
        EngineBuildError: with the builder's lines and what to do; also where the child died.
        KeyboardInterrupt: after the child has ended.
    """
    order = {**dataclasses.asdict(job), "graph_bytes": len(graph), "cache_bytes": len(timing_cache)}
    with tempfile.TemporaryFile() as said:
        # A session of its own: Ctrl-C of the terminal reaches the parent alone, which then ends the build in order; and
        # the kernel weighs niceness within a session only (autogroups).
        child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        try:
            return _converse(child, order, graph, timing_cache, on_progress, said)
        finally:
            _end(child)


def _converse(
    child: subprocess.Popen[bytes],
    order: dict[str, Any],
    graph: bytes,
    cache: bytes,
    on_progress: OnProgress,
    said: IO[bytes],
) -> Compiled:
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(order).encode() + b"\n" + graph + cache)
        child.stdin.flush()
    except BrokenPipeError:
        raise _died(child, said) from None
    stopped = False
    for line in child.stdout:
        message = json.loads(line)
        if "progress" in message:
            phase, parent, done, steps = message["progress"]
            if not on_progress(phase, parent, done, steps) and not stopped:
                stopped = True
                child.stdin.close()
            continue
        if stopped or message.get("cancelled"):
            raise EngineCancelledError("the build was stopped; nothing was stored")
        if "failed" in message:
            raise EngineBuildError(message["failed"])
        engine = child.stdout.read(message["engine_bytes"])
        caches = [child.stdout.read(count) for count in message["cache_bytes"]]
        if [len(engine), *map(len, caches)] != [message["engine_bytes"], *message["cache_bytes"]]:
            break
        return Compiled(
            engine=engine,
            seconds=message["seconds"],
            layers=of_json(message["layers"]),
            layers_from=message["layers_from"],
            figures=message["figures"],
            warnings=tuple(message["warnings"]),
            timing_cache=caches[0],
            runtime_cache=caches[1],
        )
    if stopped:
        raise EngineCancelledError("the build was stopped; nothing was stored")
    raise _died(child, said)


def _died(child: subprocess.Popen[bytes], said: IO[bytes]) -> EngineBuildError:
    code = child.wait()
    said.seek(0)
    last = [line for line in said.read()[-4000:].decode(errors="replace").splitlines() if line.strip()][-4:]
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    why = (
        "the kernel ends the builder first when memory runs out: give a smaller largest --batch or less --workspace-mb"
        if code == -signal.SIGKILL
        else "the builder itself broke down: try another version of it"
    )
    words = "".join(f"\n  {line}" for line in last)
    return EngineBuildError(f"the building process {how}, nothing was stored; {why}.{words}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Closes the lifeline and waits; a second Ctrl-C ends the child at once."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    drain = threading.Thread(target=child.stdout.read, name="drain", daemon=True)  # or it could not finish writing
    drain.start()
    try:
        child.wait(_GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        drain.join(5)
        child.stdout.close()


def main() -> NoReturn:
    """The child: `python -m export.engines.process`, spoken to by `compile_apart` alone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the builder's libraries may print; only answers go to the parent
    source = sys.stdin.buffer
    order = json.loads(source.readline())
    graph, cache = source.read(order.pop("graph_bytes")), source.read(order.pop("cache_bytes"))
    stand_back()
    gone = threading.Event()
    threading.Thread(target=_watch, args=(source, gone), name="lifeline", daemon=True).start()
    job = Job(
        **{
            **order,
            "sides": tuple(order["sides"]),
            "profiles": tuple(BatchRange(**profile) for profile in order["profiles"]),
        }
    )
    _answer(answers, job, graph, cache, gone)
    os._exit(0)  # not through the libraries' own clean-up, which has nothing to save and may hang


def _watch(source: IO[bytes], gone: threading.Event) -> None:
    source.read()
    gone.set()
    time.sleep(_GRACE_SECONDS)
    os._exit(75)


def _answer(answers: IO[bytes], job: Job, graph: bytes, cache: bytes, gone: threading.Event) -> None:
    told: dict[str, float] = {}

    def tell(phase: str, parent: str | None, done: int, steps: int) -> bool:
        now = time.monotonic()
        if done in (0, steps) or now - told.get(phase, 0.0) > _TELL_SECONDS:
            told[phase] = now
            _send(answers, {"progress": [phase, parent, done, steps]})
        return not gone.is_set()

    try:
        made = compile_here(load_tensorrt(job.builder), job, graph, cache, tell)
    except EngineCancelledError:
        _send(answers, {"cancelled": True})
        return
    except EngineBuildError as error:
        _send(answers, {"failed": str(error)})
        return
    except MemoryError:
        _send(answers, {"failed": "memory ran out; give a smaller largest --batch or less --workspace-mb"})
        return
    head = {
        "engine_bytes": len(made.engine),
        "cache_bytes": [len(made.timing_cache), len(made.runtime_cache)],
        "seconds": made.seconds,
        "layers": as_json(made.layers),
        "layers_from": made.layers_from,
        "figures": {**made.figures, "peak memory of the build": _peak_bytes()},
        "warnings": made.warnings,
    }
    _send(answers, head, made.engine, made.timing_cache, made.runtime_cache)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _send(answers: IO[bytes], message: dict[str, Any], *blocks: bytes) -> None:
    try:
        answers.write(json.dumps(message).encode() + b"\n")
        for block in blocks:
            answers.write(block)
        answers.flush()
    except BrokenPipeError:  # the parent is gone; the lifeline says so too
        os._exit(75)


def stand_back() -> None:
    """Gives this process the lowest priority, and lets the kernel end it first when memory runs out.

    Not the idle class: behind a busy trainer that would be never. What the system refuses is left as it is.
    """
    os.nice(19)
    for path, text in (("/proc/self/autogroup", "19"), ("/proc/self/oom_score_adj", "1000")):
        with contextlib.suppress(OSError), open(path, "w") as stream:
            stream.write(text)


if __name__ == "__main__":
    main()
