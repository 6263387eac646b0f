"""One thread per camera: free run and triggers, one picture after the other.

The thread that takes a trigger grabs the picture for it and brings that very frame to judgement, so the frame that
answers is the frame that was triggered; nothing is kept in between that could be mixed up. What it costs: a camera
does not grab while its last frame is being judged.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType

from edge.cameras.contract import BadPictureError, Camera, CameraEndedError, CameraLostError, CameraState
from edge.frame import Frame
from edge.inspection import Inspection
from lineside.ids import new_frame_id
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

MOST_TRIGGERS_WAITING = 8
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
_JOIN_SECONDS = 10.0


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trigger:
    part_id: str
    deadline_monotonic_ns: int | None
    answer: concurrent.futures.Future[Inspection]


Judge = Callable[[Frame, int | None], Inspection]
"""Judges a frame before a deadline on the monotonic clock in nanoseconds, if there is one."""


class CameraThread:
    """Owns a camera. A context manager: entering starts the thread, leaving ends it after the frame in hand.

    Args:
        camera: closed; opened in the thread.
        judge: brings a frame to its verdict, in this thread.
        judge_bad: the same for a picture that cannot be used.
        on_state: told the camera's name, its state and why, once a change.
    """

    def __init__(
        self,
        camera: Camera,
        judge: Judge,
        judge_bad: Callable[[BadFrame], Inspection],
        on_state: Callable[[str, CameraState, str], None],
    ) -> None:
        self.name = camera.settings.name
        self._camera = camera
        self._judge = judge
        self._judge_bad = judge_bad
        self._on_state = on_state
        self._period = 1.0 / camera.settings.fps if camera.settings.fps else None
        self._triggers: queue.Queue[_Trigger | None] = queue.Queue(MOST_TRIGGERS_WAITING)
        self._stopping = threading.Event()
        self._accepting = threading.Lock()
        self._state = CameraState.UNSPECIFIED
        self._sequence = 0
        self._bad_in_a_row = 0
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)

    @property
    def state(self) -> CameraState:
        """RUNNING, LOST or ENDED; UNSPECIFIED before the first attempt to open it."""
        return self._state

    def __enter__(self) -> CameraThread:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends free run, refuses waiting triggers with DRAINING, closes the camera; idempotent."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):  # then the thread is not waiting, and sees the event
            self._triggers.put_nowait(None)
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)
            if self._thread.is_alive():
                logger.error("camera %s did not end within %.0f s", self.name, _JOIN_SECONDS)

    def trigger(self, part_id: str = "", *, deadline_monotonic_ns: int | None = None) -> Inspection:
        """Grabs a frame now and judges it; returns the answer for that frame.

        Args:
            part_id: of the part in front of the camera; empty: what the camera knows.
            deadline_monotonic_ns: after which nobody waits.

        Raises:
            ContractError: CAMERA_LOST, QUEUE_FULL (too many triggers wait), DEADLINE, DRAINING.
        """
        trigger = _Trigger(
            part_id=part_id, deadline_monotonic_ns=deadline_monotonic_ns, answer=concurrent.futures.Future()
        )
        with self._accepting:  # none may slip in behind the thread's last look at the queue
            if self._stopping.is_set():
                raise _draining()
            try:
                self._triggers.put_nowait(trigger)
            except queue.Full:
                raise ContractError(
                    Reason.QUEUE_FULL,
                    f"{MOST_TRIGGERS_WAITING} triggers already wait for camera {self.name}; trigger more slowly",
                ) from None
        timeout = None
        if deadline_monotonic_ns is not None:
            timeout = max(0.0, (deadline_monotonic_ns - time.monotonic_ns()) / 1e9)
        try:
            return trigger.answer.result(timeout)
        except concurrent.futures.TimeoutError:
            trigger.answer.cancel()
            raise ContractError(
                Reason.DEADLINE, f"camera {self.name} did not answer in the caller's time; allow more"
            ) from None

    def _run(self) -> None:
        retry = FIRST_RETRY_SECONDS
        try:
            while not self._stopping.is_set():
                retry = FIRST_RETRY_SECONDS if self._serve_until_it_fails() else min(2 * retry, LONGEST_RETRY_SECONDS)
                ended = self._state is CameraState.ENDED
                self._refuse_triggers_for(
                    None if ended else retry, f"camera {self.name} {'has ended' if ended else 'is lost'}"
                )
        finally:
            with self._accepting:
                self._stopping.set()
                self._refuse_waiting(_draining())

    def _serve_until_it_fails(self) -> bool:
        """Whether the camera could be opened at all."""
        opened = False
        try:
            with self._camera:
                opened = True
                self._change(CameraState.RUNNING, "")
                self._serve()
        except CameraEndedError as error:
            self._change(CameraState.ENDED, str(error))
        except CameraLostError as error:
            self._change(CameraState.LOST, str(error))
        except Exception as error:
            logger.exception("camera %s failed in a way the station did not foresee", self.name)
            self._change(CameraState.LOST, f"{type(error).__name__}; the station's log says why")
        return opened

    def _serve(self) -> None:
        """Free run and triggers while the camera is open."""
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                if self._period is None:
                    trigger = self._triggers.get()
                else:
                    # Never a burst to catch up: frames the camera had no time for were not taken.
                    trigger = self._triggers.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                trigger = None
                due = max(due + (self._period or 0.0), time.monotonic())
            else:
                if trigger is None:
                    continue  # woken to stop
            self._take(trigger)

    def _take(self, trigger: _Trigger | None) -> None:
        if trigger is not None and not trigger.answer.set_running_or_notify_cancel():
            return
        try:
            inspection = self._grab_and_judge(trigger)
        except (CameraLostError, CameraEndedError) as error:
            if trigger is not None:
                trigger.answer.set_exception(ContractError(Reason.CAMERA_LOST, f"camera {self.name} gave no picture"))
            raise error
        except Exception as error:
            if trigger is not None:
                trigger.answer.set_exception(error)
            raise
        if trigger is not None:
            trigger.answer.set_result(inspection)

    def _grab_and_judge(self, trigger: _Trigger | None) -> Inspection:
        self._sequence += 1
        asked_part = trigger.part_id if trigger is not None else ""
        deadline = trigger.deadline_monotonic_ns if trigger is not None else None
        unix_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        try:
            picture = self._camera.grab()
        except BadPictureError as error:
            if not self._bad_in_a_row:
                logger.warning("camera %s, picture %d: %s", self.name, self._sequence, error)
            self._bad_in_a_row += 1
            return self._judge_bad(
                BadFrame(
                    frame_id=new_frame_id(unix_ns),
                    camera=self.name,
                    part_id=asked_part or error.part_id,
                    camera_sequence=self._sequence,
                    captured_unix_ns=unix_ns,
                    captured_monotonic_ns=monotonic_ns,
                    reason=error.reason,
                    message=str(error),
                )
            )
        if self._bad_in_a_row > 1:
            logger.warning("camera %s: %d pictures in a row could not be used", self.name, self._bad_in_a_row)
        self._bad_in_a_row = 0
        frame = Frame(
            frame_id=new_frame_id(unix_ns),
            camera=self.name,
            part_id=asked_part or picture.part_id,
            camera_sequence=self._sequence,
            captured_unix_ns=unix_ns,
            captured_monotonic_ns=monotonic_ns,
            pixels=picture.pixels,
            source=picture.source,
            source_suffix=picture.source_suffix,
        )
        return self._judge(frame, deadline)

    def _refuse_triggers_for(self, seconds: float | None, why: str) -> None:
        """Answers triggers with CAMERA_LOST for so long, or until the thread is to stop."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._stopping.is_set():
            try:
                trigger = self._triggers.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if trigger is not None and trigger.answer.set_running_or_notify_cancel():
                trigger.answer.set_exception(ContractError(Reason.CAMERA_LOST, why))

    def _refuse_waiting(self, error: ContractError) -> None:
        while True:
            try:
                trigger = self._triggers.get_nowait()
            except queue.Empty:
                return
            if trigger is not None and trigger.answer.set_running_or_notify_cancel():
                trigger.answer.set_exception(error)

    def _change(self, state: CameraState, message: str) -> None:
        if state is self._state:
            return
        self._state = state
        level = logging.WARNING if state is CameraState.LOST else logging.INFO
        logger.log(level, "camera %s: %s%s", self.name, state.name.lower(), f", {message}" if message else "")
        self._on_state(self.name, state, message)


def _draining() -> ContractError:
    return ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")
