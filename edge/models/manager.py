"""Takes packages in, proves them, and swaps them: acts on what `edge.models.swap` decides.

Locks: `_work` lets one package be proven at a time and may be held for a minute; the roster's own lock is held for one
small file write. A rollback to a model that is loaded needs only the second, so it never waits for a push. Serving
takes neither.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from edge.frame import Frame
from edge.inspection import Inspection
from edge.models import swap
from edge.models.audit import DONE, STATION, Audit, Entry
from edge.models.candidate import Candidacy
from edge.models.engine_builds import ENGINES_FOLDER, EngineBuilds
from edge.models.gates import check_gates
from edge.models.intake import Intake
from edge.models.journal import Journal
from edge.models.probation import Advice, Move
from edge.models.prover import OpenBackend, Prover
from edge.models.receiving import Arrivals
from edge.models.roster import Roster
from edge.models.settings import ModelsSettings
from edge.models.status import ModelWatch, status_of
from edge.models.store import PackageStore
from edge.models.swap import Held, Lineup, Policy, State
from edge.models.watchman import Watchman
from edge.verdict import RecipeSettings
from lineside.package import Package, read_package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)


class ModelManager:
    """All models of a station; every public method may be called from any thread.

    Args:
        settings: section [models].
        data_dir: the station's folder; `models` inside it is ours.
        open_backend: makes an engine for a graph.
        on_event: told of every change of state, in order, quickly.
        on_model: told of a package before its first frame is judged.
        recipes: the station's; a package has to know the classes they name.
        log: folder of the mentoring log, for replays; None: `log` inside data_dir.
        on_deed: told of every line of the audit, in order, quickly.

    Raises:
        ValueError: a key file is missing.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        data_dir: Path,
        open_backend: OpenBackend,
        on_event: Callable[[model_pb2.ModelEvent], None],
        on_model: Callable[[Package], None],
        *,
        recipes: Sequence[RecipeSettings] = (),
        log: Path | None = None,
        on_deed: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        folder = data_dir / "models"
        self._settings = settings
        self._policy = Policy(
            replay=settings.replay.required, shadow=settings.shadow.frames > 0, frozen=settings.frozen
        )
        self._store = PackageStore(folder)
        self._arrivals = Arrivals(self._store.staging, settings.maximum_package_mb << 20)
        self._audit = Audit(folder / "audit.jsonl", on_deed)
        required = {name for recipe in recipes for name in recipe.class_names}
        engines = data_dir / ENGINES_FOLDER
        self._prover = Prover(settings, self._store, open_backend, required, engines)
        self._watchman = Watchman(settings.probation, folder / "baseline.json", self._act_on_probation)
        self._roster = Roster(
            Journal(folder / "journal.json"),
            self._prover,
            on_event=on_event,
            on_model=on_model,
            on_lineup=self._watchman.follow,
        )
        self._candidacy = Candidacy(
            settings,
            self._prover,
            self._roster,
            data_dir / "log" if log is None else log,
            on_progress=self._tell_progress,
            on_refused=lambda digest, error: self._note("refuse", STATION, digest, error=error),
        )
        self._work = threading.Lock()
        self._intake = Intake(self._prover, self._store, self._arrivals, self._roster, self._work, self._check_open)
        self._engines = EngineBuilds(settings, engines, self._store, self._prover, self._roster, self._work, self._note)
        # Loads and unloads what may take its time: the model a rollback would go to, and those nobody needs any more.
        self._housekeeper = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._closing = False
        self.slot = self._roster.slot

    def start(self) -> None:
        """Restores what served before. If that model cannot serve, the one before it does, and so on."""
        self._arrivals.clean()
        self._roster.restore(self._store.digests(), self._intake.adopt)
        changed = ", ".join(map(str, self._audit.changed_before))
        said = f"this audit was changed before the entries {changed}" if changed else ""
        self._note("start", STATION, self._roster.lineup.serving or "", said)
        self._tidy()

    def push(
        self, begin: model_pb2.PushBegin, chunks: Iterable[model_pb2.PushChunk], actor: str
    ) -> model_pb2.ModelStatus:
        """Receives a package and proves it in a process of its own. What is already here is answered with its state.

        Raises:
            ContractError: PKG_MALFORMED, PKG_HASH, PKG_SIGNATURE, PKG_CLASSES, PKG_INPUT, PKG_NAN, PKG_PARITY,
                PKG_ROLLBACK, MSG_TOO_LARGE, QUEUE_FULL, STORAGE_FULL, STORAGE_FAULT, DRAINING.
        """
        while True:
            self._check_open()
            known = self._roster.lineup.find(begin.digest)
            if known is not None and known.state not in (State.RECEIVED, State.REFUSED):
                return self.status(begin.digest)
            # Somebody whose link broke after the last byte comes again while his package is being proven.
            if not self._arrivals.wait_for_proof(begin.digest):
                break
        try:
            with self._audited("push", actor, begin.digest):
                self._intake.receive(begin, chunks, actor)
                self._tidy()
                return self.status(begin.digest)
        except ContractError as error:
            # A refusal before the bytes were bound to their digest leaves no record, or a torn copy would speak ill of
            # a good package; it is told all the same.
            if self._roster.lineup.find(begin.digest) is None and error.reason is not Reason.QUEUE_FULL:
                self._roster.tell_refusal(begin.digest, error, actor)
            _LOGGER.warning("push of %s by %s refused: %s", begin.digest[:80], actor, error)
            raise

    def received(self, digest: str) -> dict[str, int]:
        """Bytes the station holds, by file name, of a push that broke off and can be continued.

        Raises:
            ContractError: PKG_MALFORMED, no digest.
        """
        return self._arrivals.received(digest)

    def prepare(self, digest: str, actor: str, *, shadow: bool = False) -> model_pb2.ModelStatus:
        """Begins the steps that come before serving; a candidate there was is given up.

        Args:
            digest: of the package.
            actor: who asks.
            shadow: also where the station's policy asks for none.

        Raises:
            ContractError: MODEL_UNKNOWN, PKG_STATE, PKG_ROLLBACK, and what a package can be refused for.
        """
        with self._audited("prepare", actor, digest), self._work:
            self._check_open()
            item = self._roster.lineup.get(digest)
            if self._roster.lineup.serving == digest:
                raise ContractError(Reason.PKG_STATE, "the package serves already")
            swap.check_version(self._roster.lineup, item.name, item.version)
            policy = self._policy.for_lineup(self._roster.lineup)
            if shadow and self._roster.lineup.serving is None:
                raise ContractError(Reason.NO_MODEL, "a shadow needs a serving model beside it, and there is none")
            if item.state not in (State.RETIRED, State.CONFIRMED) and not self._candidacy.runs(digest, shadow=shadow):
                self._candidacy.stop(actor)
                self._intake.prove(digest, actor, policy)
                self._candidacy.start(digest, actor, replay=policy.replay, shadow=policy.shadow or shadow)
        self._tidy()  # what was warmed up is put away again: the candidate has an engine of its own
        return self.status(digest)

    def activate(self, digest: str, actor: str) -> model_pb2.ModelStatus:
        """Warms a package up and lets it serve from the next frame on. The old model stays loaded.

        Raises:
            ContractError: MODEL_UNKNOWN, FROZEN, PKG_ROLLBACK, what a package can be refused for; PKG_STATE, a step the
                station asks for is missing or not over; GATE_FAILED.
        """
        with self._audited("activate", actor, digest), self._work:
            self._check_open()
            item = self._roster.lineup.get(digest)
            if self._roster.lineup.serving != digest:
                swap.check_thawed(self._roster.lineup, self._policy)
                swap.check_version(self._roster.lineup, item.name, item.version)
                self._intake.check_may_serve(digest)
                self._intake.prove(digest, actor, self._policy.for_lineup(self._roster.lineup))
                self._check_gates(digest)
                self._roster.load(digest)
                self._roster.decide(lambda lineup, now: swap.activated(lineup, digest, self._policy, now), actor)
                self._candidacy.stop(actor, only=digest)
                _LOGGER.info("model %s %s activated by %s (%s)", item.name, item.version, actor, digest)
            self._tidy()
        return self.status(digest)

    def confirm(self, digest: str, actor: str) -> model_pb2.ModelStatus:
        """Ends the serving model's probation.

        Raises:
            ContractError: MODEL_UNKNOWN, PKG_STATE.
        """
        with self._audited("confirm", actor, digest):
            self._check_open()
            self._roster.decide(lambda lineup, now: swap.confirmed(lineup, digest, now), actor)
        _LOGGER.info("model %s confirmed by %s", digest, actor)
        return self.status(digest)

    def rollback(self, why: str, actor: str, *, only_from: str | None = None) -> model_pb2.ModelStatus:
        """Lets the model serve that served before; gives back the status of the one that serves now.

        Args:
            why: in words, for the audit.
            actor: who asks.
            only_from: digest that has to serve, or nothing is done; None: whichever serves.

        Raises:
            ContractError: PKG_STATE, there is none; or why that model cannot be loaded any more.
        """
        serving = self._roster.lineup.serving
        if only_from is not None and serving is not None and serving != only_from:
            return self.status(serving)
        with self._audited("rollback", actor, serving or "", why):
            self._check_open()
            self._roster.roll_back(actor, only_from=only_from)
        status = self.status(self._roster.lineup.serving or "")
        _LOGGER.warning("rolled back to %s %s by %s: %s", status.model.name, status.model.version, actor, why)
        self._tidy()
        return status

    def freeze(self, why: str, actor: str) -> None:
        """From now on nothing is activated, over starts too; rollbacks, pushes, shadows and learning go on.

        Raises:
            ContractError: STORAGE_FULL, STORAGE_FAULT.
        """
        why = f"by {actor}: {why}" if why else f"by {actor}"
        with self._audited("freeze", actor, "", why):
            self._check_open()
            self._roster.decide(lambda lineup, _: swap.frozen(lineup, why), actor)

    def thaw(self, why: str, actor: str) -> None:
        """Models may be activated again.

        Raises:
            ContractError: FROZEN, the station's configuration says otherwise.
        """
        with self._audited("thaw", actor, "", why):
            self._check_open()
            self._roster.decide(lambda lineup, _: swap.thawed(lineup, self._policy), actor)

    @property
    def frozen(self) -> str:
        """Why nothing may be activated; empty: it may."""
        return swap.freeze_of(self._roster.lineup, self._policy)

    @property
    def way_back(self) -> str:
        """Digest of the model a rollback would let serve; empty: there is none."""
        return next(reversed(self._roster.lineup.trail), "")

    @property
    def last_alarm(self) -> Entry | None:
        """When the station last took a model back or refused one by itself."""
        return self._audit.last_alarm

    def list(self) -> tuple[model_pb2.ModelStatus, ...]:
        """Every package the station knows, the serving one first, then the latest change first."""
        lineup = self._roster.lineup
        order = sorted(lineup.held, key=lambda item: (item.digest != lineup.serving, -item.changed_unix_ns))
        return tuple(self._status(item, lineup) for item in order)

    def status(self, digest: str) -> model_pb2.ModelStatus:
        """Of one package.

        Raises:
            ContractError: MODEL_UNKNOWN.
        """
        lineup = self._roster.lineup
        return self._status(lineup.get(digest), lineup)

    def describe(self, digest: str) -> tuple[model_pb2.ModelStatus, model_pb2.PackageManifest]:
        """State and manifest; an empty digest means the serving model. A refused package has an empty manifest.

        Raises:
            ContractError: MODEL_UNKNOWN, NO_MODEL.
        """
        digest = digest or self._roster.lineup.serving or ""
        if not digest:
            raise ContractError(Reason.NO_MODEL, "no model serves on this station; push one and activate it")
        status = self.status(digest)
        loaded = self._roster.loaded(digest)
        if loaded is not None:
            return status, loaded.package.manifest
        if status.state == model_pb2.MODEL_STATE_REFUSED:
            return status, model_pb2.PackageManifest()
        return status, read_package(self._store.folder(digest)).manifest

    def watch(self) -> ModelWatch:
        """The present state of every package, then every change; a context manager."""
        return self._roster.watch(lambda: [*self.list()])

    def audit(self, after: int = 0) -> Iterator[Entry]:
        """Who did what, oldest first: entries with a higher number than `after`."""
        return self._audit.entries(after)

    def saw(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        """A frame that was judged: for the probation of its model, and for the candidate beside it. Never waits."""
        self._watchman.saw(inspection)
        self._candidacy.offer(frame, inspection, recipe)

    def close(self) -> None:
        """Ends trials under way and unloads everything. Idempotent. Call it when no frame is asked for any more."""
        self._closing = True
        self._prover.close()
        self._roster.end_watches()
        self._housekeeper.shutdown(wait=True, cancel_futures=True)
        self._engines.close()
        self._watchman.close()
        with self._work:
            self._candidacy.stop()
            self._roster.close()

    def __enter__(self) -> ModelManager:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What comes before serving

    def _check_gates(self, digest: str) -> None:
        check_gates(self._roster.lineup, self._policy, digest, self._candidacy.standing(digest))

    def _is_ready(self, digest: str) -> bool:
        try:
            self._check_gates(digest)
            self._intake.check_meant_to_serve(digest)
        except ContractError:
            return False
        return True

    # The station's own moves

    def _act_on_probation(self, digest: str, advice: Advice) -> None:
        if advice.move is Move.CONFIRM:
            with self._audited("confirm", STATION, digest, advice.why):
                self._roster.decide(lambda lineup, now: swap.confirmed(lineup, digest, now), STATION)
            _LOGGER.info("model %s confirmed by the station: %s", digest, advice.why)
            return
        if self._roster.lineup.serving != digest:  # somebody was quicker
            return
        _LOGGER.error("model %s is taken back by the station: %s", digest, advice.why)
        with self._audited("rollback", STATION, digest, advice.why):
            self._roster.roll_back(STATION, only_from=digest, message=f"taken back by the station: {advice.why}")
        self._tidy()

    def _tell_progress(self, digest: str) -> None:
        with contextlib.suppress(ContractError):  # forgotten meanwhile
            self._roster.tell_progress(self.status(digest))

    def _status(self, item: Held, lineup: Lineup) -> model_pb2.ModelStatus:
        status = status_of(item, lineup)
        replay, shadow = self._candidacy.reports(item.digest)
        for name, report in (
            ("replay", replay),
            ("shadow", shadow),
            ("probation", self._watchman.report(item.digest)),
        ):
            if report is not None:
                getattr(status, name).CopyFrom(report)
        status.ready = lineup.serving != item.digest and self._is_ready(item.digest)
        return status

    # Audit and tidying up

    @contextlib.contextmanager
    def _audited(self, action: str, actor: str, digest: str, message: str = "") -> Iterator[None]:
        """Notes what is done inside, with its outcome."""
        try:
            yield
        except ContractError as error:
            self._note(action, actor, digest, error=error)
            raise
        except Exception as error:
            if action != "push":  # there it is the link that broke, and nothing was done
                self._note(action, actor, digest, error=ContractError(Reason.INTERNAL, type(error).__name__))
            raise
        self._note(action, actor, digest, message)

    def _note(
        self, action: str, actor: str, digest: str, message: str = "", error: ContractError | None = None
    ) -> None:
        item = self._roster.lineup.find(digest)
        self._audit.note(
            now=time.time_ns(),
            actor=actor,
            action=action,
            digest=digest[:80],
            name="" if item is None else item.name,
            version="" if item is None else item.version,
            outcome=DONE if error is None else str(error.reason.value),
            message=message if error is None else error.message,
        )

    def _tidy(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is shut down: the station stops, and there is nothing to keep
            self._housekeeper.submit(self._housekeep).add_done_callback(_log_failure)

    def _housekeep(self) -> None:
        """Keeps loaded what a rollback needs, unloads and deletes what nobody needs."""
        with self._work:
            if self._closing:
                return
            self._engines.look()  # before a candidate that was only warmed up is put away
            surplus = self._roster.prune(self._settings.keep_packages)
            self._roster.unload_unneeded()
            self._store.remove(surplus)
            self._engines.forget(surplus)

    def _check_open(self) -> None:
        if self._closing:
            raise ContractError(Reason.DRAINING, "the station is stopping")


def _log_failure(future: Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _LOGGER.error("housekeeping of the models failed", exc_info=error)
