"""An output on loopback without a daemon: the real thread and protocol over a bench that says what inspections find."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from edge.events import EventBus
from edge.inspection import Inspection, Timings, Verdict
from edge.outputs.board import Outputs
from edge.outputs.contract import OutputState
from edge.outputs.settings import OutputsSettings
from edge.outputs.thread import OutputThread
from lineside.ids import new_frame_id
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

SECONDS = 60.0


def inspection(verdict: Verdict, *, part_id: str = "", camera: str = "top", age_ns: int = 0) -> Inspection:
    reasons = {Verdict.PASS: "", Verdict.REJECT: "recipe default: 1 found", Verdict.NO_VERDICT: "NO_MODEL"}
    return Inspection(
        frame_id=new_frame_id(),
        station="line-1",
        camera=camera,
        part_id=part_id,
        verdict=verdict,
        verdict_reason=reasons[verdict],
        detections=(),
        model=None,
        timings=Timings(),
        width=1,
        height=1,
        captured_unix_ns=time.time_ns() - age_ns,
        captured_monotonic_ns=time.monotonic_ns() - age_ns,
        camera_sequence=1,
        mentored=False,
    )


class Bench:
    """Stands for a camera with its pipeline: a part's id says what is found on it, and `hold` keeps it waiting."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.why_not = ""
        self._go = threading.Event()
        self._go.set()
        self.bus = EventBus("boot-1")
        self.states: queue.Queue[tuple[str, OutputState, str]] = queue.Queue()

    def hold(self) -> None:
        self._go.clear()

    def let_go(self) -> None:
        self._go.set()

    def inspect(self, part_id: str, deadline_ns: int) -> Inspection:
        self.parts.append(part_id)
        if not self._go.wait(max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)):
            raise ContractError(Reason.DEADLINE, "it took too long")
        if part_id.startswith("LOST"):
            raise ContractError(Reason.CAMERA_LOST, "camera top is lost")
        found = Verdict.REJECT if part_id.startswith("BAD") else Verdict.PASS
        return inspection(found, part_id=part_id)

    def publish(self, verdict: Verdict, *, camera: str = "top", part_id: str = "", age_ns: int = 0) -> None:
        message = inspection(verdict, camera=camera, part_id=part_id, age_ns=age_ns).to_message()
        self.bus.publish(inspection_pb2.StationEvent(inspection=message))

    def wait_state(self, state: OutputState) -> str:
        """Waits until it is told; the message with it."""
        until = time.monotonic() + SECONDS
        while True:
            _, told, message = self.states.get(timeout=max(0.01, until - time.monotonic()))
            if told is state:
                return message


@contextmanager
def output(bench: Bench, section: str, *, cameras: Sequence[str] = ("top",), **keys: object) -> Iterator[OutputThread]:
    """One output, running."""
    settings = OutputsSettings.model_validate({section: {"listen": "127.0.0.1:0", **keys}})
    with outputs(bench, settings, cameras) as board:
        yield board.threads[0]


@contextmanager
def outputs(bench: Bench, settings: OutputsSettings, cameras: Sequence[str] = ("top",)) -> Iterator[Outputs]:
    board = Outputs(
        station="line-1",
        settings=settings,
        triggers=dict.fromkeys(cameras, bench.inspect),
        able=lambda camera, triggered: bench.why_not,
        bus=bench.bus,
        on_state=lambda name, state, message: bench.states.put((name, state, message)),
    )
    with board:
        yield board


def until(what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Waits until something holds, looking often; fails with its name."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"this never held: {what}"
        time.sleep(0.01)
