"""Is the answer about the very picture that was sent, or triggered? A number drawn into each picture says so.

    python -m benchmarks.identity --frames 20000 --json FILE

The station's own parts and a real gRPC connection; the engine is one that reads the number out of the picture it is
given and answers with a box whose corners are that number. So each answer carries two identities that have met nowhere
but in the station: the frame's (id, part, camera and the camera's count, from whoever sent or took the picture) and the
picture's (what the engine saw). Frames come all at once from line PCs with single calls, from line PCs with pipelined
streams, and from cameras that several callers trigger while they also run freely; two models take turns 50 times a
second, one quick and one slow and unsteady, so that answers overtake one another (`overtaken` counts answers given
before one that was asked for earlier). `mismatches` counts answers whose two identities differ, `events_mismatched` the
same of what Watch tells, `events_missing` and `events_twice` frames that Watch does not tell exactly once. With pylon
installed one camera is Basler's emulation, whose pictures are files with numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import tiles
from benchmarks.numbers import draw, read
from edge.backends.contract import Backend, BackendError, Images, Outputs, OutputSpec
from edge.cameras.checks import CheckSettings
from edge.cameras.contract import Camera, CameraSettings, Picture
from edge.cameras.group import CameraGroup
from edge.cameras.judging import BadFrame
from edge.cameras.thread import CameraThread
from edge.events import EventBus
from edge.frame import Frame
from edge.inspection import Inspection
from edge.mentoring.selection import Selection
from edge.models.slot import ModelSlot, ServingModel
from edge.pipeline import Pipeline
from edge.service.inspection import InspectionServicer
from edge.service.judging import Judge
from edge.service.server import GrpcServer, GrpcSettings
from lineside.client.inspection import InspectionClient, StreamAnswer, pixels_request
from lineside.ids import new_frame_id
from lineside.package import Package
from lineside.v1 import inspection_pb2

SWITCH_SECONDS = 0.02
QUICK_SECONDS = (0.0, 0.0005)
SLOW_SECONDS = (0.0005, 0.006)
CALLERS, STREAMS, TRIGGERERS = 6, 2, 3
FREE_FPS = 40.0
BASLER_PICTURES = 256
_TRIGGERED_FROM = 1 << 23
"""Numbers from here on are the cameras', so that no caller's is taken for one of them."""


@dataclasses.dataclass(slots=True)
class IdentityReport:
    """What a run has shown."""

    frames: int = 0
    """Answers looked at."""
    mismatches: int = 0
    without_verdict: int = 0
    triggered: int = 0
    """Of the frames, taken by a camera for a call."""
    free: int = 0
    """Frames of cameras in free run, seen in Watch only; not among `frames`."""
    overtaken: int = 0
    events: int = 0
    events_mismatched: int = 0
    events_missing: int = 0
    events_twice: int = 0
    basler: bool = False
    seed: int = 0
    seconds: float = 0.0
    troubles: list[str] = dataclasses.field(default_factory=list)


class NumberReader(Backend):
    """An engine that answers with the number in the picture, after a while; a picture without one is an error."""

    name = "number-reader"

    def __init__(self, seconds: tuple[float, float], seed: int) -> None:
        rows = tiles.top_k(len(tiles.CLASSES))
        shapes = {"boxes": ((rows, 4), np.float32), "scores": ((rows,), np.float32)}
        whole = {"classes": ((rows,), np.int32), "areas": ((rows,), np.int32)}
        outputs = {name: OutputSpec(shape=shape, dtype=np.dtype(kind)) for name, (shape, kind) in shapes.items()}
        outputs |= {name: OutputSpec(shape=shape, dtype=np.dtype(kind)) for name, (shape, kind) in whole.items()}
        super().__init__(input_shape=(tiles.SIZE, tiles.SIZE, 1), outputs=outputs)
        self._seconds = seconds
        self._chance = random.Random(seed)

    def _infer(self, images: Images) -> Outputs:
        time.sleep(self._chance.uniform(*self._seconds))
        answers = {name: np.zeros((len(images), *spec.shape), spec.dtype) for name, spec in self.outputs.items()}
        for place, image in enumerate(images):
            number = read(image)
            if number is None:
                raise BackendError("there is no number in this picture")
            answers["boxes"][place, 0] = box_of(number)
            answers["scores"][place, 0] = 0.9
        return answers

    def _close(self) -> None:
        pass


def box_of(number: int) -> tuple[float, float, float, float]:
    """A box inside of the model's picture that is the number, exact in 32-bit numbers."""
    return (number >> 16) / 8, (number >> 8 & 255) / 8, 33 + (number & 255) / 16, float(tiles.SIZE)


