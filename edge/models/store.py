"""Package folders on the station's disk, named by digest, and the staging area where pushes arrive.

    DATA_DIR/models/staging/XXXX/       one push in progress; emptied at every start
    DATA_DIR/models/packages/HEX64/     verified packages

A file is written only under a name of `lineside.package.FILE_NAMES`, only in staging; a folder appears among the
packages by one rename, when all its bytes are on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from edge.models.journal import sync_folder
from lineside.package import FILE_NAMES, MANIFEST_NAME, MAXIMUM_FILE_BYTES, is_digest
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)

MAXIMUM_CHUNK_BYTES = 1 << 20


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


def _malformed(message: str) -> ContractError:
    return ContractError(Reason.PKG_MALFORMED, message)


class Staging:
    """A push in progress: files come in any order, each from its first byte to its last.

    Args:
        folder: a new, empty folder.
        begin: what the sender announced.
        limit: most bytes in all.

    Raises:
        ContractError: PKG_MALFORMED (a name no package has, twice, or no digest), MSG_TOO_LARGE.
    """

    def __init__(self, folder: Path, begin: model_pb2.PushBegin, limit: int) -> None:
        check_begin(begin, limit)
        self.folder = folder
        self._announced = {item.name: item for item in begin.files}
        self._digest = begin.digest
        self._received = {item.name: 0 for item in begin.files}
        self._hashes = {item.name: hashlib.sha256() for item in begin.files}
        # Empty files get no chunk, so every file is made here.
        self._streams = {item.name: open(folder / item.name, "xb") for item in begin.files}  # noqa: SIM115

    def write(self, chunk: model_pb2.PushChunk) -> None:
        """Appends a chunk.

        Raises:
            ContractError: PKG_MALFORMED, it does not continue its file; MSG_TOO_LARGE; STORAGE_FULL, STORAGE_FAULT.
        """
        announced = self._announced.get(chunk.name)
        if announced is None:
            raise _malformed(f"a chunk for {chunk.name!r}, which was not announced")
        if len(chunk.data) > MAXIMUM_CHUNK_BYTES:
            raise ContractError(
                Reason.MSG_TOO_LARGE, f"a chunk of {len(chunk.data)} bytes, at most {MAXIMUM_CHUNK_BYTES} are taken"
            )
        have = self._received[chunk.name]
        if chunk.offset != have:
            raise _malformed(f"a chunk of {chunk.name} at {chunk.offset}, expected it to continue at {have}")
        if have + len(chunk.data) > announced.size:
            raise ContractError(
                Reason.PKG_HASH, f"{chunk.name} is longer than the {announced.size} bytes that were announced"
            )
        with storage_faults():
            self._streams[chunk.name].write(chunk.data)
        self._hashes[chunk.name].update(chunk.data)
        self._received[chunk.name] = have + len(chunk.data)

    def finish(self) -> None:
        """All files are on the disk and are what was announced. Nothing has been parsed.

        Raises:
            ContractError: PKG_HASH (cut off, altered on the way, or not the package of that digest), STORAGE_*.
        """
        for name, item in self._announced.items():
            if self._received[name] != item.size:
                raise ContractError(
                    Reason.PKG_HASH, f"{name} has {self._received[name]} bytes, {item.size} were announced; cut off?"
                )
            if self._hashes[name].hexdigest() != item.sha256:
                raise ContractError(Reason.PKG_HASH, f"{name} does not have the SHA-256 that was announced")
        if f"sha256:{self._hashes[MANIFEST_NAME].hexdigest()}" != self._digest:
            raise ContractError(
                Reason.PKG_HASH, f"these files are not the package {self._digest}; its digest is that of its manifest"
            )
        with storage_faults():
            for stream in self._streams.values():
                stream.flush()
                os.fsync(stream.fileno())
            self.close()
            sync_folder(self.folder)

    def close(self) -> None:
        """Closes the files. Idempotent."""
        for stream in self._streams.values():
            stream.close()

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_begin(begin: model_pb2.PushBegin, limit: int) -> None:
    """Checks an announcement before anything is written.

    Args:
        limit: most bytes in all.

    Raises:
        ContractError: PKG_MALFORMED, MSG_TOO_LARGE.
    """
    if not is_digest(begin.digest):
        raise _malformed(f"digest is {begin.digest[:80]!r}, expected sha256: and 64 hexadecimal digits")
    names = [item.name for item in begin.files]
    odd = sorted(set(names) - set(FILE_NAMES))
    if odd:
        raise _malformed(f"{odd[0][:80]!r} does not belong into a package; expected only {', '.join(FILE_NAMES)}")
    if len(set(names)) != len(names):
        raise _malformed("a file is announced twice")
    if MANIFEST_NAME not in names:
        raise _malformed(f"{MANIFEST_NAME} is missing")
    total = sum(item.size for item in begin.files)
    if total > limit or any(item.size > MAXIMUM_FILE_BYTES for item in begin.files):
        raise ContractError(
            Reason.MSG_TOO_LARGE,
            f"the package has {total} bytes, this station takes {limit} (models.maximum_package_mb)",
        )


class PackageStore:
    """The folders.

    Args:
        root: DATA_DIR/models; made if it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._packages = root / "packages"
        self._staging = root / "staging"
        self._packages.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """A new folder inside staging; whatever is left of it goes at the end."""
        with storage_faults():
            folder = Path(tempfile.mkdtemp(prefix="push-", dir=self._staging))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clean_staging(self) -> None:
        """Removes what pushes have left that never ended."""
        for path in self._staging.iterdir():
            shutil.rmtree(path, ignore_errors=True)

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
            staged.chmod(0o755)
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
