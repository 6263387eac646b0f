"""The lineup in force: everything that changes it goes through here, and so do the loaded models and the switch.

One lock guards lineup, journal and switch; it is held for one small file write. Serving does not take it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Set

from edge.models import swap
from edge.models.audit import STATION
from edge.models.journal import Journal
from edge.models.prover import EngineError, Prover
from edge.models.slot import ModelSlot, ServingModel
from edge.models.status import ModelWatch, Watches, changes, refusal
from edge.models.store import storage_faults
from edge.models.swap import Lineup, State
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)

_DRAIN_SECONDS = 30.0

Listener = Callable[[model_pb2.ModelEvent], None]


class Roster:
    """Thread-safe.

    Args:
        journal: where the lineup is written.
        prover: loads models.
        on_event: told of every change of state, in order, quickly.
        on_model: told of a package before its first frame is judged.
        on_lineup: told of every lineup that comes into force, in order, quickly.
    """

    def __init__(
        self,
        journal: Journal,
        prover: Prover,
        *,
        on_event: Listener,
        on_model: Callable[[Package], None],
        on_lineup: Callable[[Lineup], None],
    ) -> None:
        self.slot = ModelSlot()
        self._journal = journal
        self._prover = prover
        self._on_event = on_event
        self._on_model = on_model
        self._on_lineup = on_lineup
        self._deciding = threading.Lock()
        self._lineup = Lineup()
        self._loaded: dict[str, ServingModel] = {}
        self._watches = Watches()

    @property
    def lineup(self) -> Lineup:
        """As it is now."""
        return self._lineup

    def loaded(self, digest: str) -> ServingModel | None:
        """The model of a digest, if it is loaded."""
        return self._loaded.get(digest)

    # Changes

    def decide(self, change: Callable[[Lineup, int], Lineup], actor: str) -> None:
        """Applies a change: journal first, then the switch, then the events. All or nothing.

        Raises:
            ContractError: what `change` raises; STORAGE_FULL, STORAGE_FAULT; PKG_STATE, the model is not loaded.
        """
        with self._deciding:
            self._apply(change(self._lineup, time.time_ns()), actor)

    def refuse(self, digest: str, error: ContractError, actor: str) -> None:
        """Records a refusal. A disk that cannot take the record changes nothing about it."""
        with self._deciding:
            if error.reason in (Reason.DRAINING, Reason.STORAGE_FULL, Reason.STORAGE_FAULT, Reason.PKG_GPU):
                # The station's own trouble: the package keeps what it has proven, and bytes that never arrived go.
                if self._lineup.get(digest).state is State.RECEIVED:
                    self._lineup = swap.without(self._lineup, {digest})
                return
            lineup = swap.refused(self._lineup, digest, error.reason, error.message, time.time_ns())
            self._apply(lineup, actor, must_save=False)
            self._save_if_possible()

    def roll_back(self, actor: str, *, only_from: str | None = None, message: str = "") -> None:
        """Lets the model before the serving one serve.

        Args:
            actor: who wants it.
            only_from: digest that has to serve, or nothing happens; None: whoever serves.
            message: stays with the one that steps down.

        Raises:
            ContractError: PKG_STATE, there is none; or why that model cannot be loaded any more.
        """
        while not self._roll_back_once(actor, only_from, message):
            pass

    def _roll_back_once(self, actor: str, only_from: str | None, message: str) -> bool:
        """False: somebody else swapped in between, and another model is the target now."""
        target = self._lineup.trail[-1] if self._lineup.trail else None
        if target is not None:
            self.load(target)
        with self._deciding:
            if only_from is not None and self._lineup.serving != only_from:
                return True
            after = swap.rolled_back(self._lineup, time.time_ns(), message)
            if after.serving != target:
                return False
            # A full disk, which may be why somebody rolls back, must not hold him up.
            self._apply(after, actor, must_save=False)
            self._save_if_possible()
            return True

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
        self._on_lineup(lineup)
        for event in changes(before, lineup, actor):
            self._tell(event)

    def _save_if_possible(self) -> None:
        try:
            self._journal.save(self._lineup)
        except OSError:
            _LOGGER.exception("the model journal cannot be written; the station goes on with what it has in memory")

    # Loading

    def load(self, digest: str) -> None:
        """Sees to it that a model is loaded and has met its golden cases.

        Raises:
            ContractError: as `Prover.load`.
        """
        if digest in self._loaded:
            return
        model = self._prover.load(digest)
        with self._deciding:
            kept = self._loaded.setdefault(digest, model)
        if kept is not model:
            model.close()

    def standing_in(self) -> tuple[str, ...]:
        """Digests of the loaded models that run on another engine than was asked for."""
        with self._deciding:
            return tuple(digest for digest, model in self._loaded.items() if model.stands_in)

    def renew(self, digest: str) -> bool:
        """Loads a loaded model once more, because the engine that was asked for is there now, and lets it take over.

        The same package serves before and after, so the lineup stays as it is.

        Returns:
            False: it is not loaded any more, or still has no such engine.

        Raises:
            ContractError: as `Prover.load`; the model goes on as before.
        """
        if digest not in self._loaded:
            return False
        model = self._prover.load(digest)
        with self._deciding:
            old = None if model.stands_in else self._loaded.get(digest)
            if old is not None:
                self._loaded[digest] = model
                if self._lineup.serving == digest:
                    self.slot.switch(model)
        if old is None:
            model.close()
            return False
        self._unload(old)
        return True

    def prune(self, keep: int) -> tuple[str, ...]:
        """Forgets the packages beyond `keep`; gives back whose files may go."""
        with self._deciding:
            surplus = swap.superfluous(self._lineup, keep)
            lineup = swap.without(self._lineup, frozenset(surplus))
            if lineup != self._lineup:
                self._lineup = lineup
                self._save_if_possible()
            return surplus

    def unload_unneeded(self) -> None:
        """Unloads what neither serves nor is where a rollback goes, then loads the latter if it is not."""
        with self._deciding:
            fallback = self._lineup.trail[-1] if self._lineup.trail else None
            kept = {self._lineup.serving, fallback}
            unneeded = [self._loaded.pop(digest) for digest in list(self._loaded) if digest not in kept]
        for model in unneeded:
            self._unload(model)
        if fallback is not None and fallback not in self._loaded:
            try:
                self.load(fallback)
            except ContractError as error:
                _LOGGER.error("model %s, to which a rollback would go, cannot be loaded: %s", fallback, error)
                self.refuse(fallback, error, STATION)

    def close(self) -> None:
        """Nothing serves any more, and everything is unloaded. Idempotent."""
        with self._deciding:
            self.slot.switch(None)
            models, self._loaded = list(self._loaded.values()), {}
        for model in models:
            self._unload(model)

    def _unload(self, model: ServingModel) -> None:
        if not self.slot.drained(model, timeout=_DRAIN_SECONDS):
            _LOGGER.error("a frame still holds model %s; its engine is closed all the same", model.identity.digest)
        model.close()

    # Starting

    def restore(self, present: Set[str], adopt: Callable[[Lineup, str], Lineup]) -> None:
        """Lets serve again who served. If that model cannot, the one before it does, and so on.

        Args:
            present: digests whose files are on the disk.
            adopt: takes one of them that the journal does not know into a lineup, or drops it.
        """
        saved = self._journal.load()
        with self._deciding:
            lineup = swap.restarted(saved or Lineup(), present, time.time_ns())
            for stray in sorted(present - {item.digest for item in lineup.held}):
                lineup = adopt(lineup, stray)
            self._lineup = lineup
        while (digest := self._next_to_restore()) is not None:
            if self._restore(digest):
                break
        with self._deciding:
            self._save_if_possible()
            self._on_lineup(self._lineup)

    def _next_to_restore(self) -> str | None:
        """Whom to load at the start: who served, or else the last of the trail."""
        with self._deciding:
            if self._lineup.serving is None and self._lineup.trail:
                self._lineup = swap.rolled_back(self._lineup, time.time_ns())
            return self._lineup.serving

    def _restore(self, digest: str) -> bool:
        """Lets a model serve at the start; False: it cannot, and the lineup knows."""
        try:
            self.load(digest)
        except ContractError as error:
            _LOGGER.error("model %s cannot serve again: %s", digest, error)
            if isinstance(error, EngineError) or error.reason is Reason.STORAGE_FAULT:
                # No word against the package: it may be activated again when the station is well.
                with self._deciding:
                    self._lineup = swap.stood_down(self._lineup, time.time_ns())
            else:
                self.refuse(digest, error, STATION)
            return False
        model = self._loaded[digest]
        self._introduce(model)
        self.slot.switch(model)
        _LOGGER.info("model %s %s serves again (%s)", model.identity.name, model.identity.version, digest)
        return True

    def _introduce(self, model: ServingModel) -> None:
        """Tells of a package before its first frame."""
        with storage_faults():
            self._on_model(model.package)

    # Telling

    def watch(self, present: Callable[[], list[model_pb2.ModelStatus]]) -> ModelWatch:
        """The present state of every package, then every change; a context manager."""
        with self._deciding:
            return self._watches.open([model_pb2.ModelEvent(status=status, actor=STATION) for status in present()])

    def tell_progress(self, status: model_pb2.ModelStatus) -> None:
        """To the watchers alone: nothing has changed its state."""
        self._watches.put(model_pb2.ModelEvent(status=status, actor=STATION))

    def tell_refusal(self, digest: str, error: ContractError, actor: str) -> None:
        """Of a package that is refused before the station knows it."""
        with self._deciding:
            self._tell(model_pb2.ModelEvent(status=refusal(digest[:80], error, time.time_ns()), actor=actor))

    def end_watches(self) -> None:
        """Tells every watcher that the station stops."""
        self._watches.close()

    def _tell(self, event: model_pb2.ModelEvent) -> None:
        self._watches.put(event)
        try:
            self._on_event(event)
        except Exception:  # a listener's fault must not undo a swap that has happened
            _LOGGER.exception("a model event could not be delivered")