def number_of(result: inspection_pb2.InspectionResult) -> int | None:
    """The number whose box an answer holds; None: no verdict, or another number of boxes than one."""
    if len(result.detections) != 1:
        return None
    box = result.detections[0].box
    return int(box.x1 * 8) << 16 | int(box.y1 * 8) << 8 | int((box.x2 - 33) * 16)


class NumberCamera(Camera):
    """Draws the number of its pictures so far, from a number of its own on."""

    def __init__(self, settings: CameraSettings, first: int) -> None:
        super().__init__(settings)
        self.first = first
        self._taken = 0

    def _open(self) -> None:
        pass

    def _grab(self, seconds: float) -> Picture:  # noqa: ARG002
        number = self.first + self._taken
        self._taken += 1
        return Picture(pixels=draw(number, tiles.SIZE), number=self._taken)

    def _close(self) -> None:
        pass


class _Nobody:
    """Keeps nothing for mentoring."""

    def down_to(self, _: object) -> float | None:
        return None

    def choose(self, *_: object, **__: object) -> Selection | None:
        return None

    def keep(self, *_: object, **__: object) -> bool:
        return False


class Ledger:
    """Compares and counts; thread-safe."""

    def __init__(self, report: IdentityReport, frames: int) -> None:
        self.report = report
        self.answered: Counter[str] = Counter()
        self._frames = frames
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, None] = {}

    def ask(self) -> int | None:
        """The next number to send, in the order they are asked for; None: enough."""
        with self._lock:
            number = next(self._numbers)
            if number >= self._frames:
                return None
            self._waiting[number] = None
            return number

    def answer(self, asked: int, result: inspection_pb2.InspectionResult, expected: int, *others: bool) -> None:
        """An answer: the picture's number has to be the expected one, and whatever else the caller has compared so."""
        seen = number_of(result)
        with self._lock:
            report = self.report
            report.frames += 1
            report.overtaken += asked != next(iter(self._waiting))
            self._waiting.pop(asked)
            self.answered[result.frame_id] += 1
            report.without_verdict += seen is None
            if seen != expected or not all(others):
                report.mismatches += 1
                self._trouble(f"asked {asked}: expected {expected}, the engine saw {seen}, the rest {others}")

    def event(self, result: inspection_pb2.InspectionResult, expected: int | None) -> None:
        """What Watch tells of a frame."""
        seen = number_of(result)
        with self._lock:
            self.report.events += 1
            if seen is None or seen != expected:
                self.report.events_mismatched += 1
                self._trouble(f"event of {result.camera} {result.part_id}: expected {expected}, saw {seen}")

    def _trouble(self, text: str) -> None:
        if len(self.report.troubles) < 100:
            self.report.troubles.append(text)


def call(client: InspectionClient, ledger: Ledger) -> None:
    """A line PC with single calls."""
    while (number := ledger.ask()) is not None:
        frame_id, part_id = new_frame_id(), f"n{number}"
        request = pixels_request(draw(number, tiles.SIZE), camera="pc", part_id=part_id, frame_id=frame_id)
        result = client.inspect(request)
        ledger.answer(number, result, number, result.frame_id == frame_id, result.part_id == part_id)


