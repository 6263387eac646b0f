"""Takes packages in, proves them, and swaps them: acts on what `edge.models.swap` decides.

Locks: `_work` lets one package be proven at a time and may be held for a minute; `_deciding` guards the lineup, the
journal and the switch, and is held for one small file write. A rollback to a model that is loaded needs only the
second, so it never waits for a push. Serving takes neither.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from edge.models import swap
from edge.models.journal import Journal
from edge.models.prover import EngineError, OpenBackend, Prover
from edge.models.settings import ModelsSettings
from edge.models.slot import ModelSlot, ServingModel
from edge.models.status import ModelWatch, Watches, changes, refusal, status_of
from edge.models.store import PackageStore, Staging, check_begin, storage_faults
from edge.models.swap import Event, Lineup, Policy, State
from lineside.package import Package, read_package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)

STATION = "station"
"""The actor where nobody asked."""
_MAXIMUM_PUSHES = 2
_DRAIN_SECONDS = 30.0


class ModelManager:
    """All models of a station; every public method may be called from any thread.

    Args:
        settings: section [models].
        data_dir: the station's folder; `models` inside it is ours.
        open_backend: makes an engine for a graph.
        on_event: told of every change of state, in order, quickly.
        on_model: told of a package before its first frame is judged.
        required_classes: classes the station's recipes speak about.

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
        required_classes: Collection[str] = (),
    ) -> None:
        self.slot = ModelSlot()
        self._settings = settings
        self._on_event = on_event
        self._on_model = on_model
        self._policy = Policy()
        self._store = PackageStore(data_dir / "models")
        self._journal = Journal(data_dir / "models" / "journal.json")
        self._prover = Prover(settings, self._store, open_backend, required_classes)
        self._work = threading.Lock()
        self._deciding = threading.Lock()
        self._pushes = threading.BoundedSemaphore(_MAXIMUM_PUSHES)
        self._lineup = Lineup()
        self._loaded: dict[str, ServingModel] = {}
        self._watches = Watches()
        # Loads and unloads what may take its time: the model a rollback would go to, and those nobody needs any more.
        self._housekeeper = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._closing = False

    def start(self) -> None:
        """Restores what served before. If that model cannot serve, the one before it does, and so on."""
        self._store.clean_staging()
        saved = self._journal.load()
        present = self._store.digests()
        with self._deciding:
            lineup = swap.restarted(saved or Lineup(), present, time.time_ns())
            for stray in sorted(present - {item.digest for item in lineup.held}):
                lineup = self._adopt(lineup, stray)
            self._lineup = lineup
        while (digest := self._next_to_restore()) is not None:
            if self._restore(digest):
                break
        with self._deciding:
            self._save_if_possible()
        self._tidy()

    def push(
        self, begin: model_pb2.PushBegin, chunks: Iterable[model_pb2.PushChunk], actor: str
    ) -> model_pb2.ModelStatus:
        """Receives a package and proves it in a process of its own. What is already here is answered with its state.

        Raises:
            ContractError: PKG_MALFORMED, PKG_HASH, PKG_SIGNATURE, PKG_CLASSES, PKG_INPUT, PKG_NAN, PKG_PARITY,
                PKG_ROLLBACK, MSG_TOO_LARGE, QUEUE_FULL, STORAGE_FULL, STORAGE_FAULT, DRAINING.
        """
        self._check_open()
        known = self._lineup.find(begin.digest)
        if known is not None and known.state not in (State.RECEIVED, State.REFUSED):
            return status_of(known, self._lineup)
        if not self._pushes.acquire(blocking=False):
            raise ContractError(Reason.QUEUE_FULL, f"{_MAXIMUM_PUSHES} pushes are under way; try again when one ended")
        try:
            return self._receive(begin, chunks, actor)
        except ContractError as error:
            # A refusal before the bytes were bound to their digest leaves no record, or a torn copy would speak ill of
            # a good package; it is told all the same.
            if self._lineup.find(begin.digest) is None:
                self._tell_refusal(begin.digest, error, actor)
            _LOGGER.warning("push of %s by %s refused: %s", begin.digest[:80], actor, error)
            raise
        finally:
            self._pushes.release()

    def activate(self, digest: str, actor: str) -> model_pb2.ModelStatus:
        """Warms a package up and lets it serve from the next frame on. The old model stays loaded.

        Raises:
            ContractError: MODEL_UNKNOWN, PKG_STATE, PKG_ROLLBACK, and what a package can be refused for.
        """
        with self._work:
            self._check_open()
            item = self._lineup.get(digest)
            if self._lineup.serving != digest:
                swap.check_version(self._lineup, item.name, item.version)
                self._prepare(digest, actor, until=Event.ACTIVATED)
                self._load(digest)
                self._decide(lambda lineup, now: swap.activated(lineup, digest, self._policy, now), actor)
                _LOGGER.info("model %s %s activated by %s (%s)", item.name, item.version, actor, digest)
            self._tidy()
        return self.status(digest)

    def confirm(self, digest: str, actor: str) -> model_pb2.ModelStatus:
        """Ends the serving model's probation.

        Raises:
            ContractError: MODEL_UNKNOWN, PKG_STATE.
        """
        self._check_open()
        self._decide(lambda lineup, now: swap.confirmed(lineup, digest, now), actor)
        _LOGGER.info("model %s confirmed by %s", digest, actor)
        return self.status(digest)

    def rollback(self, why: str, actor: str) -> model_pb2.ModelStatus:
        """Lets the model serve that served before; gives back its status.

        Raises:
            ContractError: PKG_STATE, there is none; or why that model cannot be loaded any more.
        """
        self._check_open()
        while not self._roll_back_once(actor):
            pass
        status = self.status(self._lineup.serving or "")
        _LOGGER.warning("rolled back to %s %s by %s: %s", status.model.name, status.model.version, actor, why)
        self._tidy()
        return status

    def list(self) -> tuple[model_pb2.ModelStatus, ...]:
        """Every package the station knows, the serving one first, then the latest change first."""
        lineup = self._lineup
        order = sorted(lineup.held, key=lambda item: (item.digest != lineup.serving, -item.changed_unix_ns))
        return tuple(status_of(item, lineup) for item in order)

    def status(self, digest: str) -> model_pb2.ModelStatus:
        """Of one package.

        Raises:
            ContractError: MODEL_UNKNOWN.
        """
        lineup = self._lineup
        return status_of(lineup.get(digest), lineup)

    def describe(self, digest: str) -> tuple[model_pb2.ModelStatus, model_pb2.PackageManifest]:
        """State and manifest; an empty digest means the serving model. A refused package has an empty manifest.

        Raises:
            ContractError: MODEL_UNKNOWN, NO_MODEL.
        """
        lineup = self._lineup
        digest = digest or lineup.serving or ""
        if not digest:
            raise ContractError(Reason.NO_MODEL, "no model serves on this station; push one and activate it")
        item = lineup.get(digest)
        loaded = self._loaded.get(digest)
        if loaded is not None:
            return status_of(item, lineup), loaded.package.manifest
        if item.state is State.REFUSED:
            return status_of(item, lineup), model_pb2.PackageManifest()
        return status_of(item, lineup), read_package(self._store.folder(digest)).manifest

    def watch(self) -> ModelWatch:
        """The present state of every package, then every change; a context manager."""
        with self._deciding:
            first = [model_pb2.ModelEvent(status=status, actor=STATION) for status in self.list()]
            return self._watches.open(first)

    def close(self) -> None:
        """Ends trials under way and unloads everything. Idempotent. Call it when no frame is asked for any more."""
        self._closing = True
        self._prover.close()
        self._watches.close()
        self._housekeeper.shutdown(wait=True, cancel_futures=True)
        with self._work, self._deciding:
            self.slot.switch(None)
            models, self._loaded = list(self._loaded.values()), {}
        for model in models:
            self._unload(model)

    def __enter__(self) -> ModelManager:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Receiving and proving

    def _receive(
        self, begin: model_pb2.PushBegin, chunks: Iterable[model_pb2.PushChunk], actor: str
    ) -> model_pb2.ModelStatus:
        limit = self._settings.maximum_package_mb << 20
        check_begin(begin, limit)
        with self._store.staging_folder() as folder:
            with storage_faults(), Staging(folder, begin, limit) as staging:
                for chunk in chunks:
                    staging.write(chunk)
                staging.finish()
            with self._work:
                self._check_open()
                self._decide(lambda lineup, now: swap.received(lineup, begin.digest, now), actor)
                if self._lineup.get(begin.digest).state is State.RECEIVED:
                    self._verify(folder, begin.digest, actor)
                    self._prepare(begin.digest, actor, until=Event.WARMED)
        self._tidy()
        return self.status(begin.digest)

    def _verify(self, folder: Path, digest: str, actor: str) -> None:
        """Signature, digests, manifest; then the folder joins the packages."""
        try:
            package = self._prover.open(folder)
            manifest = package.manifest
            swap.check_version(self._lineup, manifest.name, manifest.version)
            self._store.admit(folder, digest)
        except ContractError as error:
            self._refuse(digest, error, actor)
            raise
        self._decide(lambda lineup, now: swap.verified(lineup, digest, manifest.name, manifest.version, now), actor)

    def _prepare(self, digest: str, actor: str, *, until: Event) -> None:
        """Takes the steps that are missing, up to but without `until`. Holds `_work`."""
        while (step := self._policy.next_step(self._lineup.get(digest).state)) not in (until, Event.ACTIVATED):
            try:
                if step is Event.BUILT:
                    self._prover.try_apart(digest)
                elif step is Event.WARMED:
                    self._load(digest)
                else:
                    raise ContractError(Reason.PKG_STATE, f"this station has no way to take the step {step.name}")
            except ContractError as error:
                self._refuse(digest, error, actor)
                raise
            self._decide(lambda lineup, now, step=step: swap.advanced(lineup, digest, step, now), actor)  # type: ignore[misc]

    def _load(self, digest: str) -> None:
        """Sees to it that a model is loaded and has met its golden cases."""
        if digest in self._loaded:
            return
        model = self._prover.load(digest)
        with self._deciding:
            kept = self._loaded.setdefault(digest, model)
        if kept is not model:
            model.close()

    # Deciding

    def _decide(self, change: Callable[[Lineup, int], Lineup], actor: str) -> None:
        """Applies a change: journal first, then the switch, then the events. All or nothing."""
        with self._deciding:
            self._apply(change(self._lineup, time.time_ns()), actor)

    def _apply(self, lineup: Lineup, actor: str, *, must_save: bool = True) -> None:
        before, switches = self._lineup, lineup.serving != self._lineup.serving
        if lineup == before:
            return
        model = self._loaded.get(lineup.serving) if lineup.serving is not None else None
        if switches and lineup.serving is not None:
            if model is None:
                raise ContractError(Reason.PKG_STATE, "the model is not loaded any more; try again")
            self._introduce(model)
        if must_save:
            with storage_faults():
                self._journal.save(lineup)
        self._lineup = lineup
        if switches:
            self.slot.switch(model)
        for event in changes(before, lineup, actor):
            self._tell(event)

    def _introduce(self, model: ServingModel) -> None:
        """Tells of a package before its first frame."""
        with storage_faults():
            self._on_model(model.package)

    def _tell(self, event: model_pb2.ModelEvent) -> None:
        self._watches.put(event)
        try:
            self._on_event(event)
        except Exception:  # a listener's fault must not undo a swap that has happened
            _LOGGER.exception("a model event could not be delivered")

    def _tell_refusal(self, digest: str, error: ContractError, actor: str) -> None:
        with self._deciding:
            self._tell(model_pb2.ModelEvent(status=refusal(digest[:80], error, time.time_ns()), actor=actor))

    def _refuse(self, digest: str, error: ContractError, actor: str) -> None:
        """Records a refusal. A disk that cannot take the record changes nothing about it."""
        with self._deciding:
            if error.reason in (Reason.DRAINING, Reason.STORAGE_FULL, Reason.STORAGE_FAULT):
                # The station's own trouble: the package keeps what it has proven, and bytes that never arrived go.
                if self._lineup.get(digest).state is State.RECEIVED:
                    self._lineup = swap.without(self._lineup, {digest})
                return
            lineup = swap.refused(self._lineup, digest, error.reason, error.message, time.time_ns())
            self._apply(lineup, actor, must_save=False)
            self._save_if_possible()

    def _save_if_possible(self) -> None:
        try:
            self._journal.save(self._lineup)
        except OSError:
            _LOGGER.exception("the model journal cannot be written; the station goes on with what it has in memory")

    def _roll_back_once(self, actor: str) -> bool:
        """False: somebody else swapped in between, and another model is the target now."""
        target = self._lineup.trail[-1] if self._lineup.trail else None
        if target is not None:
            self._load(target)
        with self._deciding:
            after = swap.rolled_back(self._lineup, time.time_ns())
            if after.serving != target:
                return False
            # A full disk, which may be why somebody rolls back, must not hold him up.
            self._apply(after, actor, must_save=False)
            self._save_if_possible()
            return True

    def _next_to_restore(self) -> str | None:
        """Whom to load at the start: who served, or else the last of the trail."""
        with self._deciding:
            if self._lineup.serving is None and self._lineup.trail:
                self._lineup = swap.rolled_back(self._lineup, time.time_ns())
            return self._lineup.serving

    def _restore(self, digest: str) -> bool:
        """Lets a model serve at the start; False: it cannot, and the lineup knows."""
        try:
            self._load(digest)
        except ContractError as error:
            _LOGGER.error("model %s cannot serve again: %s", digest, error)
            if isinstance(error, EngineError) or error.reason is Reason.STORAGE_FAULT:
                # No word against the package: it may be activated again when the station is well.
                with self._deciding:
                    self._lineup = swap.stood_down(self._lineup, time.time_ns())
            else:
                self._refuse(digest, error, STATION)
            return False
        model = self._loaded[digest]
        self._introduce(model)
        self.slot.switch(model)
        _LOGGER.info("model %s %s serves again (%s)", model.identity.name, model.identity.version, digest)
        return True

    def _adopt(self, lineup: Lineup, digest: str) -> Lineup:
        """A verified folder the journal does not know (the power went between the two): checked again, or dropped."""
        try:
            package = self._prover.open(self._store.folder(digest))
            if package.digest != digest:
                raise ContractError(Reason.PKG_HASH, "its manifest has another digest")
            now = time.time_ns()
            return swap.verified(
                swap.received(lineup, digest, now), digest, package.manifest.name, package.manifest.version, now
            )
        except ContractError as error:
            _LOGGER.warning("package folder %s is dropped: %s", digest, error)
            self._store.remove([digest])
            return lineup

    # Tidying up

    def _tidy(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is shut down: the station stops, and there is nothing to keep
            self._housekeeper.submit(self._housekeep).add_done_callback(_log_failure)

    def _housekeep(self) -> None:
        """Keeps loaded what a rollback needs, unloads and deletes what nobody needs."""
        with self._work:
            if self._closing:
                return
            with self._deciding:
                surplus = swap.superfluous(self._lineup, self._settings.keep_packages)
                lineup = swap.without(self._lineup, frozenset(surplus))
                if lineup != self._lineup:
                    self._lineup = lineup
                    self._save_if_possible()
                fallback = lineup.trail[-1] if lineup.trail else None
                kept = {lineup.serving, fallback}
                unneeded = [self._loaded.pop(digest) for digest in list(self._loaded) if digest not in kept]
            for model in unneeded:
                self._unload(model)
            self._store.remove(surplus)
            if fallback is not None and fallback not in self._loaded:
                try:
                    self._load(fallback)
                except ContractError as error:
                    _LOGGER.error("model %s, to which a rollback would go, cannot be loaded: %s", fallback, error)
                    self._refuse(fallback, error, STATION)

    def _unload(self, model: ServingModel) -> None:
        if not self.slot.drained(model, timeout=_DRAIN_SECONDS):
            _LOGGER.error("a frame still holds model %s; its engine is closed all the same", model.identity.digest)
        model.close()

    def _check_open(self) -> None:
        if self._closing:
            raise ContractError(Reason.DRAINING, "the station is stopping")


def _log_failure(future: Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _LOGGER.error("housekeeping of the models failed", exc_info=error)
