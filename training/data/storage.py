"""Object storage (S3 and what speaks like it) as local folders: fetched once, re-used while nothing has changed.

    CACHE/blobs/DIGEST              one object of one version; the name is over its address, ETag and size
    CACHE/views/DIGEST/BUCKET/KEY   a whole fetch as a tree of hard links; the name is over all of its objects

A blob gets its name once it was verified, a view once it is whole, both by rename: a killed fetch leaves nothing that
is taken for good. When objects change, a fetch gives another view, and a training that reads the older one goes on with
what it began with. The price: what has been replaced stays on the disk until somebody empties the cache.

Who may read what is decided by the usual environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, roles, ...),
which the libraries read and this file does not. They are imported when the first s3 place is met.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from lineside.reasons import ContractError
from training.extras import need

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Downloads of an object before it is called broken."""
PAUSE = 0.5
"""Seconds before the second attempt; twice as many before each next."""
AT_ONCE = 8
"""Objects on their way at the same time."""
_PLACE = re.compile(r"s3:/+([^/].*)")


class StorageError(ValueError):
    """An object cannot be had; the message names it and says what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One object as the store lists it."""

    key: str
    """With the bucket: BUCKET/KEY."""
    size: int
    """Bytes."""
    etag: str

    @property
    def blob(self) -> str:
        """Name of its blob."""
        return hashlib.sha256(f"{self.key}\n{self.etag}\n{self.size}".encode()).hexdigest()


def address_of(place: str | Path) -> str | None:
    """s3://BUCKET/KEY, without a slash at the end, or None for a local place.

    A `Path` has lost one of the two slashes, which is forgiven.
    """
    found = _PLACE.fullmatch(str(place))
    return None if found is None else f"s3://{found.group(1).rstrip('/')}"


