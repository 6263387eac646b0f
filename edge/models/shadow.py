"""A candidate beside the serving model, on live frames: it stands back, drops what it is too busy for, and is counted.

Its thread and its engine are started by a thread that stands back (candidate.py) and so do the same; at most one frame
waits for it, and it is waited for by nobody.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

from edge.detections import detections_of
from edge.frame import Frame
from edge.inspection import Inspection, Verdict
from edge.models.disagreement import Disagreement, Standing, report_of, standing_of
from edge.models.settings import ShadowSettings
from edge.models.slot import ServingModel
from edge.verdict import RecipeSettings, decide
from lineside.v1 import swap_pb2

_LOGGER = logging.getLogger(__name__)

_WAITING = 1
_JOIN_SECONDS = 30.0


class Shadow:
    """A context manager; leaving it ends the thread. The model stays its owner's.

    Args:
        model: the candidate.
        limits: the station's.
        on_count: told after every frame that was compared or failed, in the shadow's thread.
    """

    def __init__(
        self,
        model: ServingModel,
        limits: ShadowSettings,
        on_count: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._limits = limits
        self._on_count = on_count
        self._lock = threading.Lock()
        self._seen = Disagreement()
        self._against = ""
        self._frames: queue.Queue[tuple[Frame, Inspection, RecipeSettings] | None] = queue.Queue(_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"shadow {model.identity.digest[7:19]}", daemon=True)

    def offer(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        """A frame the serving model has answered, and the rules that decided; never waits."""
        if inspection.verdict is Verdict.NO_VERDICT or inspection.model is None:
            return
        try:
            self._frames.put_nowait((frame, inspection, recipe))
        except queue.Full:
            with self._lock:
                self._seen = self._seen.with_drop()

    def standing(self) -> tuple[Standing, tuple[str, ...]]:
        """Where the candidate stands, and what speaks against it."""
        with self._lock:
            seen = self._seen
        return standing_of(seen, self._limits)

    def report(self) -> swap_pb2.ShadowReport:
        """Counts up to now."""
        with self._lock:
            seen = self._seen
        return report_of(seen, self._limits)

    def __enter__(self) -> Shadow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(queue.Full):  # then the thread looks at `_stop` after the frame it has
            self._frames.put_nowait(None)
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            _LOGGER.error("%s did not end within %.0f s", self._thread.name, _JOIN_SECONDS)

    def _run(self) -> None:
        while (taken := self._frames.get()) is not None and not self._stop.is_set():
            seen = self._compare(*taken)
            model = taken[1].model
            with self._lock:
                if model is not None and model.digest != self._against:
                    # Another model serves now: what was counted was about the one before.
                    self._against, self._seen = model.digest, Disagreement()
                self._seen = seen(self._seen)
            del taken
            self._on_count()

    def _compare(
        self, frame: Frame, inspection: Inspection, recipe: RecipeSettings
    ) -> Callable[[Disagreement], Disagreement]:
        try:
            answer = self._model.answer(frame.pixels)
            found = detections_of(frame, answer.found, answer.letterbox, self._model.package.class_names)
            verdict = decide(found, recipe).verdict
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            _LOGGER.warning("the shadow failed on frame %s: %s", frame.frame_id, why)
            return lambda before: before.with_failure(why)
        return lambda before: before.with_frame(inspection.detections, inspection.verdict, found, verdict)
