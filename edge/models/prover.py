"""From a folder of bytes to a loaded model: signature, digests, manifest, a trial apart, golden cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from edge.backends.contract import Backend, BackendError
from edge.models.checks import check_classes, check_golden
from edge.models.settings import ModelsSettings
from edge.models.slot import ServingModel
from edge.models.store import PackageStore, storage_faults
from edge.models.trial import Trials
from edge.models.trust import check_role
from lineside import golden, signing
from lineside.package import GOLDEN_NAME, SIGNATURE_NAME, Package, read_package
from lineside.reasons import ContractError, Reason


class OpenBackend(Protocol):
    """`edge.backends.open_backend`, or a test's own."""

    def __call__(self, name: str, graph: bytes, *, threads: int) -> Backend: ...


class EngineError(ContractError):
    """A package that passed its trial has no engine here and now: it may be the package, or the station's memory."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(Reason.PKG_MALFORMED, f"the graph cannot be run: {error}")


class Prover:
    """Knows what this station asks of a package.

    Args:
        settings: section [models].
        store: where packages are.
        open_backend: makes an engine for a graph.
        required_classes: classes the station's recipes speak about.
        engines: the store of TensorRT engines, for trials; None: there is none.

    Raises:
        ValueError: a key file is missing.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        store: PackageStore,
        open_backend: OpenBackend,
        required_classes: Collection[str],
        engines: Path | None = None,
    ) -> None:
        for signer in settings.all_signers:
            if not signer.key.is_file():
                place = "trusted_keys" if signer.key in settings.trusted_keys else "signers"
                raise ValueError(f"models.{place}: there is no file {signer.key}")
        self._settings = settings
        self._store = store
        self._open_backend = open_backend
        self._required_classes = tuple(required_classes)
        self._trials = Trials(
            backend=settings.backend,
            threads=settings.threads,
            seconds=settings.trial_seconds,
            memory_mb=settings.trial_memory_mb,
            engines=engines,
        )

    def open(self, folder: Path, *, new: bool = False) -> Package:
        """Opens a package folder, its signature first: nothing of it is parsed before that.

        Args:
            folder: of the package.
            new: it has just come; a key that was retired vouches only for what was here before.

        Raises:
            ContractError: PKG_SIGNATURE, ROLE, PKG_MALFORMED, PKG_HASH, PKG_CLASSES, PKG_INPUT.
        """
        signers = self._settings.all_signers
        signer = None
        if signers and (self._settings.signature_required or (folder / SIGNATURE_NAME).exists()):
            key = signing.verify(folder, [item.key for item in signers])
            signer = next(item for item in signers if item.key == key)
        package = read_package(folder)
        if signer is not None:
            check_role(signer, package.manifest, new=new)
        check_classes(package.manifest, self._required_classes)
        return package

    def try_apart(self, digest: str) -> None:
        """First inference of a stored package, in a process of its own.

        Raises:
            ContractError: as `Trials.run`.
        """
        self._trials.run(self._store.folder(digest))

    def load(self, digest: str) -> ServingModel:
        """A stored package, loaded, which has met its golden cases in the runtime that will serve.

        Raises:
            ContractError: as `open`, and PKG_PARITY, PKG_NAN, STORAGE_FAULT.
            EngineError: there is no engine for it.
        """
        with storage_faults():
            package = self.open(self._store.folder(digest))
            if package.digest != digest:
                raise ContractError(Reason.PKG_HASH, "the package on the disk is not the one that was received")
            cases = golden.unpack(package.read(GOLDEN_NAME), package.manifest)
            try:
                return self._warmed(package, cases)
            except BackendError as error:
                raise EngineError(error) from error

    def _warmed(self, package: Package, cases: Sequence[golden.GoldenCase]) -> ServingModel:
        settings = self._settings
        model = ServingModel(
            package, lambda graph: self._open_backend(settings.backend, graph, threads=settings.threads)
        )
        try:
            check_golden(package.manifest, cases, model.run)
        except BaseException:
            model.close()
            raise
        return model

    def close(self) -> None:
        """Ends trials under way. Idempotent."""
        self._trials.close()
