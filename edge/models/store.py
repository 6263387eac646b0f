"""Package folders on the station's disk, named by digest, and the staging area where pushes arrive.

    DATA_DIR/models/staging/HEX64/      a push that is under way, or broke off and may be continued (receiving.py)
    DATA_DIR/models/packages/HEX64/     verified packages

A folder appears among the packages by one rename, when all its bytes are on the disk.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge.models.journal import sync_folder
from lineside.package import is_digest
from lineside.reasons import ContractError, Reason

_LOGGER = logging.getLogger(__name__)


@contextmanager
def storage_faults() -> Iterator[None]:
    """Turns faults of the disk into the contract's refusals.

    Raises:
        ContractError: STORAGE_FULL, STORAGE_FAULT.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ContractError(Reason.STORAGE_FULL, "the station's disk is full; free some space") from error
        _LOGGER.exception("the model store cannot be written")
        raise ContractError(Reason.STORAGE_FAULT, "the station's disk cannot be used; see its log") from error


class PackageStore:
    """The folders.

    Args:
        root: DATA_DIR/models; made if it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._packages = root / "packages"
        self.staging = root / "staging"
        """Where pushes arrive."""
        self._packages.mkdir(parents=True, exist_ok=True)
        self.staging.mkdir(parents=True, exist_ok=True)

    def folder(self, digest: str) -> Path:
        """Where the package of this digest is or will be."""
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is no package digest")
        return self._packages / digest.removeprefix("sha256:")

    def admit(self, staged: Path, digest: str) -> Path:
        """Moves a whole, verified folder among the packages; durable on return.

        Raises:
            ContractError: STORAGE_FULL, STORAGE_FAULT.
        """
        target = self.folder(digest)
        with storage_faults():
            if target.exists():
                shutil.rmtree(target)
            staged.rename(target)
            sync_folder(self._packages)
        return target

    def remove(self, digests: Sequence[str]) -> None:
        """Deletes packages; a folder that is not there is fine."""
        for digest in digests:
            shutil.rmtree(self.folder(digest), ignore_errors=True)

    def digests(self) -> frozenset[str]:
        """Of all packages on the disk."""
        names = (f"sha256:{path.name}" for path in self._packages.iterdir())
        return frozenset(name for name in names if is_digest(name))
