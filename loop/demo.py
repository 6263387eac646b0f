"""The demo: the whole loop on the synthetic line, with a station that goes on living while everything happens."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from lineside.client.errors import StationUnreachableError
from lineside.client.inspection import InspectionClient
from lineside.reasons import ContractError
from lineside.records import Gesture
from lineside.synthetic import CHANGED, ORIGINAL, write_setup
from loop.answers import PackageAnswers
from loop.display import Advance, Display
from loop.figures import loop_figures, machine, model_figures, operator_words, write_json
from loop.observer import LineObserver, Seen
from loop.pictures import before_and_after, first_of_both_kinds
from loop.run import Loop, Plan
from loop.table import counts, table
from training.data.sources import Source
from training.data.synthetic import LineCounts, load_experiment
from training.simulation.truth import Truth, of_synthetic_line

logger = logging.getLogger(__name__)

LINE_CAMERA = "line"
LINE_SEED = 4
LINE_FPS = 4.0
LIVE_PARTS = 30
"""Parts of the live line over which its alarms are told."""
PANEL_PORT = 8080
SHEET_PARTS = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Sizes of the demo; the usual ones fit into five minutes on two cores."""

    out: Path
    """Folder for everything; must be empty."""
    seed: int = 1
    counts: LineCounts = dataclasses.field(default_factory=lambda: LineCounts(train=400, evaluation=200, mentoring=160))
    baseline_steps: int = 1300
    candidate_steps: int = 800
    batch: int = 16
    live_parts: int = LIVE_PARTS
    panel_port: int = PANEL_PORT


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Where everything is, and the figures as they were written."""

    figures: dict[str, Any]
    json_path: Path
    picture_path: Path
    table_path: Path
    panel: str
    """HOST:PORT"""


@contextlib.contextmanager
def demo(settings: DemoSettings, display: Display) -> Iterator[tuple[Loop, DemoResult]]:
    """Runs the loop and gives back its result while the station still runs; leaving stops the station.

    Raises:
        FileExistsError: the folder is not empty.
    """
    out = settings.out
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name another folder with --out")
    started = time.monotonic()
    # One core stays free for the station: threads that wait for each other suffer most from a busy neighbour.
    torch.set_num_threads(max(1, _cores() - 1))
    with display.step("Draw the parts of the line"):
        experiment = load_experiment(seed=settings.seed, counts=settings.counts)
    plan = Plan(
        source=Source(kind="synthetic", place=str(settings.seed)),
        seed=settings.seed,
        steps={"baseline": settings.baseline_steps, "recommended": settings.candidate_steps},
        batch=settings.batch,
    )
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(Loop(plan, experiment, out, display))
        baseline = loop.train("baseline", title="Train the baseline")
        old = loop.package(baseline, "1.0.0", title="Export, check and sign it")
        light = out.absolute() / "light.json"
        write_setup(light, ORIGINAL)
        loop.start_station(_station_config(light, settings.panel_port, display), name="demo")
        loop.deploy(old)
        addresses = loop.station.addresses
        display.say(f"The panel is open on http://{addresses.panel}")
        live: dict[str, float] = {}
        with contextlib.ExitStack() as watching:
            show = watching.enter_context(display.step("The live line"))
            observer = watching.enter_context(LineObserver(addresses.grpc, (LINE_CAMERA,)))
            look = _Live(observer, show, settings.live_parts)
            live["original_light"] = look.alarms("baseline, original light")
            write_setup(light, CHANGED)
            live["changed_light"] = look.alarms("baseline, changed light")
            display.say(
                f"The light was changed: {live['original_light']:.2f} alarms a part before,"
                f" {live['changed_light']:.2f} now"
            )
            mentoring = loop.mentor(
                title="An operator answers", cameras=(LINE_CAMERA,), more_truth=_line_truth, on_frame=look.show
            )
            candidate = loop.train("recommended", parent=old, parent_checkpoint=baseline, title="Learn from the clicks")
            new = loop.package(candidate, "1.1.0", title="Export, check and sign it again")
            swap = loop.swap(old, new, title="Swap models on the running line")
            live["after_swap"] = look.alarms("candidate, changed light")
            seen = observer.seen()
        before = loop.evaluate(old, title="Evaluate the baseline")
        after = loop.evaluate(new, title="Evaluate the candidate")
        samples = first_of_both_kinds(experiment.eval_new, SHEET_PARTS)
        answers = {}
        for name, package in (("before: baseline, changed light", old), ("after: candidate, changed light", new)):
            with PackageAnswers(package) as model:
                answers[name] = [model.answer(sample.picture.read()).deployed for sample in samples]
        picture = before_and_after(out / "before_and_after.png", samples, answers)
        figures = {
            "what": "synthetic line; mAP at IoU 0.33, others at score 0.5 and IoU 0.33",
            "baseline": model_figures(before),
            "candidate": model_figures(after),
            **_frames(loop_figures(mentoring, swap), seen),
            "live_alarms_per_part": live,
            "operator": operator_words(plan.character),
            "seed": settings.seed,
            "machine": machine(),
            "seconds": round(time.monotonic() - started, 1),
        }
        json_path = out / "figures.json"
        write_json(json_path, figures)
        table_path = out / "table.txt"
        table_path.write_text(report(figures) + "\n", encoding="utf-8")
        yield (
            loop,
            DemoResult(
                figures=figures, json_path=json_path, picture_path=picture, table_path=table_path, panel=addresses.panel
            ),
        )


def report(figures: dict[str, Any]) -> str:
    """The table, the counts and what an operator's second is."""
    rows = {"before": figures["baseline"], "after": figures["candidate"]}
    pace = figures["operator"]["seconds"]
    lines = [
        table(rows),
        "",
        counts(
            {
                "frames_inspected": figures["frames_inspected"],
                "frames_lost": figures["frames_lost"],
                "frames_during_the_swap": figures["swap"]["frames_sent"],
                "replies_of_a_wrong_model": figures["swap"]["replies_of_a_wrong_model"],
                "clicks": figures["clicks"],
                "operator_seconds": round(figures["operator_seconds"]),
            }
        ),
        f"(simulated operator: {pace['click']:g} s a click; nobody slept these seconds)",
    ]
    return "\n".join(lines)