def stream(client: InspectionClient, ledger: Ledger) -> None:
    """A line PC with a pipelined stream."""
    sent: list[tuple[int, str]] = []

    def requests() -> Iterator[inspection_pb2.InspectRequest]:
        while (number := ledger.ask()) is not None:
            frame_id = new_frame_id()
            sent.append((number, frame_id))
            yield pixels_request(draw(number, tiles.SIZE), camera="pc", part_id=f"n{number}", frame_id=frame_id)

    answer: StreamAnswer
    for place, answer in enumerate(client.stream(requests())):
        number, frame_id = sent[place]
        if answer.result is None:
            raise RuntimeError(f"the stream refused picture {number}: {answer.error}")
        part = answer.result.part_id == f"n{number}"
        ledger.answer(number, answer.result, number, answer.result.frame_id == frame_id, part)


def trigger(client: InspectionClient, ledger: Ledger, camera: str, expected: Callable[[int], int]) -> None:
    """A caller who triggers a camera; `expected` gives the number of the camera's n-th picture."""
    while (number := ledger.ask()) is not None:
        part_id, before = f"t{number}", time.monotonic_ns()
        result = client.trigger(camera, part_id=part_id)
        after_the_call = result.captured_monotonic_ns >= before
        ledger.answer(number, result, expected(result.camera_sequence), result.part_id == part_id, after_the_call)
        with ledger._lock:
            ledger.report.triggered += 1


def run(folder: Path, *, frames: int, seed: int = 0) -> IdentityReport:
    """Sends and triggers so many frames and compares all answers and all events.

    Args:
        folder: empty, for the package and pictures.
        frames: answers to look at.
        seed: of the engines' times.
    """
    report = IdentityReport(seed=seed)
    ledger = Ledger(report, frames)
    begun = time.monotonic()
    package = tiles.make_anchor_package(folder / "package")
    expected: dict[str, Callable[[int], int]] = {}
    cameras: dict[str, Callable[[], Camera]] = {}
    for place, name in enumerate(("left", "right")):
        first = _TRIGGERED_FROM + place * (1 << 22)
        settings = CameraSettings(name=name, fps=FREE_FPS)
        cameras[name] = functools.partial(NumberCamera, settings, first)
        expected[name] = functools.partial(_at, first)
    basler = _basler(folder / "numbers")
    if basler is not None:
        report.basler = True
        cameras["basler"], first_picture = basler
        expected["basler"] = functools.partial(_at_basler, first_picture)
    with contextlib.ExitStack() as stack:
        quick = stack.enter_context(_model(package, QUICK_SECONDS, seed))
        slow = stack.enter_context(_model(package, SLOW_SECONDS, seed + 1))
        slot = ModelSlot()
        slot.switch(quick)
        bus = EventBus("identity", keep=4 * frames + 65536, keep_bytes=1 << 30)
        pipeline = Pipeline(station="identity", slot=slot, bus=bus, log=_Nobody(), selector=_Nobody())
        threads = {
            name: CameraThread(make, _judge(pipeline), _judge_bad(pipeline), lambda *_: None)
            for name, make in cameras.items()
        }
        servicer = InspectionServicer(judge=Judge(pipeline), bus=bus, cameras=threads)
        server = stack.enter_context(GrpcServer(GrpcSettings(listen="127.0.0.1:0", workers=32), inspection=servicer))
        server.model_serves(True)
        stop = threading.Event()
        switching = threading.Thread(target=_take_turns, args=(slot, (quick, slow), stop), name="switching")
        switching.start()
        stack.callback(switching.join)
        stack.callback(stop.set)
        client = stack.enter_context(InspectionClient(server.address))
        with CameraGroup(threads):
            _work(client, ledger, expected)
        _read_events(bus, ledger, expected)
    report.seconds = round(time.monotonic() - begun, 1)
    return report


