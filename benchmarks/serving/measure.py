"""The measurements that make the table, and those that are no rows: open loop, transport, logging, fairness."""

from __future__ import annotations

import contextlib
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.serving import callers, engines, load, servers
from benchmarks.serving.engines import Engine
from benchmarks.serving.rows import Cell, Sample, percentile, row_of
from benchmarks.serving.targets import Target, start_station
from lineside.client.inspection import InspectionClient, SharedPictures, file_request
from lineside.package import Package
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

OVERLOAD = 1.5
_WARM = 3


def take_turns(
    engine: Engine, targets: Sequence[Target], *, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The rows of one engine: in every round each cell is measured once, beginning with another one each time."""
    cells = [
        (Cell(target=target.name, engine=engine.name, payload=payload, callers=count), target)
        for target in targets
        for payload in target.payloads
        for count in target.callers
    ]
    taken: dict[Cell, list[Sample]] = {cell: [] for cell, _ in cells}
    for number in range(rounds):
        turn = number * len(cells) // rounds
        for cell, target in cells[turn:] + cells[:turn]:
            say(f"round {number + 1} of {rounds}: {cell.engine}, {cell.target}, {cell.payload}, {cell.callers}")
            taken[cell].append(_measured(cell, target, seconds))
    bare = next(samples for cell, samples in taken.items() if cell.target == "engine")
    return [row_of(cell, samples, bare) for cell, samples in taken.items()]


def _measured(cell: Cell, target: Target, seconds: float) -> Sample:
    with awake(target):
        before = servers.cpu_seconds(target.pid) if target.pid else time.process_time()
        # Warm-up's processor time is in, too: it is shared out over so many requests more.
        sample = load.closed(target.connect(cell.payload), cell.callers, seconds, warm=_WARM)
        after = servers.cpu_seconds(target.pid) if target.pid else time.process_time()
        asked = len(sample.latencies) + _WARM * cell.callers
        return Sample(
            seconds=sample.seconds,
            latencies=sample.latencies,
            cpu_seconds=(after - before) * len(sample.latencies) / asked,
            rss_mb=servers.rss_mb(target.pid) if target.pid else 0.0,
        )


@contextlib.contextmanager
def awake(target: Target) -> Iterator[None]:
    """While inside, the target's processes run."""
    if target.pid:
        servers.resume(target.pid)
    try:
        yield
    finally:
        if target.pid:
            servers.pause(target.pid)


def overload(engine: Engine, target: Target, *, rounds: int, seconds: float) -> dict[str, Any]:
    """An open loop at 1.5 times what four callers get, JPEG.

    In time is an answer within twice the 99th percentile of a caller alone: each call has that deadline. Capacity and
    that percentile are measured beside it in every round.
    """
    pixels = engines.picture(engine.size)
    request = file_request(engines.jpeg(pixels))
    connect = callers.station(target.address, pixels, "jpeg")
    found: list[dict[str, Any]] = []
    with awake(target):
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(target.address, options) as channel:
            stub = inspection_pb2_grpc.InspectionStub(channel)
            for _ in range(rounds):
                alone = load.closed(connect, 1, seconds / 2)
                usual = percentile(alone.latencies, 0.5)
                capacity = load.closed(connect, 4, seconds).throughput
                limit = 2 * percentile(alone.latencies, 0.99)
                start = functools.partial(stub.Inspect.future, request, timeout=limit)
                seen = load.open_loop(start, OVERLOAD * capacity, seconds)
                before = time.perf_counter()
                stub.Inspect(request, timeout=60)
                first = time.perf_counter() - before
                found.append(
                    {
                        "capacity": capacity,
                        "offered": seen.offered / seen.seconds,
                        "in_time_over_capacity": len(seen.answers) / seen.seconds / capacity,
                        "answer_p99_over_usual_p99": percentile(seen.answers, 0.99) / percentile(alone.latencies, 0.99)
                        if seen.answers
                        else None,
                        "refusal_p50_ms": 1e3 * percentile(seen.refusals, 0.5) if seen.refusals else None,
                        "refusal_p99_ms": 1e3 * percentile(seen.refusals, 0.99) if seen.refusals else None,
                        "refused": len(seen.refusals),
                        "late": seen.others["DEADLINE_EXCEEDED"],
                        "other": sum(seen.others.values()) - seen.others["DEADLINE_EXCEEDED"],
                        "first_after_over_usual": first / usual,
                        "limit_ms": 1e3 * limit,
                    }
                )
    return {"engine": engine.name, "payload": "jpeg", **_medians(found)}


def _medians(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in found[0]:
        values = [item[name] for item in found if item[name] is not None]
        result[name] = round(statistics.median(values), 3) if values else None
    return result


def transport(target: Target, *, calls: int) -> list[dict[str, Any]]:
    """A mono frame of 2448 by 2048 pixels: from asking to the answer, less what the station did with the pixels it had.

    What the station says it spent on letterbox, engine and decision is taken off each answer's time; copying the frame
    in, and waiting for a place, is not.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2448), np.uint8)
    found = []
    with (
        awake(target),
        InspectionClient(target.address) as client,
        SharedPictures(pixels.nbytes, slots=2) as shared,
        shared.put(pixels) as slot,
    ):
        request = slot.request()

        def taken(ask: Callable[[], inspection_pb2.InspectionResult]) -> list[float]:
            times = []
            for number in range(calls + 2):
                before = time.perf_counter()
                stages = ask().timings
                spent = time.perf_counter() - before
                if number >= 2:
                    times.append(spent - (stages.preprocess_us + stages.inference_us + stages.decide_us) / 1e6)
            return times

        ways: dict[str, Callable[[], inspection_pb2.InspectionResult]] = {
            "shared memory": lambda: client.inspect(request),
            "proto message": lambda: client.inspect_pixels(pixels),
        }
        for name, ask in ways.items():
            times = taken(ask)
            found.append(
                {
                    "payload": name,
                    "bytes": pixels.nbytes,
                    "p50_ms": round(1e3 * percentile(times, 0.5), 3),
                    "p99_ms": round(1e3 * percentile(times, 0.99), 3),
                }
            )
    return found


def logging_cost(engine: Engine, package: Package, work: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """One caller with JPEG at a station that keeps every frame durably, and at one that keeps none, in turns."""
    pixels = engines.picture(engine.size)
    with contextlib.ExitStack() as stack:
        stations = {}
        for name, policies in (
            ("on", [{"kind": "audit", "share": 1.0}]),
            ("off", [{"kind": "no_verdict"}]),
        ):
            process = start_station(
                stack, engine, package, work / f"logging-{name}", {"mentoring": {"reserve_mb": 1, "policies": policies}}
            )
            stations[name] = process.addresses
            servers.pause(process.addresses.pid)
        taken: dict[str, list[float]] = {"on": [], "off": []}
        for number in range(rounds * 2):
            for name in ("on", "off") if number % 2 else ("off", "on"):
                servers.resume(stations[name].pid)
                sample = load.closed(callers.station(stations[name].grpc, pixels, "jpeg"), 1, seconds / 2)
                servers.pause(stations[name].pid)
                taken[name].append(1e3 * percentile(sample.latencies, 0.5))
        added = [one - other for one, other in zip(taken["on"], taken["off"], strict=True)]
        return {
            "engine": engine.name,
            "payload": "jpeg",
            "off_p50_ms": round(statistics.median(taken["off"]), 3),
            "on_p50_ms": round(statistics.median(taken["on"]), 3),
            "added_p50_ms": round(statistics.median(added), 3),
        }


def fairness(engine: Engine, target: Target, *, rounds: int, seconds: float) -> dict[str, Any]:
    """A line PC at a steady 40 % of the capacity, beside one with 32 calls at a time that asks anew after each answer.

    Half the capacity is the share of each, so what he asks is within his: `polite_over_share` is how much of it is
    answered within a second. `closed_over_share` is the same for one who waits for each answer before he asks again,
    against half the capacity or what he gets alone, whichever is less.
    """
    pixels = engines.picture(engine.size)
    connect = callers.station(target.address, pixels, "jpeg")
    request = file_request(engines.jpeg(pixels))
    found = []
    with awake(target):
        for _ in range(rounds):
            alone = load.closed(connect, 1, seconds / 2).throughput
            capacity = load.closed(connect, 4, seconds).throughput
            with subprocess.Popen(
                [sys.executable, "-m", "benchmarks.serving.greedy", target.address, str(engine.size), str(2 * seconds)],
                stdout=subprocess.PIPE,
            ) as greedy:
                assert greedy.stdout is not None
                greedy.stdout.readline()
                options = [("grpc.use_local_subchannel_pool", 1)]
                with grpc.insecure_channel(target.address, options) as channel:
                    stub = inspection_pb2_grpc.InspectionStub(channel)
                    start = functools.partial(stub.Inspect.future, request, timeout=1.0)
                    steady = load.open_loop(start, 0.4 * capacity, seconds)
                beside = load.closed(_patient(connect), 1, seconds / 2).throughput
                answered = float(greedy.stdout.readline())
            found.append(
                {
                    "capacity": capacity,
                    "polite_over_share": len(steady.answers) / steady.offered,
                    "polite_refused": len(steady.refusals),
                    "closed_over_share": beside / min(alone, capacity / 2),
                    "greedy": answered,
                }
            )
    return {"engine": engine.name, "payload": "jpeg", **_medians(found)}


def _patient(connect: load.Caller) -> load.Caller:
    """Asks again when there is no room."""
    from lineside.reasons import ContractError, Reason

    def answered(ask: load.Call) -> bool:
        try:
            ask()
        except ContractError as error:
            if error.reason is not Reason.QUEUE_FULL:
                raise
            return False
        return True

    @contextlib.contextmanager
    def patient() -> Iterator[load.Call]:
        with connect() as ask:

            def call() -> None:
                while not answered(ask):
                    time.sleep(0.005)

            yield call

    return patient
