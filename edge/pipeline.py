"""One frame through the station: model, rules, log, events. Every fault on the way is NO_VERDICT, never PASS.

Runs in the thread of whoever brings the frame; any number of them at once. The engine's own thread takes turns, so
while it works on one frame the others are being decoded and prepared.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from edge.backends.contract import BackendError
from edge.detections import detections_of
from edge.events import EventBus
from edge.frame import Frame
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.models.slot import ModelSlot
from edge.pictures import LatestPictures
from edge.verdict import RecipeSettings, decide, recipe_for
from lineside.pixels import Pixels
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

if TYPE_CHECKING:
    from edge.mentoring.selection import Selection

logger = logging.getLogger(__name__)


class Chooser(Protocol):
    """Says whether and why a frame is kept (edge.mentoring.selection.Selector)."""

    def down_to(self, thresholds: Mapping[str, float]) -> float | None:
        """The score down to which candidates below these thresholds may be worth a question; None: none is."""

    def choose(
        self,
        inspection: Inspection,
        *,
        thresholds: Mapping[str, float] | None = None,
        pixels: Pixels | None = None,
        candidates: Sequence[Detection] = (),
    ) -> Selection | None:
        """None: not kept. `thresholds` are the model's by class name. Called from several threads."""


class Keeper(Protocol):
    """Keeps chosen frames (edge.mentoring.log.MentoringLog)."""

    def keep(
        self, frame: Frame, inspection: Inspection, selection: Selection, *, candidates: Sequence[Detection] = ()
    ) -> bool:
        """Takes the frame without waiting; False: it could not."""


