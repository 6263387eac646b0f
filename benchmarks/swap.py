"""Swaps the models of a working station again and again, under load, and looks at every single answer.

    python -m benchmarks.swap --swaps 200 --json FILE

A real station process, real sockets. Four line PCs send pictures at a steady pace, one of them by a pipelined stream.
Four sound packages take turns, so that each swap loads an engine and puts another one away; every tenth swap is of a
package that must be refused instead. `failed` counts requests without a verdict, `mixed` replies whose detections are
not those of the model whose digest they carry (the answers are known beforehand, by a formula), `refused` packages that
were refused for exactly their reason while the model before went on serving. `p99_ratio` is the 99th percentile of
answers asked for during a swap over that of answers in the pauses between swaps, which lie side by side, so that what
else the machine does falls on both. `rss_growth_mb` is the station's memory at the end over that before the first of
them, after each package had served once; both when everything has settled. It holds the station's ring of events, too,
which grows with every answer until it is full (32 MB).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import tiles
from benchmarks.bad_packages import Bad, bad_packages
from lineside.client.inspection import InspectionClient, StreamAnswer, pixels_request
from lineside.client.models import ModelsClient
from lineside.package import Package
from lineside.reasons import ContractError
from lineside.v1 import inspection_pb2
from loop.station import StationProcess

BIASES = (0.0, 0.05, 0.1, 0.15)
"""Of the sound packages: each answers every picture with another score."""
BAD_EVERY = 10
LINE_PCS = 4
PAUSE_SECONDS = 0.02
"""Between an answer and the next picture of one line PC."""
SETTLE_SECONDS = 15.0


@dataclasses.dataclass(slots=True)
class SwapReport:
    """What a run of swaps has shown."""

    swaps: int = 0
    """Tried: activations and the pushes that have to be refused."""
    requests: int = 0
    failed: int = 0
    mixed: int = 0
    refused: int = 0
    p99_ratio: float = 0.0
    rss_growth_mb: float = 0.0
    rss_mb: float = 0.0
    swap_p99_ms: float = 0.0
    pause_p99_ms: float = 0.0
    activate_ms: float = 0.0
    """Median of an activation, from call to reply, loading and golden cases included."""
    rollback_ms: float = 0.0
    """The longest manual rollback, from call to reply."""
    rollbacks: int = 0
    models_seen: int = 0
    """Models that answered at least one request."""
    seed: int = 0
    troubles: list[str] = dataclasses.field(default_factory=list)
    """One line for each thing that is not as promised."""


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """When a picture was sent and its answer there, `time.perf_counter` seconds."""

    sent: float
    answered: float


class Load:
    """Line PCs that send pictures and check each answer against the model it names.

    Args:
        target: the station's gRPC.
        biases: of the packages, by digest.
        seed: of the pictures.
    """

    def __init__(self, target: str, biases: dict[str, float], seed: int) -> None:
        self._target = target
        self._biases = biases
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0
        self.answered: Counter[str] = Counter()
        self.frames: set[str] = set()
        self.times: list[Timed] = []
        self.failed: list[str] = []
        self.mixed: list[str] = []
        works = [self._one_by_one] * (LINE_PCS - 1) + [self._pipelined]
        self._threads = [
            threading.Thread(
                target=self._guarded, args=(work, random.Random(f"{seed}/{number}")), name=f"line-pc-{number}"
            )
            for number, work in enumerate(works)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until that many more frames have been answered, or something is wrong."""
        pause, until = threading.Event(), self.answered.total() + more
        while self.answered.total() < until and not self.failed:
            pause.wait(0.005)

    def _guarded(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            work(chance)
        except Exception as error:
            with self._lock:
                self.failed.append(f"{threading.current_thread().name}: {error!r}")

    def _picture(self, chance: random.Random) -> tuple[int, int]:
        with self._lock:
            self.sent += 1
        return chance.randrange(tiles.CELLS), chance.randrange(tiles.CELLS)

    def _one_by_one(self, chance: random.Random) -> None:
        with InspectionClient(self._target) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                row, column = self._picture(chance)
                sent = time.perf_counter()
                result = client.inspect_pixels(tiles.picture(row, column))
                self._check(result, row, column, Timed(sent, time.perf_counter()))

    def _pipelined(self, chance: random.Random) -> None:
        asked: dict[int, tuple[int, int]] = {}

        def requests() -> Iterator[inspection_pb2.InspectRequest]:
            while not self._stop.wait(PAUSE_SECONDS / 2):
                asked[len(asked)] = row, column = self._picture(chance)
                yield pixels_request(tiles.picture(row, column))

        with InspectionClient(self._target) as client:
            for answer in client.stream(requests()):
                self._check(_result_of(answer), *asked[answer.tag], None)

    def _check(self, result: inspection_pb2.InspectionResult, row: int, column: int, timed: Timed | None) -> None:
        with self._lock:
            self.answered[result.model.digest] += 1
            self.frames.add(result.frame_id)
            if timed is not None:
                self.times.append(timed)
            if result.verdict == inspection_pb2.VERDICT_NO_VERDICT:
                self.failed.append(f"{result.frame_id}: NO_VERDICT, {result.verdict_reason}")
            elif not self._is_of_its_model(result, row, column):
                self.mixed.append(f"{result.model.version} answered {result.detections}")

    def _is_of_its_model(self, result: inspection_pb2.InspectionResult, row: int, column: int) -> bool:
        bias = self._biases.get(result.model.digest)
        if bias is None or len(result.detections) != 1:
            return False
        (found,) = result.detections
        step = float(tiles.STRIDE)
        place = (column * step, row * step, (column + 1) * step, (row + 1) * step)
        return (
            (found.box.x1, found.box.y1, found.box.x2, found.box.y2) == place
            and math.isclose(found.score, tiles.expected_score(bias), abs_tol=1e-4)
            and result.verdict == inspection_pb2.VERDICT_REJECT
        )


class Run:
    """One run of swaps on one station.

    Args:
        station: running.
        sound: packages, pushed.
        bad: packages that have to be refused.
        load: under way.
        report: filled in.
    """

    def __init__(
        self, station: StationProcess, sound: Sequence[Package], bad: Sequence[Bad], load: Load, report: SwapReport
    ) -> None:
        self._sound, self._bad, self._load, self._report = sound, bad, load, report
        self._models = ModelsClient(station.addresses.grpc, actor="benchmark")
        self._client = InspectionClient(station.addresses.grpc)
        self._pid = station.addresses.pid
        self._spans: list[tuple[float, float]] = []
        self._activations: list[float] = []
        self._serving = sound[-1]
        self._turn = 0

    def warm_up(self) -> float:
        """Lets each package serve once; the station's memory afterwards, MB."""
        for package in self._sound:
            self._models.activate(package.digest)
            self._load.wait_for(10)
        self._serving = self._sound[-1]
        return settled_rss_mb(self._pid)

    def swap(self, number: int) -> None:
        """One swap or refusal, then a pause."""
        started = time.perf_counter()
        if number % BAD_EVERY == BAD_EVERY - 1:
            self._refuse(self._bad[number // BAD_EVERY % len(self._bad)])
        elif number % BAD_EVERY == BAD_EVERY // 2:
            self._roll_back()
        else:
            self._activate(self._sound[self._turn % len(self._sound)])
            self._turn += 1
        self._spans.append((started, time.perf_counter()))
        self._report.swaps += 1
        self._expect(self._serving)
        self._load.wait_for(6)

    def finish(self, rss_before_mb: float) -> None:
        """Works out the figures; the load is over."""
        report, load = self._report, self._load
        report.rss_mb = settled_rss_mb(self._pid)
        report.rss_growth_mb = round(report.rss_mb - rss_before_mb, 1)
        report.requests = load.sent
        report.failed = len(load.failed) + load.sent - load.answered.total() + load.sent - len(load.frames)
        report.mixed = len(load.mixed)
        report.models_seen = sum(count > 0 for count in load.answered.values())
        report.troubles += load.failed + load.mixed
        during = [item for item in load.times if self._is_during_a_swap(item)]
        pauses = [item for item in load.times if not self._is_during_a_swap(item)]
        report.swap_p99_ms = round(p99_ms(during), 2)
        report.pause_p99_ms = round(p99_ms(pauses), 2)
        report.p99_ratio = round(report.swap_p99_ms / report.pause_p99_ms, 2) if report.pause_p99_ms else math.nan
        report.activate_ms = round(sorted(self._activations)[len(self._activations) // 2], 1)
        self._models.close()
        self._client.close()

    def _is_during_a_swap(self, timed: Timed) -> bool:
        return any(start <= timed.answered and timed.sent <= end for start, end in self._spans)

    def _activate(self, package: Package) -> None:
        started = time.perf_counter()
        status = self._models.activate(package.digest)
        self._activations.append((time.perf_counter() - started) * 1000)
        self._serving = package
        if not status.serving:
            self._report.troubles.append(f"{package.manifest.version} was activated and does not serve")

    def _roll_back(self) -> None:
        started = time.perf_counter()
        status = self._models.rollback("the benchmark wants it")
        self._report.rollback_ms = round(max(self._report.rollback_ms, (time.perf_counter() - started) * 1000), 1)
        self._report.rollbacks += 1
        self._serving = next(package for package in self._sound if package.digest == status.model.digest)

    def _refuse(self, bad: Bad) -> None:
        try:
            self._models.push(bad.folder)
        except ContractError as error:
            if error.reason is bad.reason:
                self._report.refused += 1
                return
            self._report.troubles.append(f"{bad.what}: refused with {error}, expected {bad.reason.name}")
        else:
            self._report.troubles.append(f"{bad.what}: not refused")

    def _expect(self, package: Package) -> None:
        """From the reply on, every new frame is the new model's; after a refusal still the old one's."""
        digest = self._client.inspect_pixels(tiles.picture()).model.digest
        if digest != package.digest:
            self._report.troubles.append(f"after the swap to {package.digest} a frame was judged by {digest}")


def run(
    folder: Path, *, swaps: int, seed: int = 0, on_swap: Callable[[SwapReport], None] = lambda _: None
) -> SwapReport:
    """Starts a station, works it and swaps its models.

    Args:
        folder: for packages, keys and the station; empty.
        swaps: how many, those that have to be refused among them.
        seed: of the pictures.
        on_swap: told after each.
    """
    private, public = tiles.make_key(folder / "keys")
    sound = [
        tiles.make_anchor_package(folder / f"sound-{number}", version=f"1.{number}.0", bias=bias, sign_key=private)
        for number, bias in enumerate(BIASES)
    ]
    bad = bad_packages(folder / "bad", private)
    sections = {
        "station": {"name": "line-1"},
        "grpc": {"listen": "127.0.0.1:0"},
        "stream": {"listen": "tcp://127.0.0.1:0"},
        "feedback": {"listen": "tcp://127.0.0.1:0"},
        "panel": {"enabled": False},
        # The load is no line: nothing of it is worth keeping.
        "mentoring": {"reserve_mb": 1, "policies": []},
        "models": {"trusted_keys": [str(public)]},
        "recipes": [{"name": "all", "thresholds": {"dent": 0.5}}],
    }
    report = SwapReport(seed=seed)
    with StationProcess(folder / "station", sections) as station:
        target = station.addresses.grpc
        with ModelsClient(target) as models:
            for package in sound:
                models.push(package.folder)
            models.activate(sound[0].digest)
        load = Load(target, dict(zip((package.digest for package in sound), BIASES, strict=True)), seed)
        work = Run(station, sound, bad, load, report)
        with load:
            rss = work.warm_up()
            for number in range(swaps):
                work.swap(number)
                on_swap(report)
        work.finish(rss)
    staging = station.data_dir / "models" / "staging"
    report.troubles += [f"left in staging: {path.name}" for path in staging.iterdir()]
    return report


def p99_ms(times: Sequence[Timed]) -> float:
    """99th percentile (nearest rank), milliseconds; NaN without any."""
    if not times:
        return math.nan
    ordered = sorted(item.answered - item.sent for item in times)
    return ordered[math.ceil(0.99 * len(ordered)) - 1] * 1000


def settled_rss_mb(pid: int) -> float:
    """Memory of a process when it has stopped falling, MB: the least seen within a while."""
    pause, until = threading.Event(), time.monotonic() + SETTLE_SECONDS
    least, least_at = rss_mb(pid), time.monotonic()
    while time.monotonic() < until and time.monotonic() - least_at < 3:
        pause.wait(0.25)
        now = rss_mb(pid)
        if now < least - 0.5:
            least, least_at = now, time.monotonic()
    return round(least, 1)


def rss_mb(pid: int) -> float:
    """Memory a process has in RAM now, MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return math.nan


def _result_of(answer: StreamAnswer) -> inspection_pb2.InspectionResult:
    if answer.result is None:
        raise RuntimeError(f"the stream answered with an error: {answer.error}")
    return answer.result


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--swaps", type=int, default=200, help="how many swaps are tried (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures (default %(default)s)")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    options = parser.parse_args(arguments)

    def show(report: SwapReport) -> None:
        print(
            f"\rswap {report.swaps} of {options.swaps}, {report.refused} refused", end="", file=sys.stderr, flush=True
        )

    with tempfile.TemporaryDirectory(prefix="lineside-swap-") as folder:
        report = run(Path(folder), swaps=options.swaps, seed=options.seed, on_swap=show)
    print(file=sys.stderr)
    for trouble in report.troubles[:20]:
        print(trouble, file=sys.stderr)
    figures = dataclasses.asdict(report)
    print(json.dumps({name: value for name, value in figures.items() if name != "troubles"}))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if report.failed or report.mixed or report.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
