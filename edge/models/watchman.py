"""Watches the serving model: collects what `edge.models.probation` decides on, and has it done in a thread of its own.

The thread that judged a frame only counts. The model before is the last confirmed one: while a confirmed model serves
its latest frames are remembered, and stay what every trial after it is compared with. That baseline is written down
when a trial begins, so that a start in the middle of a probation does not lose it; the counts begin anew.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.inspection import Inspection, Verdict
from edge.models.probation import SETTLE_SECONDS, Advice, Baseline, Move, Seen, decide, slow_from_us
from edge.models.recent import Recent
from edge.models.settings import ProbationSettings
from edge.models.swap import Lineup, State
from lineside.reasons import ContractError, Reason
from lineside.v1 import swap_pb2

_LOGGER = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0

Act = Callable[[str, Advice], None]
"""Confirms or takes back the model of a digest; raises ContractError where that cannot be done."""


@dataclasses.dataclass(slots=True)
class _Trial:
    digest: str
    began: float
    baseline: Baseline
    slow_from_us: int
    recent: Recent
    seen: Seen = dataclasses.field(default_factory=Seen)
    acting: bool = False
    retry_at: float = 0.0


class Watchman:
    """Thread-safe.

    Args:
        settings: section [models.probation].
        path: of the file in which the baseline of a trial is kept; its folder exists.
        act: does what was decided.
        clock: seconds, monotonic; for tests.
    """

    def __init__(
        self, settings: ProbationSettings, path: Path, act: Act, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._path = path
        self._act = act
        self._clock = clock
        self._lock = threading.Lock()
        self._steady = ""
        """Digest of the confirmed model while it serves."""
        self._recent, self._recent_of = Recent(settings.compare_frames), ""
        self._baseline = Baseline()
        self._trial: _Trial | None = None
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="probation")

    def follow(self, lineup: Lineup) -> None:
        """The lineup is another one; may begin or end a probation."""
        item = None if lineup.serving is None else lineup.find(lineup.serving)
        with self._lock:
            if item is None:
                self._trial, self._steady = None, ""
            elif item.state is State.CONFIRMED:
                self._settle(item.digest)
            elif self._trial is None or self._trial.digest != item.digest:
                self._begin(item.digest)

    def saw(self, inspection: Inspection) -> None:
        """One judged frame. Quick; never waits for a disk or an engine."""
        model = inspection.model
        if model is None or inspection.verdict_reason == Reason.DEADLINE.value:
            return  # no model ran, or the caller gave up: no word about any model
        failed = inspection.verdict is Verdict.NO_VERDICT
        alarm = inspection.verdict is Verdict.REJECT
        latency_us = inspection.timings.preprocess_us + inspection.timings.inference_us
        with self._lock:
            if model.digest == self._steady and not failed:
                self._recent.add(latency_us, alarm=alarm)
            trial = self._trial
            if trial is None or model.digest != trial.digest:
                return
            now = self._clock()
            if failed:
                trial.seen = trial.seen.with_error()
            else:
                trial.recent.add(latency_us, alarm=alarm)
                slow = latency_us > trial.slow_from_us if trial.slow_from_us else None
                settled = now - trial.began >= SETTLE_SECONDS
                trial.seen = trial.seen.with_frame(alarm=alarm, slow=slow if settled else None)
            if trial.acting or now < trial.retry_at:
                return
            advice = decide(trial.seen, trial.baseline, self._settings, now - trial.began)
            if advice.move is Move.GO_ON:
                return
            trial.acting = True
        try:
            self._hand.submit(self._do, trial, advice)
        except RuntimeError:  # the station stops; the next start goes on with the probation
            return

    def report(self, digest: str) -> swap_pb2.ProbationReport | None:
        """How the model of a digest does; None: it is not on probation."""
        with self._lock:
            trial = self._trial
            if trial is None or trial.digest != digest:
                return None
            seen, baseline = trial.seen, trial.baseline
            return swap_pb2.ProbationReport(
                frames=seen.frames,
                errors=seen.errors,
                alarms=seen.alarms,
                baseline_frames=baseline.frames,
                baseline_alarms=baseline.alarms,
                p99_us=trial.recent.p99_us(),
                baseline_p99_us=baseline.p99_us,
                seconds=self._clock() - trial.began,
            )

    def close(self) -> None:
        """Waits for what is being done. Idempotent."""
        self._hand.shutdown(wait=True)

    def _settle(self, digest: str) -> None:
        """A confirmed model serves: one that was on trial until now, or that came back, keeps its frames."""
        trial, self._trial = self._trial, None
        if trial is not None and trial.digest == digest:
            self._recent, self._recent_of = trial.recent, digest
        elif self._recent_of != digest:
            self._recent, self._recent_of = Recent(self._settings.compare_frames), digest
        self._steady = digest

    def _begin(self, digest: str) -> None:
        if self._steady:
            self._baseline = self._recent.baseline()
            self._write(digest)
        elif self._baseline == Baseline():
            self._baseline = self._read(digest)
        self._steady = ""
        self._trial = _Trial(
            digest=digest,
            began=self._clock(),
            baseline=self._baseline,
            slow_from_us=slow_from_us(self._baseline, self._settings),
            recent=Recent(self._settings.compare_frames),
        )

    def _do(self, trial: _Trial, advice: Advice) -> None:
        wait = _RETRY_SECONDS
        try:
            self._act(trial.digest, advice)
        except ContractError as error:
            _LOGGER.error("probation asks to %s (%s), which cannot be done: %s", advice.move.value, advice.why, error)
            if error.reason is Reason.PKG_STATE:  # there is no earlier model, and there will be none
                wait = math.inf
        except Exception:
            _LOGGER.exception("probation asks to %s (%s), which failed", advice.move.value, advice.why)
        finally:
            with self._lock:
                trial.acting, trial.retry_at = False, self._clock() + wait

    def _write(self, digest: str) -> None:
        document = {"digest": digest, **dataclasses.asdict(self._baseline)}
        try:
            temporary = self._path.with_suffix(".new")
            temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            _LOGGER.exception("the baseline of a probation cannot be written; a start in its middle would lose it")

    def _read(self, digest: str) -> Baseline:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            # Another trial's baseline is that of the same confirmed model, as long as none was confirmed since.
            del document["digest"]
            return Baseline(**document)
        except FileNotFoundError:
            return Baseline()
        except (OSError, ValueError, TypeError, KeyError) as error:
            _LOGGER.warning("the baseline of %s cannot be read: %s", digest, error)
            return Baseline()
