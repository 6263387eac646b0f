"""How quick the page is: from the key to "Saved" on the screen, in a real Chromium, at a station whose line runs.

A scripted hand looks at each detection for a while, then presses 1 or 2. Measured inside the page, from the key's own
time stamp to the frame of the screen that shows the acknowledgement. Beside it the same answers by plain HTTP, without
a browser: what is left of the page's time is the page's own.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import platform
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import tiles
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.mentoring_log import MentoringLogReader
from loop.ports import steady_address
from loop.station import StationProcess

FLAGS = ["--no-sandbox", "--disable-gpu"]
"""Without a GPU Chromium would imitate one; drawing in software is what such a machine does well."""
LOOK_SECONDS = 0.5
"""How long the hand looks at each."""
PATIENCE_MS = 30_000

# Notes the time of each key, and of the frame of the screen after the page says "saved".
_STOPWATCH = """() => {
    window.times = []; let pressed = 0;
    addEventListener('keydown', (event) => { pressed = event.timeStamp; }, true);
    const told = document.getElementById('told');
    new MutationObserver(() => {
        if (told.dataset.kind !== 'saved' || pressed === 0) return;
        const from = pressed; pressed = 0;
        requestAnimationFrame(() => { window.times.push(performance.now() - from); });
    }).observe(told, { attributes: true, childList: true });
}"""
# The least any page can do here and now: ask the station for a file of a few bytes, and show the next frame.
_FLOOR = """async () => {
    const from = performance.now();
    await (await fetch('/static/icon.svg')).text();
    await new Promise((shown) => requestAnimationFrame(shown));
    return performance.now() - from;
}"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PanelReport:
    """Times in milliseconds, judgements in seconds."""

    answers: int
    in_log: int
    """Of them, found in the log afterwards."""
    p50_ms: float
    """Key to acknowledgement on the screen."""
    p99_ms: float
    floor_p50_ms: float
    """A small file fetched by the page and the next frame shown, between the answers: what the machine takes anyway."""
    http_p50_ms: float
    """The same answer by HTTP without a browser."""
    judgement_s: float
    """Median from one acknowledgement to the next, the hand's look included."""
    look_s: float
    frames_per_second: float
    """Inspected meanwhile."""
    machine: str


def run(folder: Path, *, answers: int, seed: int) -> PanelReport:
    """Judges so many detections on the page, then as many by HTTP.

    Raises:
        RuntimeError: there is no Chromium, or the page stopped answering.
    """
    package = tiles.make_anchor_package(folder / "package")
    address = steady_address()
    sections = {
        "station": {"name": "line-1"},
        "grpc": {"listen": "127.0.0.1:0"},
        "stream": {"listen": "tcp://127.0.0.1:0"},
        "feedback": {"listen": "tcp://127.0.0.1:0"},
        "panel": {"listen": address, "login": False},
        "mentoring": {"reserve_mb": 1},
    }
    with StationProcess(folder / "station", sections) as station:
        with ModelsClient(station.addresses.grpc) as models:
            models.activate(models.push(package.folder).model.digest)
        with _line(station.addresses.grpc, answers * 2 + 20) as frames:
            started = time.monotonic()
            times, floors, stamps = _judge(f"http://{address}", answers, random.Random(seed))
            rate = len(frames) / (time.monotonic() - started)
            with MentoringLogReader(station.log_folder) as reader:
                in_log = reader.count()[1]
            plain = _by_http(f"http://{address}", answers)
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    return PanelReport(
        answers=answers,
        in_log=in_log,
        p50_ms=round(statistics.median(times), 1),
        p99_ms=round(sorted(times)[int(len(times) * 0.99)], 1),
        floor_p50_ms=round(statistics.median(floors), 1),
        http_p50_ms=round(statistics.median(plain), 1),
        judgement_s=round(statistics.median(gaps), 2),
        look_s=LOOK_SECONDS,
        frames_per_second=round(rate, 1),
        machine=f"{platform.machine()}, {_cores()} cores",
    )


@contextlib.contextmanager
def _line(grpc: str, first: int) -> Iterator[list[str]]:
    """A line that runs: `first` parts at once, so that there is something to judge, then ten a second."""
    frames: list[str] = []
    stopping, ready = threading.Event(), threading.Event()

    def work() -> None:
        with InspectionClient(grpc) as client:
            number = 0
            while not stopping.is_set():
                result = client.inspect_pixels(tiles.picture(number % 6, number % 5), part_id=f"p{number}")
                frames.append(result.frame_id)
                number += 1
                if number == first:
                    ready.set()
                if number >= first:
                    stopping.wait(0.1)

    thread = threading.Thread(target=work, name="benchmark-line")
    thread.start()
    try:
        if not ready.wait(120):
            raise RuntimeError("the line did not begin within two minutes")
        frames.clear()
        yield frames
    finally:
        stopping.set()
        thread.join(30)


def _judge(url: str, answers: int, chance: random.Random) -> tuple[list[float], list[float], list[float]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(url)
            page.wait_for_selector("[data-act=CONFIRM]:enabled")
            page.evaluate(_STOPWATCH)
            stamps, floors = [], []
            for number in range(answers):
                page.wait_for_selector("[data-act=CONFIRM]:enabled")
                floors.append(float(page.evaluate(_FLOOR)))
                page.wait_for_timeout(LOOK_SECONDS * 1000)
                page.keyboard.press(chance.choice("12"))
                _until(page, number + 1)
                stamps.append(time.monotonic())
            return list(page.evaluate("window.times")), floors, stamps
        finally:
            browser.close()


def _until(page: Any, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    # The page's policy forbids playwright's own waiting, which compiles text.
    while page.evaluate("window.times.length") < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"answer {count} was not acknowledged on the screen within {PATIENCE_MS} ms")
        page.wait_for_timeout(20)


def _by_http(url: str, answers: int) -> list[float]:
    """Milliseconds of each answer."""
    times: list[float] = []
    while len(times) < answers:
        with urllib.request.urlopen(f"{url}/api/queue?limit=100", timeout=30) as found:
            items = json.load(found)["items"]
        if not items:
            raise RuntimeError("nothing is left to judge")
        for item in items[: answers - len(times)]:
            body = {
                "key": str(uuid.uuid4()),
                "frame_id": item["frame"]["frame_id"],
                "detection_id": item["detection_id"],
                "gesture": "GESTURE_REJECT",
                "revision": 1,
                "seconds": 1,
            }
            request = urllib.request.Request(
                f"{url}/api/feedback",
                json.dumps(body).encode(),
                {"content-type": "application/json", "origin": url},
            )
            started = time.perf_counter()
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            times.append((time.perf_counter() - started) * 1000)
    return times


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where an answer is not in the log."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=100, help="detections judged on the page (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the hand's answers (default 0)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    if shutil.which("chromium") is None:
        print("python -m benchmarks.panel: no chromium here; install Debian's package chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lineside-panel-") as folder:
        report = run(Path(folder), answers=options.answers, seed=options.seed)
    figures = dataclasses.asdict(report)
    print(json.dumps(figures))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if report.in_log == report.answers else 1


if __name__ == "__main__":
    sys.exit(main())
