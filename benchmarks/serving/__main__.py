"""How much of an engine's speed reaches whoever asks the station.

    python -m benchmarks.serving --json FILE

Side by side in one run, in turns, several rounds: the bare engine, a station over gRPC (JPEG, raw pixels, shared
memory; TCP and a unix socket; 1, 4 and 16 callers), and other servers for the same graph, each in an environment of its
own that is made here. Ratios and added times are against the bare engine in the same round; the table shows medians
over the rounds. Then: an open loop at 1.5 times the capacity, a polite caller beside a greedy one, a frame of 5
megapixels, and what durable logging costs. Callers and servers share the machine's cores. What of the goals is met is
said at the end; `--strict` makes it the exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving import engines, measure, servers, targets
from benchmarks.serving.rows import goals_of
from edge.cli import MALLOC
from loop.figures import machine, write_json

_KEYS = (
    "target",
    "engine",
    "payload",
    "callers",
    "throughput",
    "ratio_to_engine",
    "p50_ms",
    "p99_ms",
    "added_p50_ms",
    "cpu_ms_per_request",
    "rss_mb",
)


def measured(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Everything, as plain values."""
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    more: dict[str, Any] = {"open_loop": [], "fairness": [], "transport": [], "logging": []}
    load_before = os.getloadavg()[0]
    started = time.monotonic()
    for engine in engines.ENGINES:
        if engine.name not in options.engines:
            continue
        with tempfile.TemporaryDirectory(prefix="serving-") as folder, contextlib.ExitStack() as stack:
            work = Path(folder)
            package = engines.make_package(engine, work / "package")
            with console.status("starting") as status:
                started_targets, absent = targets.start(
                    stack,
                    engine,
                    package,
                    work,
                    environments=options.environments,
                    install_seconds=options.install_seconds,
                    baselines=options.baselines,
                    say=lambda text: status.update(f"starting {text}"),
                )
                missing |= absent
                rows += measure.take_turns(
                    engine, started_targets, rounds=options.rounds, seconds=options.seconds, say=status.update
                )
                station = next(target for target in started_targets if target.name == "lineside")
                if "overload" in options.parts:
                    status.update(f"{engine.name}: overload")
                    more["open_loop"].append(
                        measure.overload(engine, station, rounds=options.rounds, seconds=2 * options.seconds)
                    )
                if engine.waits and "fairness" in options.parts:
                    status.update(f"{engine.name}: fairness")
                    more["fairness"].append(
                        measure.fairness(engine, station, rounds=options.rounds, seconds=2 * options.seconds)
                    )
                if engine.waits and "transport" in options.parts:
                    status.update("transport")
                    more["transport"] = measure.transport(station, calls=20 if options.quick else 100)
                if engine.waits and "logging" in options.parts:
                    status.update("logging")
                    more["logging"].append(
                        measure.logging_cost(engine, package, work, rounds=options.rounds, seconds=2 * options.seconds)
                    )
    figures = _figures(more)
    return {
        "machine": machine(),
        "load_average": {"before": round(load_before, 1), "after": round(os.getloadavg()[0], 1)},
        "busy_machine": load_before > 1.0,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "rounds": options.rounds,
        "seconds_a_cell": options.seconds,
        "rows": [{key: row[key] for key in _KEYS} for row in rows],
        **more,
        "not_measured": missing,
        "goals": [goal.to_json() for goal in goals_of(rows, figures)],
    }


def _figures(more: dict[str, Any]) -> dict[str, float]:
    figures: dict[str, float | None] = {}
    for item in more["open_loop"]:
        prefix = f"{item['engine']}, open loop at 1.5 times capacity: "
        figures[prefix + "in-time answers over capacity"] = item["in_time_over_capacity"]
        figures[prefix + "p50 of a refusal, ms"] = item["refusal_p50_ms"]
        figures[prefix + "p99 of a refusal, ms"] = item["refusal_p99_ms"]
        figures[prefix + "first request after over the usual"] = item["first_after_over_usual"]
    for item in more["transport"]:
        figures[f"5-megapixel mono frame by {item['payload']}, transport alone, ms"] = item["p50_ms"]
    for item in more["fairness"]:
        figures["a polite caller at 40 % of the capacity beside a greedy one: of his pictures answered"] = item[
            "polite_over_share"
        ]
    for item in more["logging"]:
        figures["durable logging of every result: added p50, ms"] = item["added_p50_ms"]
    return {name: value for name, value in figures.items() if value is not None}


def show(values: dict[str, Any], console: Console) -> None:
    """Two tables and what is missing."""
    table = Table(title=f"Median of {values['rounds']} rounds")
    for key in _KEYS:
        table.add_column(key, justify="left" if key in ("target", "engine", "payload") else "right")
    for row in values["rows"]:
        table.add_row(*(str(row[key]) for key in _KEYS))
    console.print(table)
    for name in ("open_loop", "fairness", "transport", "logging"):
        for item in values[name]:
            console.print(name, item)
    goals = Table(title="Goals")
    for heading in ("goal", "wanted", "seen", "met"):
        goals.add_column(heading)
    for goal in values["goals"]:
        met = {True: "yes", False: "no", None: "not measured"}[goal["met"]]
        goals.add_row(goal["goal"], goal["wanted"], "" if goal["seen"] is None else f"{goal['seen']:g}", met)
    console.print(goals)
    for name, why in values["not_measured"].items():
        console.print(f"{name} was not measured: {why}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineside-benchmarks"
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description="How much of an engine's speed reaches whoever asks."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.6 s instead of 5 of 2 s")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of a cell in one round")
    parser.add_argument("--engines", nargs="*", default=[item.name for item in engines.ENGINES], metavar="NAME")
    parser.add_argument("--baselines", nargs="*", default=list(targets.BASELINE_NAMES), metavar="NAME")
    parser.add_argument(
        "--parts", nargs="*", default=["overload", "fairness", "transport", "logging"], metavar="NAME",
        help="what is measured beside the table",
    )  # fmt: skip
    parser.add_argument("--environments", type=Path, default=cache, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--install-seconds", type=float, default=servers.INSTALL_SECONDS, metavar="SECONDS",
        help="how long a baseline may take to install before it is left out (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a goal that was measured is not met")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.6 if options.quick else 2.0)
    # Callers as well: see MALLOC. Line PCs are told to do so in docs/serving.md.
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **MALLOC})
    # Ended from outside it takes its servers with it, which are sessions of their own and may be held still.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    values = measured(options, console)
    show(values, console)
    if options.json:
        write_json(options.json, values)
    return int(options.strict and any(goal["met"] is False for goal in values["goals"]))


if __name__ == "__main__":
    raise SystemExit(main())
