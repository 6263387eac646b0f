"""One camera at work: free run, triggers, a watchdog, and opening it anew when it is lost.

Three threads a camera. This one decides when a picture is taken; the driver's (driver.py) touches the camera and may
hang; the judge's (judging.py) brings frames to their verdict while the camera is free for the next. The picture that
was taken for a trigger and the caller who waits for it travel in one value, so the frame that answers is the frame
that was triggered; nothing is kept in between that could be mixed up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType

from edge.cameras.contract import (
    BadPictureError,
    Camera,
    CameraEndedError,
    CameraLostError,
    CameraState,
    NoPictureError,
    Pace,
    Picture,
)
from edge.cameras.counts import CameraCounter, CameraCounts
from edge.cameras.driver import DriverThread
from edge.cameras.judging import BadFrame, Judge, JudgeBad, JudgeThread
from edge.cameras.triggers import Trigger, Triggers
from edge.frame import Frame
from edge.inspection import Inspection
from lineside.ids import new_frame_id
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
MOST_HANGING = 3
"""Driver calls that never returned. Each costs a thread; with so many the camera is not opened again until one does."""
MOST_MISSING_TOLD = 256
"""Missing parts of one gap that each get their NO_VERDICT; a larger jump is a counter gone wrong."""
_WAIT_SECONDS = 0.25
_JOIN_SECONDS = 8.0
_LOG_SECONDS = 10.0
"""Between two lines about single pictures of one camera; the counts have them all."""


class CameraThread:
    """Owns a camera. A context manager: entering starts the threads, leaving ends them after the frames in hand.

    Args:
        make: the camera, closed; called once, and again each time a driver hangs and its camera has to be given up.
        judge: brings a frame to its verdict.
        judge_bad: the same for a picture that cannot be used.
        on_state: told the camera's name, its state and why, once a change.
    """

    def __init__(
        self,
        make: Callable[[], Camera],
        judge: Judge,
        judge_bad: JudgeBad,
        on_state: Callable[[str, CameraState, str], None],
    ) -> None:
        self._make = make
        self._camera = make()
        settings = self._camera.settings
        self.name = settings.name
        self.kind = str(getattr(settings, "kind", ""))
        """As in station.toml."""
        self.pace = self._camera.pace
        self._on_state = on_state
        self._period = 1.0 / settings.fps if settings.fps else None
        self._counter = CameraCounter()
        self._judging = JudgeThread(self.name, judge, judge_bad, lambda: self._counter.add("judged"))
        self._triggers = Triggers(self.name)
        self._stopping = threading.Event()
        self._state = CameraState.UNSPECIFIED
        self._message = ""
        self._sequence = 0
        self._bad_in_a_row = 0
        self._bad_is_logged = False
        self._log_again_at = 0.0
        self._driver: DriverThread | None = None
        self._hanging: list[DriverThread] = []
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)

    @property
    def state(self) -> CameraState:
        """RUNNING, LOST or ENDED; UNSPECIFIED before the first attempt to open it."""
        return self._state

    @property
    def message(self) -> str:
        """Why it is in that state; empty while it runs."""
        return self._message

    @property
    def counts(self) -> CameraCounts:
        """What it has done so far."""
        return self._counter.snapshot()

    def __enter__(self) -> CameraThread:
        self._judging.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stop(self) -> None:
        """Ends free run and refuses triggers with DRAINING; does not wait. Idempotent."""
        self._stopping.set()
        self._triggers.stop()

    def close(self, *, until_monotonic: float | None = None) -> None:
        """Stops, judges the frames in hand, closes the camera; idempotent.

        Args:
            until_monotonic: `time.monotonic()` after which nothing is waited for; None: eight seconds from now.
        """
        self.stop()
        if self._thread.ident is None:
            return
        until = time.monotonic() + _JOIN_SECONDS if until_monotonic is None else until_monotonic
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive() or not self._judging.join(until - time.monotonic()):
            logger.error("camera %s did not end in time; a frame is still being judged", self.name)
        driver = self._driver
        # One that hangs has been waited for; waiting again would be at the cost of the other cameras.
        if any(item.alive for item in self._hanging) or (
            driver is not None and (driver.hangs or not driver.join(until - time.monotonic()))
        ):
            logger.error("camera %s: its driver hangs and is left alone", self.name)

    def trigger(
        self, part_id: str = "", *, deadline_monotonic_ns: int | None = None, judge: Judge | None = None
    ) -> Inspection:
        """Takes a picture now and judges it; returns the answer for that frame.

        Args:
            part_id: of the part in front of the camera; empty: what the camera knows.
            deadline_monotonic_ns: after which nobody waits.
            judge: judges this picture; None: who judges all of them.

        Raises:
            ContractError: CAMERA_LOST, CAMERA_MODE (it cannot be triggered from here), QUEUE_FULL (too many triggers
                wait), DEADLINE, DRAINING.
        """
        if self.pace is not Pace.STATION:
            by = "a sensor on the line" if self.pace is Pace.LINE else "itself"
            raise ContractError(
                Reason.CAMERA_MODE,
                f"camera {self.name} is triggered by {by}; read its verdicts from Watch, or give it a software trigger",
            )
        return self._triggers.ask(part_id, deadline_monotonic_ns, judge)

    def _run(self) -> None:
        retry = FIRST_RETRY_SECONDS
        try:
            while not self._stopping.is_set():
                retry = FIRST_RETRY_SECONDS if self._serve_until_it_fails() else min(2 * retry, LONGEST_RETRY_SECONDS)
                ended = self._state is CameraState.ENDED
                gone = f"camera {self.name} {'has ended' if ended else 'is lost'}"
                self._triggers.refuse_for(None if ended else retry, ContractError(Reason.CAMERA_LOST, gone))
        finally:
            self._stopping.set()
            self._triggers.end()
            self._judging.end()
            if self._driver is not None:
                self._driver.end()

    def _serve_until_it_fails(self) -> bool:
        """Whether it gave a picture that could be judged: only that ends the lengthening of the pauses, or a camera
        that opens and fails at once would fill the log."""
        judged = self._counter.snapshot().frames
        bad = sum(self._counter.snapshot().bad.values())
        try:
            driver = self._ready_driver()
            driver.open()
            try:
                self._counter.add("opened")
                self._change(CameraState.RUNNING, "")
                self._serve(driver)
            finally:
                if not driver.hangs:
                    driver.close()
        except CameraEndedError as error:
            self._change(CameraState.ENDED, str(error))
        except CameraLostError as error:
            self._lost(str(error))
        except Exception as error:
            logger.exception("camera %s failed in a way the station did not foresee", self.name)
            self._lost(f"{type(error).__name__}; the station's log says why")
        after = self._counter.snapshot()
        return after.frames - sum(after.bad.values()) > judged - bad

    def _lost(self, message: str) -> None:
        if not self._stopping.is_set():
            self._counter.add("failed")
            self._change(CameraState.LOST, message)

    def _ready_driver(self) -> DriverThread:
        """The driver, a new one with a new camera where the last one hangs."""
        if self._driver is not None and self._driver.hangs:
            self._hanging.append(self._driver)
            self._driver = None
        self._hanging = [driver for driver in self._hanging if driver.alive]
        if self._driver is None:
            if len(self._hanging) >= MOST_HANGING:
                raise CameraLostError(
                    f"{len(self._hanging)} calls hang in its driver; check the device and start the station anew"
                )
            if self._hanging:
                self._camera = self._make()
            self._driver = DriverThread(self._camera, self._stopping)
        return self._driver

    def _serve(self, driver: DriverThread) -> None:
        if self.pace is Pace.STATION:
            self._serve_at_our_pace(driver)
        else:
            self._serve_at_its_pace(driver)

    def _serve_at_our_pace(self, driver: DriverThread) -> None:
        """Free run and triggers."""
        due = time.monotonic()
        while not self._stopping.is_set():
            if not self._judging.room(_WAIT_SECONDS):
                continue
            trigger, wanted = None, True
            try:
                trigger = self._triggers.take(None if self._period is None else max(0.0, due - time.monotonic()))
                wanted = trigger is not None and trigger.taken_up(self.name)  # None: woken to stop
            except queue.Empty:
                # Never a burst to catch up: frames the camera had no time for were not taken.
                due = max(due + (self._period or 0.0), time.monotonic())
            if not wanted:
                self._judging.give_back()
                continue
            if trigger is not None:
                self._counter.add("triggers")
            try:
                self._take(driver, trigger, None)
            except BaseException as error:
                self._judging.give_back()
                if trigger is not None:
                    gone = isinstance(error, (CameraLostError, CameraEndedError))
                    trigger.answer.set_exception(
                        ContractError(Reason.CAMERA_LOST, f"camera {self.name} gave no picture") if gone else error
                    )
                raise

    def _serve_at_its_pace(self, driver: DriverThread) -> None:
        """Pictures as the camera sends them; the watchdog counts from the last one that was new."""
        settings = self._camera.settings
        stale = settings.stale_seconds
        if stale is None:
            stale = 0.0 if self.pace is Pace.LINE else settings.picture_seconds
        due = news = time.monotonic()
        in_vain = 0.0
        while not self._stopping.is_set():
            if self._stopping.wait(max(0.0, due - time.monotonic())) or not self._judging.room(_WAIT_SECONDS):
                continue
            asked = time.monotonic()
            try:
                is_new = self._take(driver, None, _WAIT_SECONDS)
            except NoPictureError:
                self._judging.give_back()
                # Only the time it was asked counts: the station's own pauses say nothing about the camera.
                in_vain += time.monotonic() - asked
                if stale and in_vain > stale:
                    raise CameraLostError(f"no picture for {stale:.1f} s") from None
                continue
            except BaseException:
                self._judging.give_back()
                raise
            now, in_vain = time.monotonic(), 0.0
            if self._period:
                due = max(due + self._period, now)
            if is_new:
                news = now
            elif stale and now - news > stale + (self._period or 0.0):
                raise CameraLostError(f"its picture has not changed for {now - news:.0f} s")

    def _take(self, driver: DriverThread, trigger: Trigger | None, seconds: float | None) -> bool:
        """One picture on its way to the judge; whether it shows anything new. What it raises has left the place in
        the judge's hand unused."""
        unix_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        bad: BadPictureError | None = None
        picture: Picture | None = None
        try:
            picture = driver.grab(seconds)
        except BadPictureError as error:
            bad = error
        if self.pace is not Pace.STATION:  # it came by itself; when it was asked for says nothing
            unix_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        self._tell_missing(picture.missing if picture is not None else bad.missing if bad is not None else 0)
        asked_part = trigger.part_id if trigger is not None else ""
        answer = trigger.answer if trigger is not None else None
        if picture is None:
            assert bad is not None
            self._note_bad(bad)
            self._judging.put(
                self._bad_frame(bad.reason, str(bad), unix_ns, monotonic_ns, asked_part or bad.part_id), answer=answer
            )
            return bad.reason is not Reason.IMAGE_FROZEN
        self._note_good()
        self._sequence += 1
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
        self._counter.frame(unix_ns)
        deadline = trigger.deadline_monotonic_ns if trigger is not None else None
        judge = trigger.judge if trigger is not None else None
        self._judging.put(frame, deadline_monotonic_ns=deadline, answer=answer, judge=judge)
        return True

    def _bad_frame(self, reason: Reason, message: str, unix_ns: int, monotonic_ns: int, part_id: str = "") -> BadFrame:
        self._sequence += 1
        self._counter.frame(unix_ns, reason)
        return BadFrame(
            frame_id=new_frame_id(unix_ns),
            camera=self.name,
            part_id=part_id,
            camera_sequence=self._sequence,
            captured_unix_ns=unix_ns,
            captured_monotonic_ns=monotonic_ns,
            reason=reason,
            message=message,
        )

    def _tell_missing(self, missing: int) -> None:
        """Counts what the camera took and we never saw; where each is a part, each gets its NO_VERDICT."""
        self._counter.add("missing", missing)
        if not missing or self.pace is not Pace.LINE:
            return
        if self._may_log():
            logger.warning("camera %s: %d pictures never came", self.name, missing)
        for _ in range(min(missing, MOST_MISSING_TOLD)):
            self._judging.put_missing(
                self._bad_frame(Reason.IMAGE_MISSING, "never came", time.time_ns(), time.monotonic_ns())
            )

    def _note_bad(self, error: BadPictureError) -> None:
        if not self._bad_in_a_row:
            self._bad_is_logged = self._may_log()
            if self._bad_is_logged:
                logger.warning("camera %s, picture %d: %s", self.name, self._sequence + 1, error)
        self._bad_in_a_row += 1

    def _note_good(self) -> None:
        if self._bad_in_a_row > 1 and self._bad_is_logged:
            logger.warning("camera %s: %d pictures in a row could not be used", self.name, self._bad_in_a_row)
        self._bad_in_a_row = 0

    def _may_log(self) -> bool:
        """Whether the last line about a picture is long enough ago: every other picture may be bad."""
        if time.monotonic() < self._log_again_at:
            return False
        self._log_again_at = time.monotonic() + _LOG_SECONDS
        return True

    def _change(self, state: CameraState, message: str) -> None:
        self._message = message
        if state is self._state:
            return
        self._state = state
        level = logging.WARNING if state is CameraState.LOST else logging.INFO
        logger.log(level, "camera %s: %s%s", self.name, state.name.lower(), f", {message}" if message else "")
        self._on_state(self.name, state, message)
