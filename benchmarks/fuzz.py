"""Sends a station requests that are almost right, to every RPC it has, and looks at each answer.

    python -m benchmarks.fuzz --requests 20000 --json FILE

A real station process, real gRPC. Each RPC gets as many requests as asked for (a push, with its several messages, is
one): nine in ten are valid messages with a few fields changed (fuzz_requests.py), the rest damaged bytes. What must
never come: a status outside the contract or without its reason, INTERNAL, a traceback, a path of the machine, in an
answer, an error or the station's log; an answer missing from a stream; a station that afterwards answers a right
request wrongly, does not stop politely, or holds more threads and files than before. `troubles` says where it did.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing.shared_memory
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import tiles
from benchmarks.fuzz_attack import Fuzzer, Row, rpcs
from benchmarks.fuzz_seeds import Station
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.pixels import encode_png
from loop.station import OUTPUT_FILE, StationProcess

SPARE_THREADS = 24
SPARE_FILES = 8
SETTLE_SECONDS = 10.0
BIASES = {"1.0.0": 0.0, "1.1.0": 0.05}
"""Of the packages that may serve, by version."""


@dataclasses.dataclass(slots=True)
class FuzzReport:
    """What a run has shown."""

    seed: int
    rows: list[Row] = dataclasses.field(default_factory=list)
    troubles: list[str] = dataclasses.field(default_factory=list)
    """Of the station as a whole."""
    seconds: float = 0.0
    threads_growth: int = 0
    files_growth: int = 0

    @property
    def all_troubles(self) -> list[str]:
        """Those of every row too."""
        return [*self.troubles, *(f"{row.rpc}: {trouble}" for row in self.rows for trouble in row.troubles)]


@contextlib.contextmanager
def under_attack(folder: Path, report: FuzzReport) -> Iterator[Fuzzer]:
    """A station in a folder, and who attacks it; on leaving it is looked back on.

    Args:
        folder: empty; in memory, if possible: what is done to models is synced line by line.
        report: its troubles are told what the station has come to.
    """
    private, public = tiles.make_key(folder / "keys")
    signed = [
        tiles.make_anchor_package(folder / version, version=version, bias=bias, sign_key=private)
        for version, bias in BIASES.items()
    ]
    unsigned = tiles.make_anchor_package(folder / "unsigned", version="1.2.0", bias=0.1)
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    try:
        with StationProcess(folder / "station", _config(folder, public)) as process:
            address = process.addresses.grpc
            with ModelsClient(address) as models:
                for package in signed:
                    models.push(package.folder)
                models.activate(signed[0].digest)
            station = Station(serving=signed[0], other=signed[1], unsigned=unsigned, shared_memory=memory.name)
            secrets = [str(place).encode() for place in (folder, Path(__file__).resolve().parents[1], sys.prefix)]
            before = _held(process.addresses.pid)
            fuzzer = Fuzzer(address, station, [*secrets, b"Traceback", b'File "', b".py:"], report.seed)
            yield fuzzer
            fuzzer.close()
            _look_back(process, report, before)
            code = process.stop()
            if code:
                report.troubles.append(f"it stopped with exit code {code}")
    finally:
        memory.close()
        memory.unlink()
    log = (folder / "station" / OUTPUT_FILE).read_text(errors="replace").splitlines()
    said = [line for line in log if "did not foresee" in line or "Traceback" in line]
    report.troubles += [f"its log says {line!r}" for line in said[:5]]


def _config(folder: Path, public: Path) -> dict[str, Any]:
    pictures = folder / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(encode_png(tiles.picture()))
    return {
        "station": {"name": "line-1"},
        "grpc": {"listen": "127.0.0.1:0"},
        "stream": {"listen": "tcp://127.0.0.1:0"},
        "feedback": {"listen": "tcp://127.0.0.1:0"},
        "panel": {"enabled": False},
        "mentoring": {"reserve_mb": 1, "policies": [{"kind": "audit", "share": 0.2}]},
        "models": {"trusted_keys": [str(public)]},
        "cameras": [{"name": "files", "kind": "folder", "folder": str(pictures), "loop": True}],
        "recipes": [{"name": "lax", "part": "L-*", "maximum_count": 3}],
    }


def _look_back(process: StationProcess, report: FuzzReport, before: tuple[int, int]) -> None:
    """Whether the station is as it was."""
    address = process.addresses.grpc
    with InspectionClient(address) as client, ModelsClient(address) as models:
        models.thaw("the attack is over")
        answer = client.inspect_pixels(tiles.picture())
        expected = tiles.expected_score(BIASES.get(answer.model.version, -1.0))
        if [round(item.score, 4) for item in answer.detections] != [round(expected, 4)]:
            report.troubles.append(f"a right request is answered wrongly: {answer.verdict_reason!r}")
    until = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        threads, files = _held(process.addresses.pid)
        report.threads_growth, report.files_growth = threads - before[0], files - before[1]
        if report.threads_growth <= SPARE_THREADS and report.files_growth <= SPARE_FILES:
            return
        time.sleep(0.2)
    report.troubles.append(f"it holds {report.threads_growth} threads and {report.files_growth} files more than before")


def _held(pid: int) -> tuple[int, int]:
    """Threads and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
    return threads, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=20000, help="for each RPC (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the report")
    given = parser.parse_args(arguments)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="lineside-fuzz-", dir=memory if memory.is_dir() else None) as folder:
        began = time.monotonic()
        report = FuzzReport(seed=given.seed)
        with under_attack(Path(folder), report) as fuzzer:
            for rpc in rpcs():
                report.rows.append(fuzzer.attack(rpc, given.requests))
                _print_row(report.rows[-1])
        report.seconds = time.monotonic() - began
    for trouble in report.all_troubles:
        print(f"TROUBLE {trouble}")
    sent = sum(row.requests for row in report.rows)
    print(f"{sent} requests to {len(report.rows)} RPCs, {len(report.all_troubles)} troubles, {report.seconds:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(dataclasses.asdict(report), indent=1) + "\n")
    return 1 if report.all_troubles else 0


def _print_row(row: Row) -> None:
    refused = ", ".join(f"{word} {count}" for word, count in row.refused.most_common())
    print(f"{row.rpc}: {row.requests} sent, {row.answered} answered; {refused or 'none refused'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