def tell_clicks(grpc: str, say: Callable[[str], None]) -> None:
    """Tells every feedback event that has become durable, until the station ends; for a thread."""
    over = (ContractError, StationUnreachableError)
    with contextlib.suppress(*over), InspectionClient(grpc) as client, client.watch() as events:
        for event in events:
            if event.HasField("feedback"):
                feedback = event.feedback.feedback
                about = f"detection {feedback.detection_id}" if feedback.detection_id else f"frame {feedback.frame_id}"
                gesture = Gesture(feedback.gesture).name.lower().replace("_", " ")
                say(
                    f"on the station's disk, log sequence {event.feedback.log_sequence}:"
                    f" {feedback.operator} says {gesture}, {about}"
                )


class _Live:
    """Shows the live line, and measures its alarms."""

    def __init__(self, observer: LineObserver, show: Advance, parts: int) -> None:
        self._observer = observer
        self._show = show
        self._parts = parts
        self._words = ""

    def show(self) -> None:
        """What is to be seen now."""
        seen = self._observer.seen().get(LINE_CAMERA, Seen())
        self._show(seen.inspected, 0, f"{seen.lately:.2f} alarms a part, {seen.inspected} parts, {self._words}")

    def alarms(self, words: str) -> float:
        """Alarms per part from now on."""
        self._words = words
        self._observer.forget()
        for number in range(1, self._parts + 1):
            self._observer.wait_for(LINE_CAMERA, number, 60.0)
            self.show()
        return self._observer.seen()[LINE_CAMERA].lately


def _frames(values: dict[str, Any], seen: Any) -> dict[str, Any]:
    """Frames of the live line beside those that were sent."""
    line = seen.get(LINE_CAMERA, Seen())
    return {
        **values,
        "frames_inspected": values["frames_answered"] + line.inspected,
        "frames_lost": values["frames_lost"] + line.lost,
        "frames_without_verdict": values["frames_without_verdict"] + line.no_verdict,
        "line": dataclasses.asdict(line),
    }


def _line_truth(part_id: str) -> Truth | None:
    return of_synthetic_line(part_id, seed=LINE_SEED)


def _station_config(light: Path, port: int, display: Display) -> dict[str, Any]:
    if port and not port_is_free(port):
        display.say(f"Port {port} is taken on this machine; the panel gets another one")
        port = 0
    return {
        # No login: the page is on this machine alone, and a demo has no operators to tell apart.
        "panel": {"listen": f"127.0.0.1:{port}", "login": False},
        "mentoring": {"budget_gb": 2.0},
        "cameras": [
            {
                "name": LINE_CAMERA,
                "kind": "synthetic",
                "fps": LINE_FPS,
                "seed": LINE_SEED,
                "setup_file": str(light),
            }
        ],
    }


def port_is_free(port: int) -> bool:
    """Whether this machine's own address can be listened on at this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
