"""Pushes as they arrive: files in pieces, checked, and continued where a link broke off.

    staging/HEX64/         the files so far, each under a name of `lineside.package.FILE_NAMES`
    staging/HEX64.begin    what its sender announced: only the same announcement may continue it

Nothing here is parsed. Bytes that lay here over a broken link or a start are trusted no more than new ones: the whole
file has to have its SHA-256 at the end, or all of it is dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.models.journal import sync_folder
from edge.models.store import storage_faults
from lineside.package import FILE_NAMES, MANIFEST_NAME, is_digest, maximum_bytes
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

_LOGGER = logging.getLogger(__name__)

MAXIMUM_CHUNK_BYTES = 1 << 20
MAXIMUM_PUSHES = 2
"""Under way at a time."""
MAXIMUM_BROKEN = 4
"""Pushes that broke off and are kept, the newest."""
KEPT_SECONDS = 7 * 24 * 3600.0
_READ_BYTES = 1 << 20


def _malformed(message: str) -> ContractError:
    return ContractError(Reason.PKG_MALFORMED, message)


class Staging:
    """A push in progress: files come in any order, each from its first byte to its last.

    Args:
        folder: empty, or with what arrived of the same announcement before.
        begin: what the sender announced.
        limit: most bytes in all.

    Raises:
        ContractError: PKG_MALFORMED (a name no package has, twice, or no digest), MSG_TOO_LARGE.
        OSError: a file cannot be made or read.
    """

    def __init__(self, folder: Path, begin: model_pb2.PushBegin, limit: int) -> None:
        check_begin(begin, limit)
        self.folder = folder
        self._digest = begin.digest
        self._continued = begin.resume
        self._lock = threading.Lock()
        self._closed = False
        self._announced = {item.name: item for item in begin.files}
        self._received: dict[str, int] = {}
        self._hashes = {item.name: hashlib.sha256() for item in begin.files}
        for item in begin.files:
            self._received[item.name] = self._hash_what_is_there(item)
        # Empty files get no chunk, so every file is made here.
        self._streams = {item.name: open(folder / item.name, "ab") for item in begin.files}  # noqa: SIM115

    def write(self, chunk: model_pb2.PushChunk) -> None:
        """Appends a chunk.

        Raises:
            ContractError: PKG_MALFORMED, it does not continue its file; MSG_TOO_LARGE; STORAGE_FULL, STORAGE_FAULT;
                QUEUE_FULL, another push of this package has taken over.
        """
        announced = self._announced.get(chunk.name)
        if announced is None:
            raise _malformed(f"a chunk for {chunk.name!r}, which was not announced")
        if len(chunk.data) > MAXIMUM_CHUNK_BYTES:
            raise ContractError(
                Reason.MSG_TOO_LARGE, f"a chunk of {len(chunk.data)} bytes, at most {MAXIMUM_CHUNK_BYTES} are taken"
            )
        have = self._received[chunk.name]
        # What a sender could not know to have arrived comes twice; the hash at the end says whether it fits.
        data = chunk.data[have - chunk.offset :] if self._continued and chunk.offset < have else chunk.data
        if chunk.offset > have or (chunk.offset < have and not self._continued):
            raise _malformed(f"a chunk of {chunk.name} at {chunk.offset}, expected it to continue at {have}")
        if have + len(data) > announced.size:
            raise ContractError(
                Reason.PKG_HASH, f"{chunk.name} is longer than the {announced.size} bytes that were announced"
            )
        with self._lock, storage_faults():
            if self._closed:
                raise ContractError(Reason.QUEUE_FULL, "another push of this package has taken over")
            self._streams[chunk.name].write(data)
        self._hashes[chunk.name].update(data)
        self._received[chunk.name] = have + len(data)

    def received(self) -> dict[str, int]:
        """Bytes by file name."""
        return dict(self._received)

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
        """Closes the files; a writer that goes on is told that another has taken over. Idempotent."""
        with self._lock:
            self._closed = True
            for stream in self._streams.values():
                stream.close()

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hash_what_is_there(self, item: model_pb2.PackageFile) -> int:
        """Bytes of a file that arrived before; one that is longer than announced begins anew."""
        path = self.folder / item.name
        if not path.exists():
            return 0
        size = path.stat().st_size
        if size > item.size:
            path.unlink()
            return 0
        with open(path, "rb") as stream:
            while block := stream.read(_READ_BYTES):
                self._hashes[item.name].update(block)
        return size


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
    swollen = [item.name for item in begin.files if item.size > maximum_bytes(item.name)]
    if swollen:
        raise ContractError(
            Reason.MSG_TOO_LARGE,
            f"{swollen[0]} is announced with more than the {maximum_bytes(swollen[0])} bytes such a file may have",
        )
    if total > limit:
        raise ContractError(
            Reason.MSG_TOO_LARGE,
            f"the package has {total} bytes, this station takes {limit} (models.maximum_package_mb)",
        )


class _Arrival:
    """One push under way; `staging` while bytes come in, None before and after."""

    def __init__(self) -> None:
        self.staging: Staging | None = None
        self.whole = False
        self.over = threading.Event()


class Arrivals:
    """The pushes under way, and those that broke off. Thread-safe.

    Args:
        root: the staging area; it exists.
        limit: most bytes of one package.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._lock = threading.Lock()
        self._under_way: dict[str, _Arrival] = {}

    def clean(self, *, now: float | None = None) -> None:
        """Removes what cannot be continued: old, too much, or without its announcement. For the start of a station.

        Args:
            now: seconds since the epoch; None: the clock's.
        """
        now = time.time() if now is None else now
        begins = sorted(self._root.glob("*.begin"), key=lambda path: path.stat().st_mtime, reverse=True)
        kept = {path.stem for path in begins[:MAXIMUM_BROKEN] if now - path.stat().st_mtime < KEPT_SECONDS}
        for path in self._root.iterdir():
            if path.name.removesuffix(".begin") in kept:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def received(self, digest: str) -> dict[str, int]:
        """Bytes the station holds of a push that may be continued, by file name; empty: none."""
        if not is_digest(digest):
            raise _malformed(f"digest is {digest[:80]!r}, expected sha256: and 64 hexadecimal digits")
        with self._lock:
            arrival = self._under_way.get(digest)
            staging = None if arrival is None else arrival.staging
            if staging is not None:
                return staging.received()
        folder = self._folder(digest)
        if not self._begin_file(digest).exists() or not folder.is_dir():
            return {}
        return {path.name: path.stat().st_size for path in folder.iterdir()}

    def wait_for_proof(self, digest: str) -> bool:
        """Waits for a push of the same package that has all its bytes and is being proven; whether there was one."""
        with self._lock:
            arrival = self._under_way.get(digest)
        if arrival is None or not arrival.whole:
            return False
        arrival.over.wait()
        return True

    @contextlib.contextmanager
    def whole(self, begin: model_pb2.PushBegin, chunks: Iterable[model_pb2.PushChunk]) -> Iterator[Path]:
        """A folder with every file of a push, as announced; whatever is left of it goes at the end.

        A later push of the same package takes an earlier one's place: its link may be dead without anybody knowing.

        Raises:
            ContractError: as `Staging`, `write`, `finish`; QUEUE_FULL, too many pushes are under way.
            Exception: whatever `chunks` raises; with `begin.resume` what had arrived is kept.
        """
        check_begin(begin, self._limit)
        digest, arrival = begin.digest, _Arrival()
        self._take_over(digest, arrival)
        keep = False
        try:
            with storage_faults():
                folder = self._prepare(begin)
                staging = arrival.staging = Staging(folder, begin, self._limit)
            try:
                with staging:
                    for chunk in _guarded(chunks):
                        staging.write(chunk)
                    staging.finish()
            except _LinkError as error:
                keep = begin.resume
                raise error.cause from None
            arrival.staging, arrival.whole = None, True
            yield folder
        finally:
            with self._lock:
                mine = self._under_way.get(digest) is arrival
                if mine:
                    del self._under_way[digest]
                    if not keep:
                        self._drop(digest)
            if mine and keep:
                self._make_room()
            arrival.over.set()

    def _take_over(self, digest: str, arrival: _Arrival) -> None:
        with self._lock:
            before = self._under_way.get(digest)
            if before is not None and before.whole:
                raise ContractError(Reason.QUEUE_FULL, "this package is being proven; ask for its state")
            if before is None and len(self._under_way) >= MAXIMUM_PUSHES:
                raise ContractError(
                    Reason.QUEUE_FULL, f"{MAXIMUM_PUSHES} pushes are under way; try again when one ended"
                )
            self._under_way[digest] = arrival
            if before is not None and before.staging is not None:
                before.staging.close()

    def _prepare(self, begin: model_pb2.PushBegin) -> Path:
        """The push's folder: as it was left where the same is announced and may be continued, else empty."""
        folder, file = self._folder(begin.digest), self._begin_file(begin.digest)
        announced = _announcement(begin)
        if not (begin.resume and file.exists() and file.read_bytes() == announced and folder.is_dir()):
            self._drop(begin.digest)
            folder.mkdir()
            if begin.resume:
                file.write_bytes(announced)
        return folder

    def _make_room(self) -> None:
        begins = sorted(self._root.glob("*.begin"), key=lambda path: path.stat().st_mtime, reverse=True)
        with self._lock:
            for path in begins[MAXIMUM_BROKEN:]:
                if f"sha256:{path.stem}" not in self._under_way:
                    self._drop(f"sha256:{path.stem}")

    def _drop(self, digest: str) -> None:
        self._begin_file(digest).unlink(missing_ok=True)
        shutil.rmtree(self._folder(digest), ignore_errors=True)

    def _folder(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")

    def _begin_file(self, digest: str) -> Path:
        return self._root / f"{digest.removeprefix('sha256:')}.begin"


class _LinkError(Exception):
    """The sender is gone; `cause` is what the transport said."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _guarded(chunks: Iterable[model_pb2.PushChunk]) -> Iterator[model_pb2.PushChunk]:
    """The chunks; an end that is the link's and not the sender's comes as `_LinkError`."""
    iterator = iter(chunks)
    while True:
        try:
            chunk = next(iterator)
        except StopIteration:
            return
        except ContractError:
            raise
        except Exception as error:
            raise _LinkError(error) from error
        yield chunk


def _announcement(begin: model_pb2.PushBegin) -> bytes:
    copy = model_pb2.PushBegin()
    copy.CopyFrom(begin)
    copy.resume = False
    return copy.SerializeToString(deterministic=True)
