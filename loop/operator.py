"""A simulated operator: watches what a real station decides and answers through its real feedback socket."""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
import zlib
from collections.abc import Callable, Collection, Mapping
from types import TracebackType

import numpy as np

from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import EventStream, InspectionClient
from lineside.records import Gesture
from lineside.v1 import inspection_pb2
from training.simulation.judging import Character, Said, feedback_of, judge
from training.simulation.truth import TruthOf

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What an operator has done so far."""

    frames_shown: int = 0
    """Frames with a verdict that the operator was told of."""
    frames_judged: int = 0
    """Frames of them about which something was said."""
    clicks: Mapping[Gesture, int] = dataclasses.field(default_factory=dict)
    """Answers that the station has acknowledged, by gesture."""
    refused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Answers that it has not taken, by reason."""
    not_kept: int = 0
    """Frames with detections that the station did not keep for mentoring: nothing can be said about those."""
    seconds: float = 0.0
    """Of the operator's time."""

    @property
    def total(self) -> int:
        """Acknowledged answers."""
        return sum(self.clicks.values())


class OperatorFailedError(RuntimeError):
    """The operator's thread could not go on; its cause says why."""


class SimulatedOperator:
    """Answers in a thread of its own from entering to leaving; a context manager.

    Args:
        grpc: HOST:PORT of the station.
        feedback: tcp://HOST:PORT of its feedback socket.
        truth: of the parts, by part id. Frames of parts it does not know are left alone.
        character: who it is.
        seed: of its errors; what it says about a part depends on the seed and the part alone.
        name: as the log has it.
        cameras: whose frames it looks at; empty: all.
        usual_sides: by class name, for taps.
        on_judged: called with the tally after each frame, from the operator's thread.
    """

    def __init__(
        self,
        *,
        grpc: str,
        feedback: str,
        truth: TruthOf,
        character: Character | None = None,
        seed: int = 0,
        name: str = "simulated",
        cameras: Collection[str] = (),
        usual_sides: Mapping[str, float] | None = None,
        on_judged: Callable[[Tally], None] | None = None,
    ) -> None:
        self._client = InspectionClient(grpc)
        self._feedback_endpoint = feedback
        self._truth = truth
        self._character = character or Character()
        self._seed = seed
        self._name = name
        self._cameras = tuple(cameras)
        self._usual_sides = usual_sides
        self._on_judged = on_judged
        self._changed = threading.Condition()
        self._seen: set[str] = set()
        self._shown = self._judged = self._not_kept = 0
        self._seconds = 0.0
        self._clicks: collections.Counter[Gesture] = collections.Counter()
        self._refused: collections.Counter[str] = collections.Counter()
        self._failure: BaseException | None = None
        self._events: EventStream | None = None
        self._thread = threading.Thread(target=self._run, name="simulated operator", daemon=True)

    def __enter__(self) -> SimulatedOperator:
        # From here on no decision is missed.
        self._events = self._client.watch(cameras=self._cameras)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()
            self._thread.join(_JOIN_SECONDS)
            if self._thread.is_alive():
                logger.error("the simulated operator did not end within %.0f s", _JOIN_SECONDS)
        self._client.close()

    @property
    def tally(self) -> Tally:
        """What it has done until now.

        Raises:
            OperatorFailedError: it could not go on.
        """
        with self._changed:
            self._raise_failure()
            return self._tally()

    def wait_for(self, frame_ids: Collection[str], timeout: float) -> Tally:
        """Waits until it has dealt with these frames.

        Raises:
            OperatorFailedError: it could not go on.
            TimeoutError: it has not in this many seconds.
        """
        wanted = set(frame_ids)
        with self._changed:
            done = self._changed.wait_for(lambda: self._failure is not None or wanted <= self._seen, timeout)
            self._raise_failure()
            if not done:
                left = len(wanted - self._seen)
                raise TimeoutError(f"the operator has not seen {left} of {len(wanted)} frames after {timeout:.0f} s")
            return self._tally()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise OperatorFailedError(f"the simulated operator stopped: {self._failure}") from self._failure

    def _tally(self) -> Tally:
        return Tally(
            frames_shown=self._shown,
            frames_judged=self._judged,
            clicks=dict(self._clicks),
            refused=dict(self._refused),
            not_kept=self._not_kept,
            seconds=self._seconds,
        )

    def _run(self) -> None:
        assert self._events is not None
        try:
            with FeedbackClient(self._feedback_endpoint, operator=self._name) as socket:
                for event in self._events:
                    if event.HasField("gap"):
                        raise RuntimeError(f"decisions were lost before the operator saw them: {event.gap.cause}")
                    if event.HasField("inspection"):
                        self._look_at(event.inspection, socket)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _look_at(self, shown: inspection_pb2.InspectionResult, socket: FeedbackClient) -> None:
        truth = self._truth(shown.part_id)
        said: tuple[Said, ...] = ()
        if truth is not None and shown.mentored:
            generator = np.random.default_rng([self._seed, zlib.crc32(shown.part_id.encode())])
            said = judge(
                shown,
                truth,
                self._character,
                generator,
                usual_sides=self._usual_sides,
                worked_seconds=self._seconds,
            )
        acks = socket.send_many(feedback_of(answer, shown.frame_id) for answer in said)
        with self._changed:
            self._shown += shown.verdict != inspection_pb2.VERDICT_NO_VERDICT
            self._judged += bool(said)
            self._not_kept += truth is not None and bool(shown.detections) and not shown.mentored
            for answer, ack in zip(said, acks, strict=True):
                if ack.code:
                    self._refused[ack.reason] += 1
                else:
                    self._clicks[answer.gesture] += 1
                    self._seconds += answer.seconds
            self._seen.add(shown.frame_id)
            tally = self._tally()
            self._changed.notify_all()
        if self._on_judged is not None:
            self._on_judged(tally)