def _work(client: InspectionClient, ledger: Ledger, expected: dict[str, Callable[[int], int]]) -> None:
    jobs: list[Callable[[], None]] = [functools.partial(call, client, ledger) for _ in range(CALLERS)]
    jobs += [functools.partial(stream, client, ledger) for _ in range(STREAMS)]
    for name, number in expected.items():
        jobs += [functools.partial(trigger, client, ledger, name, number) for _ in range(TRIGGERERS)]

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            ledger.report.troubles.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _read_events(bus: EventBus, ledger: Ledger, expected: dict[str, Callable[[int], int]]) -> None:
    """Everything the station has told, from the first event on."""
    told: Counter[str] = Counter()
    with bus.subscribe(from_sequence=1) as events:
        while (event := events.get(timeout=0.5)) is not None:
            if event.WhichOneof("event") != "inspection":
                continue
            result = event.inspection
            told[result.frame_id] += 1
            if result.camera == "pc":
                ledger.event(result, int(result.part_id[1:]))
            else:
                ledger.event(result, expected[result.camera](result.camera_sequence))
                ledger.report.free += result.part_id == ""
    report = ledger.report
    report.events_twice = sum(count != 1 for count in told.values()) + sum(
        count != 1 for count in ledger.answered.values()
    )
    report.events_missing = len(ledger.answered.keys() - told.keys())


def _at(first: int, sequence: int) -> int:
    return first + sequence - 1


def _at_basler(first: int, sequence: int) -> int:
    return (first + sequence - 1) % BASLER_PICTURES


def _basler(folder: Path) -> tuple[Callable[[], Camera], int] | None:
    """An emulated camera of numbered files and the number it begins with; None without pylon."""
    import importlib.util
    import os

    if importlib.util.find_spec("pypylon") is None:
        return None
    os.environ.setdefault("PYLON_CAMEMU", "2")
    from edge.cameras.basler import BaslerCamera, BaslerCameraSettings
    from lineside.pixels import encode_png

    folder.mkdir()
    for number in range(BASLER_PICTURES):
        (folder / f"{number:06}.png").write_bytes(encode_png(draw(number, tiles.SIZE)))
    settings = BaslerCameraSettings(
        name="basler",
        kind="basler",
        width=tiles.SIZE,
        height=tiles.SIZE,
        exposure_us=500,
        checks=CheckSettings(half_share=0, frozen_pictures=0),  # what is drawn has no noise
        features={"ImageFilename": str(folder), "ImageFileMode": "On", "TestImageSelector": "Off"},
    )
    with BaslerCamera(settings) as camera:  # which file an emulation begins with is its own affair
        first = read(camera.grab().pixels)
    if first is None:
        raise RuntimeError("the emulated camera does not show the numbered files")
    return functools.partial(BaslerCamera, settings), first


def _model(package: Package, seconds: tuple[float, float], seed: int) -> ServingModel:
    return ServingModel(package, lambda _graph: NumberReader(seconds, seed))


def _take_turns(slot: ModelSlot, models: Sequence[ServingModel], stop: threading.Event) -> None:
    for model in itertools.cycle(models):
        slot.switch(model)
        if stop.wait(SWITCH_SECONDS):
            return


def _judge(pipeline: Pipeline) -> Callable[[Frame, int | None], Inspection]:
    return lambda frame, deadline: pipeline.inspect(frame, deadline_monotonic_ns=deadline)


def _judge_bad(pipeline: Pipeline) -> Callable[[BadFrame], Inspection]:
    return lambda bad: pipeline.no_picture(
        bad.reason,
        frame_id=bad.frame_id,
        camera=bad.camera,
        part_id=bad.part_id,
        camera_sequence=bad.camera_sequence,
        captured_unix_ns=bad.captured_unix_ns,
        captured_monotonic_ns=bad.captured_monotonic_ns,
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identity", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--frames", type=int, default=20000, help="answers to look at (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the engines' times (default %(default)s)")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lineside-identity-") as folder:
        report = run(Path(folder), frames=options.frames, seed=options.seed)
    for trouble in report.troubles[:20]:
        print(trouble, file=sys.stderr)
    figures = dataclasses.asdict(report)
    print(json.dumps({name: value for name, value in figures.items() if name != "troubles"}))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    wrong = report.mismatches + report.events_mismatched + report.events_missing + report.events_twice
    return 1 if wrong or report.troubles or report.frames != options.frames else 0


if __name__ == "__main__":
    sys.exit(main())
