"""The thread in which one camera's frames are judged, in their order, while the camera is free for the next one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import queue
import threading
from collections.abc import Callable

from edge.frame import Frame
from edge.inspection import Inspection
from lineside.reasons import Reason

logger = logging.getLogger(__name__)

FRAMES_IN_HAND = 2
"""One is being judged while the next is taken. More would only grow old."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """A picture that was taken and cannot be used: it has an identity like any frame, and no pixels."""

    frame_id: str
    camera: str
    part_id: str
    camera_sequence: int
    captured_unix_ns: int
    captured_monotonic_ns: int
    reason: Reason
    message: str


Judge = Callable[[Frame, int | None], Inspection]
"""Judges a frame before a deadline on the monotonic clock in nanoseconds, if there is one."""
JudgeBad = Callable[[BadFrame], Inspection]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    frame: Frame | BadFrame
    deadline_monotonic_ns: int | None
    answer: concurrent.futures.Future[Inspection] | None
    takes_room: bool
    judge: Judge | None = None
    """In the place of the thread's own: who asked brought rules along."""


class JudgeThread:
    """Takes frames and answers for each, in order.

    Args:
        name: of the camera.
        judge: brings a frame to its verdict.
        judge_bad: the same for a picture that cannot be used.
        judged: called after each frame that was brought to `judge`.
    """

    def __init__(self, name: str, judge: Judge, judge_bad: JudgeBad, judged: Callable[[], None]) -> None:
        self._name = name
        self._judge = judge
        self._judge_bad = judge_bad
        self._judged = judged
        self._cases: queue.SimpleQueue[_Case | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(FRAMES_IN_HAND)
        self._thread = threading.Thread(target=self._run, name=f"judge {name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def room(self, seconds: float) -> bool:
        """Reserves the place of one frame, waiting at most so long; give it to `put` or `give_back`."""
        return self._room.acquire(timeout=seconds)

    def give_back(self) -> None:
        """A reserved place that is not needed."""
        self._room.release()

    def put(
        self,
        frame: Frame | BadFrame,
        *,
        deadline_monotonic_ns: int | None = None,
        answer: concurrent.futures.Future[Inspection] | None = None,
        judge: Judge | None = None,
    ) -> None:
        """Hands a frame over, for a reserved place.

        Args:
            frame: to answer for.
            deadline_monotonic_ns: after which nobody waits.
            answer: running; gets the answer about this very frame.
            judge: judges this frame; None: who judges all of them.
        """
        self._cases.put(
            _Case(
                frame=frame,
                deadline_monotonic_ns=deadline_monotonic_ns,
                answer=answer,
                takes_room=True,
                judge=judge,
            )
        )

    def put_missing(self, frame: BadFrame) -> None:
        """Answers for a frame that never came; it needs no place, because there is nothing to judge."""
        self._cases.put(_Case(frame=frame, deadline_monotonic_ns=None, answer=None, takes_room=False))

    def end(self) -> None:
        """No more frames will come; those that came are judged."""
        self._cases.put(None)

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended, at the latest after so many seconds."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (case := self._cases.get()) is not None:
            try:
                inspection = self._answer(case)
            except Exception as error:
                logger.exception("camera %s: frame %s could not be judged", self._name, case.frame.frame_id)
                if case.answer is not None:
                    case.answer.set_exception(error)
            else:
                if case.answer is not None:
                    with contextlib.suppress(concurrent.futures.InvalidStateError):
                        case.answer.set_result(inspection)
            finally:
                if case.takes_room:
                    self._room.release()
            del case  # with it the picture

    def _answer(self, case: _Case) -> Inspection:
        if isinstance(case.frame, BadFrame):
            return self._judge_bad(case.frame)
        try:
            return (case.judge or self._judge)(case.frame, case.deadline_monotonic_ns)
        finally:
            self._judged()
