"""A handshake at work: one camera over one output. Everything here runs on the output's own event loop.

The inspection itself runs in a thread of the channel, one at a time, and always has a deadline: neither a camera that
hangs can hold up the protocol, nor a PLC that hangs the camera.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable

from edge.inspection import Inspection, Verdict
from edge.outputs.handshake import (
    Able,
    Event,
    Job,
    Judged,
    Outcome,
    Rules,
    State,
    Stop,
    Tick,
    step,
)
from edge.outputs.signals import Signals, signals_of
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

Inspect = Callable[[str, int], Inspection]
"""Takes a picture of a part (its id) and judges it, before a deadline on `time.monotonic_ns`. Raises ContractError."""
AbleOf = Callable[[], str]
"""Why a trigger would be in vain; empty: it would not. Never waits."""
_JOIN_SECONDS = 5.0


class Channel:
    """Made anywhere, opened and used on one event loop; `state` and `signals` may be read from any thread.

    Args:
        camera: its name.
        index: its place among the output's cameras.
        rules: of the handshake.
        boot: number of this start of the station.
        first: the first sequence number.
        inspect: for triggers; None where the output only follows.
        able: asked again and again.
    """

    def __init__(
        self,
        *,
        camera: str,
        index: int,
        rules: Rules,
        boot: int,
        first: int,
        inspect: Inspect | None,
        able: AbleOf,
    ) -> None:
        self.camera = camera
        self.index = index
        self.rules = rules
        self.on_change: Callable[[Channel], None] = lambda _: None
        """Told on the loop after each change of the signals; set by the protocol."""
        self._boot = boot
        self._inspect = inspect
        self._able = able
        self._state = State(next=first)
        self._signals = signals_of(self._state, mode=rules.mode, boot=boot)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> State:
        """As it is now."""
        return self._state

    @property
    def signals(self) -> Signals:
        """What the PLC may see now."""
        return self._signals

    def open(self, name: str) -> None:
        """Begins on the running loop; `name` is the output's."""
        self._loop = asyncio.get_running_loop()
        if self._inspect is not None:
            self._thread = threading.Thread(
                target=self._work, args=(self._inspect,), name=f"{name} {self.camera}", daemon=True
            )
            self._thread.start()
        self.look()

    def deliver(self, event: Event) -> None:
        """Takes an event, begins what it asks for and tells what has changed. Never waits."""
        self._state, job = step(self._state, event, time.monotonic_ns(), self.rules)
        if job is not None:
            self._jobs.put(job)
        self._set_timer()
        signals = signals_of(self._state, mode=self.rules.mode, boot=self._boot)
        if signals != self._signals:
            self._signals = signals
            self.on_change(self)

    def look(self) -> None:
        """Asks whether a trigger would be in vain."""
        why = self._able()
        if (not why, why) != (self._state.able, self._state.why_not):
            self.deliver(Able(able=not why, why=why))

    def close(self) -> None:
        """Answers what is at work with NO_VERDICT and ends the thread, without waiting for it."""
        self.deliver(Stop())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._jobs.put(None)

    def join(self) -> None:
        """Waits for the thread, after `close`; complains if it does not end."""
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            if self._thread.is_alive():
                logger.error("%s did not end within %.0f s", self._thread.name, _JOIN_SECONDS)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wakes_ns = self._state.wakes_ns
        if wakes_ns is not None and self._loop is not None and not self._state.stopping:
            # A timer may come a moment early; then it is set once more.
            seconds = max(0.0, (wakes_ns - time.monotonic_ns()) / 1e9)
            self._timer = self._loop.call_later(seconds, self.deliver, Tick())

    def _work(self, inspect: Inspect) -> None:
        while (job := self._jobs.get()) is not None:
            outcome = _outcome(inspect, job)
            if self._loop is None:
                return
            try:
                self._loop.call_soon_threadsafe(self.deliver, Judged(sequence=job.sequence, outcome=outcome))
            except RuntimeError:  # the loop has been closed: the station is stopping
                return


def _outcome(inspect: Inspect, job: Job) -> Outcome:
    try:
        return Outcome.of(inspect(job.part_id, job.deadline_ns))
    except ContractError as error:
        reason = error.reason
    except Exception:
        logger.exception("a trigger of a PLC failed in a way the station did not foresee")
        reason = Reason.INTERNAL
    return Outcome(
        verdict=Verdict.NO_VERDICT, reason=str(reason.value), part_id=job.part_id, judged_unix_ns=time.time_ns()
    )
