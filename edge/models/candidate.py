"""A package on its way to serving where the station asks for more than golden cases: replay, then shadow.

One candidate at a time, in a thread of its own with an engine of its own that stands back behind the serving one. What
it has shown is lost when it is given up for another or the station stops: it begins again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.detections import inside_frame
from edge.frame import Frame
from edge.inspection import Inspection
from edge.models import swap
from edge.models.audit import STATION
from edge.models.disagreement import Standing
from edge.models.prover import EngineError, Prover
from edge.models.roster import Roster
from edge.models.settings import ModelsSettings, ReplaySettings
from edge.models.shadow import Shadow
from edge.models.slot import ServingModel
from edge.models.swap import Event, Lineup, State
from edge.verdict import RecipeSettings
from lineside.pixels import Pixels
from lineside.reasons import ContractError, Reason
from lineside.replay.figures import Tally
from lineside.replay.matching import CandidateDetection
from lineside.replay.policy import Policy
from lineside.replay.run import Answer, NoAnswer, Replayed, reading, replay_records
from lineside.v1 import swap_pb2

_LOGGER = logging.getLogger(__name__)

_PROGRESS_SECONDS = 1.0
_KEPT_REPORTS = 32
_NO_WORD_AGAINST_IT = (
    Reason.PKG_STATE,
    Reason.MODEL_UNKNOWN,
    Reason.RECORD_CORRUPT,
    Reason.STORAGE_FULL,
    Reason.STORAGE_FAULT,
    Reason.DRAINING,
)
"""Troubles of the station, or somebody was quicker: the package may try again."""

Report = TypeVar("Report", swap_pb2.ReplayReport, swap_pb2.ShadowReport)


_NICENESS = 10


class _Stopped(Exception):  # noqa: N818
    """The candidate is given up."""


class _Job:
    """The candidate there is."""

    def __init__(self, digest: str, actor: str, *, replay: bool, shadow: bool) -> None:
        self.digest, self.actor, self.replay, self.shadow = digest, actor, replay, shadow
        self.stop = threading.Event()
        self.counted = threading.Event()
        self.beside: Shadow | None = None
        self.thread: threading.Thread | None = None


class Candidacy:
    """Thread-safe but for `start` and `stop`, which their caller serialises.

    Args:
        settings: section [models].
        prover: loads the candidate.
        roster: is told of its steps.
        log: folder of the mentoring log.
        on_progress: told that a candidate's figures have changed, about once a second.
        on_refused: told of a candidate that failed, after the roster.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        prover: Prover,
        roster: Roster,
        log: Path,
        *,
        on_progress: Callable[[str], None],
        on_refused: Callable[[str, ContractError], None],
    ) -> None:
        self._settings = settings
        self._prover = prover
        self._roster = roster
        self._log = log
        self._on_progress = on_progress
        self._on_refused = on_refused
        self._job: _Job | None = None
        self._replays: dict[str, swap_pb2.ReplayReport] = {}
        self._shadows: dict[str, swap_pb2.ShadowReport] = {}

    def runs(self, digest: str, *, shadow: bool) -> bool:
        """Whether this is the candidate already, and has the shadow that is asked for."""
        job = self._job
        if job is None or job.thread is None or job.digest != digest:
            return False
        return job.thread.is_alive() and (job.shadow or not shadow)

    def start(self, digest: str, actor: str, *, replay: bool, shadow: bool) -> None:
        """Begins with a package that is WARMED or further; call `stop` first."""
        job = _Job(digest, actor, replay=replay, shadow=shadow)
        job.thread = threading.Thread(target=self._run, args=(job,), name=f"candidate {digest[7:19]}", daemon=True)
        self._job = job
        job.thread.start()

    def stop(self, actor: str = STATION, *, only: str | None = None) -> None:
        """Gives the candidate up, which may serve by now. Idempotent.

        Args:
            actor: who wants it.
            only: its digest, or nothing happens; None: whichever it is.
        """
        job = self._job
        if job is None or job.thread is None or only not in (None, job.digest):
            return
        self._job = None
        job.stop.set()
        job.counted.set()
        job.thread.join()
        self._unload(job, actor)

    def offer(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        """A frame the serving model has answered, and the rules that decided; never waits."""
        job = self._job
        if job is not None and (beside := job.beside) is not None:
            beside.offer(frame, inspection, recipe)

    def standing(self, digest: str) -> tuple[Standing, tuple[str, ...]] | None:
        """Where a candidate's shadow stands; None: it has none."""
        job = self._job
        if job is None or job.digest != digest or (beside := job.beside) is None:
            return None
        return beside.standing()

    def reports(self, digest: str) -> tuple[swap_pb2.ReplayReport | None, swap_pb2.ShadowReport | None]:
        """What a candidate has shown; also of those that are none any more."""
        job = self._job
        if job is not None and job.digest == digest and (beside := job.beside) is not None:
            return self._replays.get(digest), beside.report()
        return self._replays.get(digest), self._shadows.get(digest)

    def _run(self, job: _Job) -> None:
        _stand_back()
        try:
            with self._prover.load(job.digest) as model:
                if job.replay and self._roster.lineup.get(job.digest).state is State.WARMED:
                    self._replay(job, model)
                    self._advance(job, Event.REPLAYED)
                if job.shadow:
                    self._advance(job, Event.SHADOWED)
                    self._beside(job, model)
                else:
                    self._on_progress(job.digest)
        except _Stopped:
            return
        except ContractError as error:
            if job.stop.is_set():
                return
            _LOGGER.warning("candidate %s: %s", job.digest, error)
            if isinstance(error, EngineError) or error.reason in _NO_WORD_AGAINST_IT:
                self._unload(job, STATION)
                return
            self._roster.refuse(job.digest, error, STATION)
            self._on_refused(job.digest, error)
        except Exception:
            _LOGGER.exception("candidate %s: its replay or shadow failed for a reason of the station's", job.digest)
            self._unload(job, STATION)

    def _unload(self, job: _Job, actor: str) -> None:
        """The package has shown nothing any more, unless it serves or is refused by now."""

        def unloaded(lineup: Lineup, now: int) -> Lineup:
            item = lineup.find(job.digest)
            if item is None or (item.state, Event.UNLOADED) not in swap.TABLE:
                return lineup
            return swap.advanced(lineup, job.digest, Event.UNLOADED, now)

        try:
            self._roster.decide(unloaded, actor)
        except ContractError as error:
            _LOGGER.error("candidate %s could not be written down as unloaded: %s", job.digest, error)

    def _advance(self, job: _Job, event: Event) -> None:
        if job.stop.is_set():
            raise _Stopped
        self._roster.decide(lambda lineup, now: swap.advanced(lineup, job.digest, event, now), job.actor)

    def _replay(self, job: _Job, model: ServingModel) -> None:
        """Raises ContractError: GATE_FAILED, with the limits that were not kept and the parts behind them."""
        told_at = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told_at
            if job.stop.is_set():
                raise _Stopped
            _keep(self._replays, job.digest, swap_pb2.ReplayReport(done=done, total=total))
            if time.monotonic() - told_at >= _PROGRESS_SECONDS:
                told_at = time.monotonic()
                self._on_progress(job.digest)

        with reading(self._log) as reader:
            replayed = replay_records(
                reader,
                _asked(model),
                policy_of(self._settings.replay),
                last_trained=model.package.manifest.lineage.last_log_sequence,
                on_progress=progress,
            )
        _keep(self._replays, job.digest, report_of(replayed))
        self._on_progress(job.digest)
        if not replayed.decision.passed:
            said = "; ".join(refusal.text for refusal in replayed.decision.refusals)
            raise ContractError(Reason.GATE_FAILED, f"replay of what operators said: {said}")

    def _beside(self, job: _Job, model: ServingModel) -> None:
        """Until it is stopped. Raises ContractError: GATE_FAILED."""
        with Shadow(model, self._settings.shadow, job.counted.set) as shadow:
            job.beside = shadow
            try:
                self._on_progress(job.digest)
                told_at, told = time.monotonic(), False
                while not job.stop.is_set():
                    # Without a frame there is nothing to look at; with many one look a second is enough to tell.
                    job.counted.wait()
                    job.counted.clear()
                    standing, objections = shadow.standing()
                    if standing is Standing.FAILED:
                        raise ContractError(Reason.GATE_FAILED, f"shadow on live frames: {'; '.join(objections)}")
                    passed = standing is Standing.PASSED
                    if time.monotonic() - told_at >= _PROGRESS_SECONDS or (passed and not told):
                        told_at, told = time.monotonic(), passed
                        self._on_progress(job.digest)
            finally:
                _keep(self._shadows, job.digest, shadow.report())
                job.beside = None


def _stand_back() -> None:
    """Lets other threads go before the calling one and all it starts from now on.

    Linux alone: niceness is a thread's own there, and inherited. It counts from where the station already stands.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))


def _keep(reports: dict[str, Report], digest: str, report: Report) -> None:
    reports[digest] = report
    if len(reports) > _KEPT_REPORTS:
        del reports[next(iter(reports))]


def policy_of(settings: ReplaySettings) -> Policy:
    """The gate's limits as the station's owner set them."""
    return Policy(**settings.model_dump(exclude={"required"}))


def report_of(replayed: Replayed) -> swap_pb2.ReplayReport:
    """A finished replay for the wire."""
    tally: Tally = replayed.tally
    return swap_pb2.ReplayReport(
        done=tally.records,
        total=tally.records,
        finished=True,
        used=tally.used,
        escapes=tally.escapes.hits,
        defects=tally.escapes.total,
        refusals=[refusal.text for refusal in replayed.decision.refusals],
    )


def _asked(model: ServingModel) -> Answer:
    """The model as the replay asks it."""

    def answer(pixels: Pixels) -> tuple[CandidateDetection, ...]:
        try:
            given = model.answer(pixels)
        except Exception as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        found = given.found
        boxes = inside_frame(given.letterbox.to_frame(found.boxes), pixels.shape[1], pixels.shape[0])
        return tuple(
            CandidateDetection(
                class_name=model.package.class_names[int(found.classes[number])],
                score=float(found.scores[number]),
                box=(
                    float(boxes[number, 0]),
                    float(boxes[number, 1]),
                    float(boxes[number, 2]),
                    float(boxes[number, 3]),
                ),
            )
            for number in range(len(found))
        )

    return answer
