"""Callers: a closed loop, where each waits for his answer before he asks again, and an open one that does not wait."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

from benchmarks.serving.rows import Sample

Call = Callable[[], None]
"""One request and its answer, which it checks. Raises where there is none."""
Caller = Callable[[], AbstractContextManager[Call]]
"""Connects one caller."""


def closed(connect: Caller, callers: int, seconds: float, *, warm: int = 3) -> Sample:
    """Every caller asks as soon as he is answered.

    Args:
        connect: called once for each of them, in his thread.
        callers: how many.
        seconds: how long.
        warm: requests of each beforehand.

    Raises:
        Exception: what a call raised.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(callers)]
    failed: list[Exception] = []
    ready = threading.Barrier(callers + 1)
    until = [0.0]

    def run(mine: list[tuple[float, float]]) -> None:
        try:
            with connect() as call:
                for _ in range(warm):
                    call()
                ready.wait()
                ready.wait()
                while True:
                    before = time.perf_counter()
                    if before >= until[0]:
                        break
                    call()
                    mine.append((before, time.perf_counter()))
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            failed.append(error)
            ready.abort()

    threads = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in taken]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        started = time.perf_counter()
        until[0] = started + seconds
        ready.wait()
    except threading.BrokenBarrierError:
        pass
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    times = [item for mine in taken for item in mine]
    # The last answers come after the time is over: a slow target must not gain by them.
    return Sample(
        seconds=max(end for _, end in times) - started, latencies=tuple(end - before for before, end in times)
    )


@dataclasses.dataclass(slots=True)
class Open:
    """What an open loop has seen."""

    offered: int = 0
    seconds: float = 0.0
    answers: list[float] = dataclasses.field(default_factory=list)
    """Latencies of answers in time, seconds."""
    refusals: list[float] = dataclasses.field(default_factory=list)
    """Latencies of RESOURCE_EXHAUSTED."""
    others: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Everything else, by status."""


def open_loop(start: Callable[[], Any], rate: float, seconds: float) -> Open:
    """Asks at a steady rate, whether there are answers or not.

    Args:
        start: begins one call, with its own deadline.
        rate: a second.
        seconds: how long.
    """
    seen = Open()
    lock = threading.Lock()
    left = threading.Semaphore(0)

    def done(begun: float) -> Callable[[Any], None]:
        def note(future: Any) -> None:
            took = time.perf_counter() - begun
            code = future.code()
            with lock:
                if code is grpc.StatusCode.OK:
                    seen.answers.append(took)
                elif code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    seen.refusals.append(took)
                else:
                    seen.others[code.name] += 1
            left.release()

        return note

    started = time.perf_counter()
    for moment in _moments(started, rate, seconds):
        wait = moment - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        begun = time.perf_counter()
        start().add_done_callback(done(begun))
        seen.offered += 1
    seen.seconds = time.perf_counter() - started
    for _ in range(seen.offered):
        left.acquire()
    return seen


def _moments(started: float, rate: float, seconds: float) -> Iterator[float]:
    for number in range(round(rate * seconds)):
        yield started + number / rate
