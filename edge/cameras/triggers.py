"""Triggers that wait for one camera: a bounded queue, each with the future by which its caller gets its answer."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import queue
import threading
import time

from edge.cameras.judging import Judge
from edge.inspection import Inspection
from lineside.reasons import ContractError, Reason

MOST_TRIGGERS_WAITING = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trigger:
    """A caller who waits for a picture that is yet to be taken."""

    part_id: str
    deadline_monotonic_ns: int | None
    """After which he waits no longer; None: for ever."""
    answer: concurrent.futures.Future[Inspection]
    judge: Judge | None = None
    """Judges the picture; None: who judges all of the camera's."""

    def taken_up(self, camera: str) -> bool:
        """Whether a picture is to be taken for it; not if its caller has gone or his time is over."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        if self.deadline_monotonic_ns is not None and time.monotonic_ns() >= self.deadline_monotonic_ns:
            self.answer.set_exception(
                ContractError(Reason.DEADLINE, f"the caller's time was over before camera {camera} was free")
            )
            return False
        return True

    def refuse(self, error: BaseException) -> None:
        """Gives the caller an error instead, if he still waits."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class Triggers:
    """The queue. Callers call `ask` from any thread; one thread takes them.

    Args:
        camera: its name, for messages.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._waiting: queue.Queue[Trigger | None] = queue.Queue(MOST_TRIGGERS_WAITING)
        self._accepting = threading.Lock()
        self._stopping = False

    def ask(self, part_id: str, deadline_monotonic_ns: int | None, judge: Judge | None = None) -> Inspection:
        """Waits for the answer about the picture taken for this call.

        Raises:
            ContractError: CAMERA_LOST, QUEUE_FULL, DEADLINE, DRAINING.
        """
        trigger = Trigger(
            part_id=part_id,
            deadline_monotonic_ns=deadline_monotonic_ns,
            answer=concurrent.futures.Future(),
            judge=judge,
        )
        with self._accepting:  # none may slip in behind the last look at the queue
            if self._stopping:
                raise _draining()
            try:
                self._waiting.put_nowait(trigger)
            except queue.Full:
                raise ContractError(
                    Reason.QUEUE_FULL,
                    f"{MOST_TRIGGERS_WAITING} triggers already wait for camera {self._camera}; trigger more slowly",
                ) from None
        timeout = None
        if deadline_monotonic_ns is not None:
            timeout = max(0.0, (deadline_monotonic_ns - time.monotonic_ns()) / 1e9)
        try:
            return trigger.answer.result(timeout)
        except concurrent.futures.TimeoutError:
            trigger.answer.cancel()
            raise ContractError(
                Reason.DEADLINE, f"camera {self._camera} did not answer in the caller's time; allow more"
            ) from None

    def take(self, seconds: float | None) -> Trigger | None:
        """The next trigger, or None when the taker was woken to stop.

        Raises:
            queue.Empty: none in that time; None waits for ever.
        """
        return self._waiting.get(timeout=seconds)

    def refuse_for(self, seconds: float | None, error: ContractError) -> None:
        """Refuses what comes for so long (None: for ever), or until it is stopped."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._stopping:
            try:
                trigger = self._waiting.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if trigger is not None:
                trigger.refuse(error)

    def stop(self) -> None:
        """Refuses new triggers with DRAINING and wakes the taker; idempotent."""
        self._stopping = True
        with contextlib.suppress(queue.Full):  # then the taker is not waiting
            self._waiting.put_nowait(None)

    def end(self) -> None:
        """Refuses with DRAINING whatever still waits; nobody takes any more."""
        with self._accepting:
            self._stopping = True
            while True:
                try:
                    trigger = self._waiting.get_nowait()
                except queue.Empty:
                    return
                if trigger is not None:
                    trigger.refuse(_draining())


def _draining() -> ContractError:
    return ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")
