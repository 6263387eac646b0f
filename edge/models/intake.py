"""The way of a package from its first byte to a warm engine: received, verified, tried apart, loaded."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edge.models import swap, trust
from edge.models.prover import Prover
from edge.models.receiving import Arrivals
from edge.models.roster import Roster
from edge.models.store import PackageStore
from edge.models.swap import Event, Lineup, Policy, State
from lineside.package import MANIFEST_NAME, digest_of, parse_manifest
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)


class Intake:
    """Part of the manager, whose lock it shares.

    Args:
        prover, store, arrivals, roster: the manager's.
        work: lets one package be proven at a time.
        check_open: raises ContractError when the station stops.
    """

    def __init__(
        self,
        prover: Prover,
        store: PackageStore,
        arrivals: Arrivals,
        roster: Roster,
        work: threading.Lock,
        check_open: Callable[[], None],
    ) -> None:
        self._prover = prover
        self._store = store
        self._arrivals = arrivals
        self._roster = roster
        self._work = work
        self._check_open = check_open
        self._meant_to_serve: set[str] = set()

    def receive(self, begin: model_pb2.PushBegin, chunks: Iterable[model_pb2.PushChunk], actor: str) -> None:
        """Takes a push in and proves it as far as its trial apart.

        Raises:
            ContractError: whatever a push can be refused for.
        """
        digest = begin.digest
        with self._arrivals.whole(begin, chunks) as folder, self._work:
            self._check_open()
            self._roster.decide(lambda lineup, now: swap.received(lineup, digest, now), actor)
            if self._roster.lineup.get(digest).state is State.RECEIVED:
                self._verify(folder, digest, actor)
                self.prove(digest, actor, Policy(), until=Event.WARMED)

    def _verify(self, folder: Path, digest: str, actor: str) -> None:
        """Signature, role, digests, manifest, dates, version; then the folder joins the packages."""
        with self._refusing(digest, actor):
            manifest = self._prover.open(folder, new=True).manifest
            trust.check_not_expired(manifest, time.time())
            swap.check_version(self._roster.lineup, manifest.name, manifest.version)
            self._store.admit(folder, digest)
        self._roster.decide(
            lambda lineup, now: swap.verified(lineup, digest, manifest.name, manifest.version, now), actor
        )

    def prove(self, digest: str, actor: str, policy: Policy, *, until: Event = Event.ACTIVATED) -> None:
        """Takes the steps that need nobody else: engine, golden cases. Holds `_work`."""
        while (step := policy.next_step(self._roster.lineup.get(digest).state)) in (Event.BUILT, Event.WARMED):
            if step is until:
                return
            with self._refusing(digest, actor):
                if step is Event.WARMED:
                    self._roster.load(digest)
                else:
                    self._prover.try_apart(digest)
            self._roster.decide(lambda lineup, now, step=step: swap.advanced(lineup, digest, step, now), actor)  # type: ignore[misc]

    def check_may_serve(self, digest: str) -> None:
        """A package that is to be activated is meant to serve, and now. It stays what it is if not.

        Raises:
            ContractError: ROLE, it was made for trial; PKG_VALIDITY, the station's clock is before or after its dates.
        """
        if self._roster.lineup.get(digest).state in (State.RECEIVED, State.REFUSED):
            return  # what stands in its way is another thing, and is told with its own words
        self.check_meant_to_serve(digest)
        trust.check_valid(self._manifest(digest), time.time())

    def check_meant_to_serve(self, digest: str) -> None:
        """As `check_may_serve`, whatever day it is."""
        if digest not in self._meant_to_serve:  # asked often; what a digest stands for does not change
            trust.check_meant_to_serve(self._manifest(digest))
            self._meant_to_serve.add(digest)

    def _manifest(self, digest: str) -> model_pb2.PackageManifest:
        """Of a stored package, which was verified when it came; nothing else of it is read.

        Raises:
            ContractError: PKG_HASH, STORAGE_FAULT.
        """
        try:
            raw = (self._store.folder(digest) / MANIFEST_NAME).read_bytes()
        except OSError as error:
            raise ContractError(Reason.STORAGE_FAULT, "the package is not on the disk") from error
        if digest_of(raw) != digest:
            raise ContractError(Reason.PKG_HASH, "the package on the disk is not the one that was received")
        return parse_manifest(raw)

    @contextlib.contextmanager
    def _refusing(self, digest: str, actor: str) -> Iterator[None]:
        """What is raised inside is a word against the package."""
        try:
            yield
        except ContractError as error:
            self._roster.refuse(digest, error, actor)
            item = self._roster.lineup.find(digest)
            if item is not None and item.state is State.REFUSED:
                self._store.remove([digest])  # it would come again whole; until then its bytes are of no use
            raise

    def adopt(self, lineup: Lineup, digest: str) -> Lineup:
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
