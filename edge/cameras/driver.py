"""The one thread that touches a camera's driver, each call with a time limit.

A driver may block for ever: an open on a dead network, a read on a pulled cable. Nothing in Python can end such a
call, so it is left alone with its thread, a daemon that closes the camera should the call ever return; whoever waited
goes on.
"""

from __future__ import annotations

import concurrent.futures
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from edge.cameras.contract import Camera, CameraLostError, Picture

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_SLICE_SECONDS = 0.2
"""How often a waiting caller looks whether the station is stopping."""
_GRACE_SECONDS = 1.0
"""Beyond the time a call was asked to keep, and for a call in work when the station stops."""


class DriverThread:
    """Owns a camera from its first call to `end`.

    Args:
        camera: closed.
        stopping: set when the station stops; then no call is waited for longer than a moment.
    """

    def __init__(self, camera: Camera, stopping: threading.Event) -> None:
        self.camera = camera
        self.hangs = False
        """Whether a call has not returned in its time; the thread takes no further ones."""
        self._stopping = stopping
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"driver {camera.settings.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread is still there; one that hangs may come back any time."""
        return self._thread.is_alive()

    def open(self) -> None:
        """Opens the camera. Raises as `Camera.open`, and CameraLostError where that takes too long."""
        self._call("open", self.camera.open, self.camera.settings.open_seconds)

    def grab(self, seconds: float | None = None) -> Picture:
        """As `Camera.grab`, and CameraLostError where that does not keep its time."""
        asked = self.camera.settings.picture_seconds if seconds is None else seconds
        return self._call("read", lambda: self.camera.grab(asked), asked + _GRACE_SECONDS)

    def close(self) -> None:
        """Closes the camera. Raises CameraLostError where that takes too long."""
        self._call("close", self.camera.close, self.camera.settings.picture_seconds)

    def end(self) -> None:
        """Ends the thread, which closes the camera if it is open; does not wait. Idempotent."""
        if not self._ended:
            self._ended = True
            self._calls.put(None)

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended, at the latest after so many seconds."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _call(self, what: str, function: Callable[[], _Result], seconds: float) -> _Result:
        answer: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # reaches whoever waits
                    answer.set_exception(error)
                else:
                    answer.set_result(result)

        self._calls.put(run)
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if self._stopping.is_set():
                left = min(left, _GRACE_SECONDS)
            try:
                return answer.result(min(max(0.0, left), _GRACE_SECONDS if self._stopping.is_set() else _SLICE_SECONDS))
            except concurrent.futures.TimeoutError:
                if answer.done():  # the driver's own TimeoutError
                    raise CameraLostError(f"{what}: the driver timed out") from None
                if self._stopping.is_set() or time.monotonic() >= until:
                    self.hangs = True
                    self.end()
                    raise CameraLostError(f"{what}: the driver has not returned within {seconds:.0f} s") from None

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # with it the picture
        try:
            self.camera.close()
        except Exception as error:
            logger.warning("camera %s did not close cleanly: %s", self.camera.settings.name, error)
