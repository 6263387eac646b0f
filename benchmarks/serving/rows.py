"""Measurements as values, and what several rounds of them come to. Pure."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is measured in one go: a row of the table."""

    target: str
    """"engine", "lineside", "lineside unix", or a baseline's name."""
    engine: str
    payload: str
    """"tensor", "shared memory", "raw" or "jpeg"."""
    callers: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One cell in one round."""

    seconds: float
    """How long it was measured."""
    latencies: tuple[float, ...]
    """Of every answer, seconds."""
    cpu_seconds: float = 0.0
    """Processor time of the server's processes meanwhile."""
    rss_mb: float = 0.0
    """Memory of the server's processes, at its end."""

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many of them do not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values, expected at least one")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row_of(cell: Cell, rounds: Sequence[Sample], bare: Sequence[Sample]) -> dict[str, Any]:
    """The row of a cell: medians over the rounds; ratios and added time against the engine alone in the same round.

    Args:
        cell: what was measured.
        rounds: its samples, one a round.
        bare: the engine's own in the same rounds.

    Raises:
        ValueError: there are not as many of both.
    """
    if len(rounds) != len(bare) or not rounds:
        raise ValueError(f"{len(rounds)} rounds and {len(bare)} of the engine alone, expected as many and at least one")
    middle = statistics.median
    p50 = [percentile(sample.latencies, 0.5) for sample in rounds]
    bare_p50 = [percentile(sample.latencies, 0.5) for sample in bare]
    return {
        "target": cell.target,
        "engine": cell.engine,
        "payload": cell.payload,
        "callers": cell.callers,
        "throughput": round(middle(sample.throughput for sample in rounds), 1),
        "ratio_to_engine": round(
            middle(one.throughput / other.throughput for one, other in zip(rounds, bare, strict=True)), 3
        ),
        "p50_ms": round(1e3 * middle(p50), 3),
        "p99_ms": round(1e3 * middle(percentile(sample.latencies, 0.99) for sample in rounds), 3),
        "added_p50_ms": round(1e3 * middle(one - other for one, other in zip(p50, bare_p50, strict=True)), 3),
        "cpu_ms_per_request": round(
            1e3 * middle(sample.cpu_seconds / max(1, len(sample.latencies)) for sample in rounds), 3
        ),
        "rss_mb": round(middle(sample.rss_mb for sample in rounds), 1),
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the station is asked for, and what was seen."""

    name: str
    wanted: float
    seen: float | None
    """None: not measured in this run."""
    at_least: bool = True
    """False: `wanted` is the most there may be."""

    @property
    def met(self) -> bool | None:
        """None: not measured."""
        if self.seen is None:
            return None
        return self.seen >= self.wanted if self.at_least else self.seen <= self.wanted

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sign = "at least" if self.at_least else "at most"
        return {"goal": self.name, "wanted": f"{sign} {self.wanted:g}", "seen": self.seen, "met": self.met}


def goals_of(rows: Sequence[Mapping[str, Any]], more: Mapping[str, float]) -> list[Goal]:
    """The goals for a table.

    Args:
        rows: as of `row_of`.
        more: figures that are no rows, by name.
    """

    def seen(key: str, engine: str, payload: str, callers: int, target: str = "lineside") -> float | None:
        for row in rows:
            if (row["target"], row["engine"], row["payload"], row["callers"]) == (target, engine, payload, callers):
                return float(row[key])
        return None

    def quotient(one: float | None, other: float | None) -> float | None:
        return None if one is None or not other else round(one / other, 3)

    goals = []
    for engine in sorted({str(row["engine"]) for row in rows if row["engine"] in ("waiting", "network")}, reverse=True):
        shares = {"shared memory": 0.97, "raw": 0.92, "jpeg": 0.93} if engine == "waiting" else {}
        for payload, added, cpu in (("shared memory", 0.8, 0.9), ("raw", 1.6, 1.7), ("jpeg", 2.3, 2.4)):
            name = f"{engine}, {payload}"
            four = seen("throughput", engine, payload, 4)
            goals += [
                Goal(
                    name=f"{name}: throughput of 4 callers over the engine's",
                    wanted=shares.get(payload, 0.96),
                    seen=seen("ratio_to_engine", engine, payload, 4),
                ),
                Goal(
                    name=f"{name}: throughput of 16 callers over that of 4",
                    wanted=0.97,
                    seen=quotient(seen("throughput", engine, payload, 16), four),
                ),
                Goal(
                    name=f"{name}: p99 over p50 of 4 callers",
                    wanted=1.3,
                    seen=quotient(seen("p99_ms", engine, payload, 4), seen("p50_ms", engine, payload, 4)),
                    at_least=False,
                ),
                Goal(
                    name=f"{name}: added p50 of 1 caller, ms",
                    wanted=added,
                    seen=seen("added_p50_ms", engine, payload, 1),
                    at_least=False,
                ),
            ]
            if engine == "waiting":
                goals.append(
                    Goal(
                        name=f"{name}: the station's processor time a request at 4 callers, ms",
                        wanted=cpu,
                        seen=seen("cpu_ms_per_request", engine, payload, 4),
                        at_least=False,
                    )
                )
        if engine == "waiting":
            for payload, factor in (("raw", 1.5), ("jpeg", 2.1)):
                best = [
                    float(row["throughput"])
                    for row in rows
                    if (row["engine"], row["payload"], row["callers"]) == (engine, payload, 4)
                    and row["target"] in MODEL_SERVERS
                ]
                goals.append(
                    Goal(
                        name=f"{engine}, {payload}: throughput of 4 callers over the best other model server's",
                        wanted=factor,
                        seen=quotient(seen("throughput", engine, payload, 4), max(best, default=None)),
                    )
                )
    memory = [float(row["rss_mb"]) for row in rows if row["target"] == "lineside"]
    goals.append(Goal(name="the station's memory, MB", wanted=150, seen=max(memory, default=None), at_least=False))
    for name, (wanted, at_least) in OTHER_GOALS.items():
        goals.append(Goal(name=name, wanted=wanted, seen=more.get(name), at_least=at_least))
    return goals


MODEL_SERVERS = ("litserve", "mlserver")
OTHER_GOALS: dict[str, tuple[float, bool]] = {
    "5-megapixel mono frame by shared memory, transport alone, ms": (0.8, False),
    "5-megapixel mono frame by proto message, transport alone, ms": (6.0, False),
    "waiting, open loop at 1.5 times capacity: in-time answers over capacity": (0.95, True),
    "waiting, open loop at 1.5 times capacity: p50 of a refusal, ms": (5.0, False),
    "waiting, open loop at 1.5 times capacity: p99 of a refusal, ms": (50.0, False),
    "waiting, open loop at 1.5 times capacity: first request after over the usual": (2.0, False),
    "network, open loop at 1.5 times capacity: in-time answers over capacity": (0.95, True),
    "network, open loop at 1.5 times capacity: p50 of a refusal, ms": (5.0, False),
    "network, open loop at 1.5 times capacity: p99 of a refusal, ms": (50.0, False),
    "network, open loop at 1.5 times capacity: first request after over the usual": (2.0, False),
    "a polite caller at 40 % of the capacity beside a greedy one: of his pictures answered": (0.9, True),
    "durable logging of every result: added p50, ms": (0.1, False),
}