def cache_root() -> Path:
    """Where fetched objects lie: LINESIDE_CACHE, or `lineside` in XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("LINESIDE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineside"


def in_words(text: str) -> str:
    """A message in which files of the cache have the names of their objects."""
    return re.sub(re.escape(f"{cache_root() / 'views'}{os.sep}") + r"[0-9a-f]{64}/", "s3://", text)


@contextlib.contextmanager
def objects_named() -> Iterator[None]:
    """Errors about files of the cache leave with the names of their objects."""
    try:
        yield
    except (ContractError, ValueError, FileNotFoundError) as error:
        text = in_words(str(error))
        if text == str(error):
            raise
        if isinstance(error, ContractError):
            raise ContractError(error.reason, in_words(error.message)) from None
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(text) from None


class Store:
    """The objects of one place, and the local views of them.

    Args:
        address: s3://BUCKET[/KEY]; what is wrong is told in its words.

    Raises:
        MissingExtraError: s3fs is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._base = address.removeprefix("s3://")
        need("s3fs", purpose=f"the place {address}", install="'lineside[s3]'")
        import aiohttp
        import botocore.exceptions
        import fsspec

        self._faults = (OSError, botocore.exceptions.BotoCoreError, aiohttp.ClientError)
        self._no_credentials = (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.ProfileNotFound,
        )
        self._files: Any = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)

    def listing(self, below: str = "") -> dict[str, Remote]:
        """Objects by their path below the address: all, or those whose path begins with `below`.

        Raises:
            StorageError: the bucket does not exist, cannot be reached or must not be read, or a key would lead out of a
                folder.
        """
        try:
            folder, _, start = f"{self._base}/{below}".rpartition("/")
            found: Mapping[str, Mapping[str, Any]] = self._files.find(folder, prefix=start, detail=True)
        except self._faults as error:
            raise self._explained(self.address, error) from error
        objects: dict[str, Remote] = {}
        for key, facts in found.items():
            if facts["type"] != "file" or key.endswith("/") or not key.startswith(f"{self._base}/"):
                continue
            path = key.removeprefix(f"{self._base}/")
            if not all(part not in ("", ".", "..") for part in path.split("/")) or "\\" in path or "\0" in path:
                raise StorageError(f"s3://{key} has no name that a folder could hold; rename it or leave it out")
            etag = str(facts.get("ETag", "")).strip('"')
            objects[path] = Remote(key=key, size=int(facts["size"]), etag=etag)
        return objects

    def view(self, objects: Mapping[str, Remote]) -> Path:
        """A local folder that stands for the address and holds exactly these objects; fetched as far as need be.

        Args:
            objects: by path below the address.

        Raises:
            StorageError: an object cannot be had whole.
        """
        content = "\n".join(f"{path}\t{remote.blob}" for path, remote in sorted(objects.items()))
        views = cache_root() / "views"
        whole = views / hashlib.sha256(f"{self.address}\n{content}".encode()).hexdigest()
        root = whole / self._base
        views.mkdir(parents=True, exist_ok=True)
        with open(views / f".{whole.name}.lock", "w") as lock:
            # Processes that train together ask for the same view: one fetches, the others find it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if whole.is_dir():
                if all(_size(root / path) == remote.size for path, remote in objects.items()):
                    return root
                shutil.rmtree(whole)
            self._fetch(objects)
            temporary = views / f".{whole.name}.{secrets.token_hex(4)}"
            try:
                (temporary / self._base).mkdir(parents=True)
                for path, remote in objects.items():
                    target = temporary / self._base / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _link(_blob(remote), target)
                temporary.rename(whole)
            except OSError as error:
                raise StorageError(f"{self.address} cannot be laid out as a folder in {views}: {error}") from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return root

    def fetch(self, remote: Remote) -> Path:
        """One object's blob.

        Raises:
            StorageError: it cannot be had whole.
        """
        self._fetch({"": remote})
        return _blob(remote)

    def _fetch(self, objects: Mapping[str, Remote]) -> None:
        missing = [remote for remote in objects.values() if _size(_blob(remote)) != remote.size]
        if not missing:
            return
        amount = sum(remote.size for remote in missing) / 1e6
        logger.info("%s: fetching %d of %d objects, %.1f MB", self.address, len(missing), len(objects), amount)
        (cache_root() / "blobs").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as workers:
            waiting = [workers.submit(self._download, remote) for remote in missing]
            try:
                for one in waiting:
                    one.result()
            except BaseException:
                for one in waiting:
                    one.cancel()
                raise

    def _download(self, remote: Remote) -> None:
        target, name, trouble = _blob(remote), f"s3://{remote.key}", ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            try:
                self._files.get_file(remote.key, str(temporary))
                trouble = self._damage(temporary, remote)
                if not trouble:
                    temporary.chmod(0o444)
                    temporary.replace(target)
                    return
            except (PermissionError, *self._no_credentials) as error:
                raise self._explained(name, error) from error
            except FileNotFoundError:
                raise StorageError(f"{name} was there and is gone; run again when nobody changes the place") from None
            except self._faults as error:
                trouble = f"{type(error).__name__} {error}"
            finally:
                temporary.unlink(missing_ok=True)
            logger.warning("%s: attempt %d of %d: %s", name, attempt + 1, ATTEMPTS, trouble)
        raise StorageError(
            f"{name} could not be read whole in {ATTEMPTS} attempts: {trouble}; look at the connection, and whether the"
            " object was uploaded completely and is not being replaced now"
        )

    def _damage(self, file: Path, remote: Remote) -> str:
        """What is wrong with a download; empty: nothing."""
        size = _size(file)
        if size != remote.size:
            return f"{size} bytes came, {remote.size} were listed"
        # The ETag is the content's MD5 unless it was uploaded in parts (it then holds a dash) or encrypted with a key.
        if not re.fullmatch(r"[0-9a-f]{32}", remote.etag):
            return ""
        with open(file, "rb") as opened:
            seen = _md5(opened)
        if seen == remote.etag or self._encrypted(remote):
            return ""
        return f"its MD5 is {seen}, the store lists {remote.etag}"

    def _encrypted(self, remote: Remote) -> bool:
        bucket, _, key = remote.key.partition("/")
        facts = self._files.call_s3("head_object", Bucket=bucket, Key=key)
        return facts.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in facts

    def _explained(self, name: str, error: BaseException) -> StorageError:
        if isinstance(error, self._no_credentials):
            return StorageError(
                f"no credentials to read {name} ({error}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY"
            )
        if isinstance(error, PermissionError):
            return StorageError(f"{name} must not be read with the credentials of this environment: {error}")
        if isinstance(error, FileNotFoundError):
            return StorageError(f"there is no bucket for {name}: {error}; look at its name and at AWS_ENDPOINT_URL")
        return StorageError(
            f"{name} cannot be reached: {type(error).__name__} {error}; look at the network and at AWS_ENDPOINT_URL"
        )


def _blob(remote: Remote) -> Path:
    return cache_root() / "blobs" / remote.blob


def _size(path: Path) -> int:
    """Bytes; -1: there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _md5(opened: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := opened.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Some file systems have no hard links; a copy costs its bytes once more.
        shutil.copyfile(source, target)
