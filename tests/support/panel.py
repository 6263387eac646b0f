"""A real panel on a real port, over a real mentoring log, in a thread of its own; only camera and model are played."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from support import packages

from edge.events import EventBus
from edge.frame import Frame
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.feedback import message_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.selection import Selection
from edge.mentoring.settings import MentoringSettings
from edge.models.manager import ModelManager
from edge.panel.access.accounts import Accounts
from edge.panel.parts import PanelParts
from edge.panel.server import PanelServer
from edge.panel.settings import PanelSettings
from edge.pictures import LatestPictures
from lineside.ids import detection_id, new_frame_id
from lineside.package import Package
from lineside.records import BoxTuple, FeedbackEvent
from lineside.v1 import inspection_pb2, model_pb2
from loop.ports import steady_address

Found = tuple[str, float, BoxTuple]
"""Class name, score, box in frame pixels."""
CHOSEN = Selection(because="any_detection", probability=1.0)
Result = TypeVar("Result")


class Slot:
    """Stands where edge.models.slot.ModelSlot stands; a panel only asks it who serves."""

    def __init__(self) -> None:
        self.serving: Any = None

    def serve(self, package: Package) -> None:
        """From now on this model answers."""
        identity = ModelIdentity(name=package.manifest.name, version=package.manifest.version, digest=package.digest)
        self.serving = types.SimpleNamespace(package=package, identity=identity)


class Line:
    """A station's parts as far as a panel sees them, and the panel's server.

    Args:
        folder: for log and model.
        panel: settings of the panel; the port is any free one unless given.
        classes: of the model.
    """

    def __init__(self, folder: Path, *, classes: Sequence[str] = ("dent", "scratch", "stain"), **panel: Any) -> None:
        self.folder = folder
        # It may be stopped and started again under an open page.
        self.settings = PanelSettings(**({"listen": steady_address(), "login": False} | panel))
        self.slot = Slot()
        self.swaps: list[model_pb2.ModelStatus] = []
        """What the station's manager would tell of its models."""
        self.models: ModelManager | None = None
        """A real one, for the page's models."""
        self.packages = 0
        self.classes = classes
        self.number = 0
        self._thread: threading.Thread | None = None
        self.address = ""

    def __enter__(self) -> Line:
        self.start()
        self.new_model()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def accounts(self) -> Accounts:
        """Who may log in."""
        return Accounts(self.folder / "panel")

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        """Opens log and panel; after a stop at the same address, with a new boot id."""
        self.bus = EventBus(f"boot-{time.monotonic_ns()}")
        settings = MentoringSettings(keep_free_mb=0, reserve_mb=1, retry_seconds=0.05)
        self.log = MentoringLog(self.folder / "log", settings, self._tell)
        self.log.__enter__()
        self.pictures = LatestPictures()
        self.parts = PanelParts(
            station="line-1",
            settings=self.settings,
            bus=self.bus,
            log=self.log,
            pictures=self.pictures,
            slot=self.slot,  # type: ignore[arg-type]
            swaps=lambda: self.swaps,
            models=self.models,
            folder=self.folder / "panel",
        )
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), name="test-panel")
        self._thread.start()
        assert up.wait(20), "the panel did not start"
        self.settings = self.settings.model_copy(update={"listen": self.address})

    def stop(self) -> None:
        """Stops panel and log, as a station that goes down does."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        self._thread = None
        self.bus.close()
        self.log.close()

    async def _serve(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with PanelServer(self.parts) as server:
            self.address = server.address
            up.set()
            await self._stopping.wait()

    def _tell(self, event: FeedbackEvent, log_sequence: int) -> None:
        from lineside.v1 import mentoring_pb2

        recorded = mentoring_pb2.FeedbackRecorded(feedback=message_of(event), log_sequence=log_sequence)
        self.bus.publish(inspection_pb2.StationEvent(feedback=recorded))

    def new_model(self, *, name: str = "tiles") -> None:
        """Another model serves from now on."""
        self.packages += 1
        package = packages.make_cell_package(
            self.folder / f"package-{self.packages}",
            name=name,
            version=f"{self.packages}.0.0",
            classes=self.classes,
            bias=0.01 * self.packages,
        )
        self.slot.serve(package)
        self.log.model_seen(package)
        self.log.flush(10)

    def part(
        self,
        found: Sequence[Found] = (),
        *,
        pixels: NDArray[np.uint8] | None = None,
        part_id: str | None = None,
        camera: str = "top",
        keep: bool = True,
        verdict: Verdict | None = None,
    ) -> str:
        """One part comes along; gives back its frame id. `keep`: the log gets it before anybody hears of it."""
        self.number += 1
        frame = Frame(
            frame_id=new_frame_id(),
            camera=camera,
            part_id=f"part-{self.number:04}" if part_id is None else part_id,
            camera_sequence=self.number,
            captured_unix_ns=time.time_ns(),
            captured_monotonic_ns=time.monotonic_ns(),
            pixels=picture(self.number) if pixels is None else pixels,
        )
        verdict = verdict or (Verdict.REJECT if found else Verdict.PASS)
        inspection = Inspection(
            frame_id=frame.frame_id,
            station="line-1",
            camera=camera,
            part_id=frame.part_id,
            verdict=verdict,
            verdict_reason="" if verdict is Verdict.PASS else f"{len(found)} found" if found else "NO_MODEL",
            detections=tuple(
                Detection(
                    detection_id=detection_id(frame.frame_id, number),
                    class_index=self.classes.index(name) if name in self.classes else 0,
                    class_name=name,
                    score=score,
                    box=box,
                    areas=np.array([number], np.int32),
                )
                for number, (name, score, box) in enumerate(found)
            ),
            model=self.slot.serving.identity,
            timings=Timings(total_us=12_000),
            width=frame.width,
            height=frame.height,
            captured_unix_ns=frame.captured_unix_ns,
            captured_monotonic_ns=frame.captured_monotonic_ns,
            camera_sequence=self.number,
            mentored=keep,
        )
        if keep:
            assert self.log.keep(frame, inspection, CHOSEN)
            self.log.flush(10)
        self.pictures.put(frame, inspection)
        self.bus.publish(inspection_pb2.StationEvent(inspection=inspection.to_message()))
        return frame.frame_id

    def camera(self, name: str, state: inspection_pb2.CameraState.ValueType, message: str = "") -> None:
        """A camera changes its state."""
        event = inspection_pb2.CameraEvent(camera=name, state=state, message=message)
        self.bus.publish(inspection_pb2.StationEvent(camera=event))

    def said(self) -> list[FeedbackEvent]:
        """Everything in the log, in its order."""
        with self.log.reader() as reader:
            return list(reader.feedback())


def picture(number: int, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """(height, width) grey: a soft pattern that is another one for each number."""
    y, x = np.mgrid[0:height, 0:width]
    return np.asarray(110 + 60 * np.sin(x / 23 + number) * np.cos(y / 17), np.uint8)


def eventually(question: Callable[[], Result], *, seconds: float = 15.0) -> Result:
    """Asks until the answer is true, and gives it back; the last answer when time is over."""
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while not (answer := question()) and time.monotonic() < deadline:
        waiting.wait(0.02)
    return answer


@contextlib.contextmanager
def running(line: Line, every_seconds: float, found: Callable[[int], Sequence[Found]]) -> Iterator[None]:
    """Parts come along by themselves, in a thread, while inside."""
    stopping = threading.Event()

    def work() -> None:
        number = 0
        while not stopping.wait(every_seconds):
            number += 1
            line.part(found(number))

    thread = threading.Thread(target=work, name="test-line")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