class Observer(Protocol):
    """Looks on (edge.models.manager.ModelManager): probation and shadow."""

    def saw(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        """Told of every frame that was judged, and by which rules, before its caller has the answer; never waits. From
        several threads."""


class Pipeline:
    """Judges frames.

    Args:
        station: its name.
        slot: where the serving model sits.
        bus: is told every decision.
        log: keeps the frames the selector chooses, before anybody hears of the decision.
        selector: chooses.
        recipes: in order; the first that fits counts.
        pictures: of each camera the last one, for screens.
        observer: is told of every frame that was judged; None: nobody is.
    """

    def __init__(
        self,
        *,
        station: str,
        slot: ModelSlot,
        bus: EventBus,
        log: Keeper,
        selector: Chooser,
        recipes: Sequence[RecipeSettings] = (),
        pictures: LatestPictures | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._station = station
        self._slot = slot
        self._bus = bus
        self._log = log
        self._selector = selector
        self._recipes = tuple(recipes)
        self.pictures = pictures if pictures is not None else LatestPictures()
        self._observer = observer
        self._last_fault = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the model the next frame gets; empty: there is none."""
        serving = self._slot.serving
        return () if serving is None else serving.package.class_names

    def recipe_named(self, name: str) -> RecipeSettings:
        """One of the station's recipes.

        Raises:
            ContractError: RECIPE_UNKNOWN.
        """
        for recipe in self._recipes:
            if recipe.name == name:
                return recipe
        there_are = ", ".join(recipe.name for recipe in self._recipes) or "none"
        raise ContractError(
            Reason.RECIPE_UNKNOWN, f"no recipe {name[:80]!r} at this station; there are: {there_are[:400]}"
        )

    def inspect(
        self,
        frame: Frame,
        *,
        queue_us: int = 0,
        decode_us: int = 0,
        deadline_monotonic_ns: int | None = None,
        recipe: RecipeSettings | None = None,
    ) -> Inspection:
        """Judges one frame. Raises nothing: what goes wrong is the reason of a NO_VERDICT.

        Args:
            frame: to judge.
            queue_us: microseconds it waited before.
            decode_us: microseconds it took to decode.
            deadline_monotonic_ns: after which nobody waits for the answer (`time.monotonic_ns`): NO_VERDICT, DEADLINE,
                and the engine is not bothered. None: no limit.
            recipe: the rules; None: the first of the station's that fits camera and part.
        """
        started = time.perf_counter_ns()
        recipe = recipe or recipe_for(self._recipes, frame.camera, frame.part_id)
        preprocess_us = inference_us = 0
        model: ModelIdentity | None = None
        detections: tuple[Detection, ...] = ()
        candidates: tuple[Detection, ...] = ()
        thresholds: Mapping[str, float] = {}
        try:
            _refuse_if_late(deadline_monotonic_ns)
            with self._slot.lease() as serving:
                model = serving.identity
                thresholds = dict(zip(serving.package.class_names, serving.thresholds.tolist(), strict=True))
                answer = serving.answer(
                    frame.pixels,
                    deadline_monotonic_ns=deadline_monotonic_ns,
                    down_to=self._selector.down_to(thresholds),
                )
                preprocess_us, inference_us = answer.preprocess_us, answer.inference_us
                detections = detections_of(frame, answer.found, answer.letterbox, serving.package.class_names)
                if answer.below is not None:
                    candidates = detections_of(
                        frame, answer.below, answer.letterbox, serving.package.class_names, first=len(detections)
                    )
            verdict, reason = decide(detections, recipe)
            self._note_fault("")
        except Exception as error:
            verdict, reason, detections = Verdict.NO_VERDICT, self._fault(error), ()
            candidates = ()
        spent_us = (time.perf_counter_ns() - started) // 1000
        inspection = Inspection(
            frame_id=frame.frame_id,
            station=self._station,
            camera=frame.camera,
            part_id=frame.part_id,
            verdict=verdict,
            verdict_reason=reason,
            detections=detections,
            model=model,
            timings=Timings(
                queue_us=queue_us,
                decode_us=decode_us,
                preprocess_us=preprocess_us,
                inference_us=inference_us,
                decide_us=max(0, spent_us - preprocess_us - inference_us),
                total_us=queue_us + decode_us + spent_us,
            ),
            width=frame.width,
            height=frame.height,
            captured_unix_ns=frame.captured_unix_ns,
            captured_monotonic_ns=frame.captured_monotonic_ns,
            camera_sequence=frame.camera_sequence,
            mentored=False,
            recipe="" if verdict is Verdict.NO_VERDICT else recipe.name,
        )
        # The log first: feedback about a decision may come the moment it is told, and must find its frame.
        if self._kept(frame, inspection, thresholds, candidates):
            inspection = dataclasses.replace(inspection, mentored=True)
        self.pictures.put(frame, inspection)
        self._tell(inspection)
        if self._observer is not None:
            self._show(self._observer, frame, inspection, recipe)
        return inspection

    def no_picture(
        self,
        reason: Reason,
        *,
        frame_id: str,
        camera: str,
        part_id: str,
        camera_sequence: int,
        captured_unix_ns: int,
        captured_monotonic_ns: int,
    ) -> Inspection:
        """NO_VERDICT for a part whose picture cannot be used: it is counted and told like any other, never inferred."""
        inspection = Inspection(
            frame_id=frame_id,
            station=self._station,
            camera=camera,
            part_id=part_id,
            verdict=Verdict.NO_VERDICT,
            verdict_reason=str(reason.value),
            detections=(),
            model=None,
            timings=Timings(),
            width=0,
            height=0,
            captured_unix_ns=captured_unix_ns,
            captured_monotonic_ns=captured_monotonic_ns,
            camera_sequence=camera_sequence,
            mentored=False,
        )
        self._tell(inspection)
        return inspection

    def _tell(self, inspection: Inspection) -> None:
        self._bus.publish(inspection_pb2.StationEvent(inspection=inspection.to_message()))

    def _show(self, observer: Observer, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        try:
            observer.saw(frame, inspection, recipe)
        except Exception:
            logger.exception("frame %s could not be shown to the model manager", frame.frame_id)

    def _kept(
        self,
        frame: Frame,
        inspection: Inspection,
        thresholds: Mapping[str, float],
        candidates: Sequence[Detection],
    ) -> bool:
        try:
            selection = self._selector.choose(
                inspection, thresholds=thresholds, pixels=frame.pixels, candidates=candidates
            )
            return selection is not None and self._log.keep(frame, inspection, selection, candidates=candidates)
        except Exception:
            # The verdict stands without the log; that a frame was not kept is said by `mentored`.
            logger.exception("frame %s could not be offered to the mentoring log", frame.frame_id)
            return False

    def _fault(self, error: Exception) -> str:
        """The reason for a NO_VERDICT, logged when it is another one than the last."""
        reason = error.reason if isinstance(error, ContractError) else Reason.INTERNAL
        if reason is Reason.DEADLINE:  # the caller's haste, not a fault of the station; it comes and goes by the second
            return str(reason.value)
        if self._note_fault(f"{type(error).__name__}: {error}"):
            expected = isinstance(error, (ContractError, BackendError))
            logger.error("no verdict: %s", error, exc_info=None if expected else error)
        return str(reason.value)

    def _note_fault(self, fault: str) -> bool:
        """Remembers the present fault ("": none); whether it is a new one. A rare race logs a line twice."""
        if fault == self._last_fault:
            return False
        if not fault:
            logger.info("verdicts again after: %s", self._last_fault)
        self._last_fault = fault
        return bool(fault)


def _refuse_if_late(deadline_monotonic_ns: int | None) -> None:
    if deadline_monotonic_ns is not None and time.monotonic_ns() >= deadline_monotonic_ns:
        raise ContractError(Reason.DEADLINE, "the caller's time was over before a worker was free; allow more time")
