"""Where shards lie: a folder, or object storage (S3 and what speaks like it). Objects are written whole, never changed.

Credentials come from the usual environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...), which the libraries
read and this file does not.
"""

from __future__ import annotations

import os
import re
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

_S3 = re.compile(r"s3:/+([^/].*?)/*")


class PlaceError(ValueError):
    """The place cannot be used; the message names it and says what to do."""


class Place(ABC):
    """Objects by their path below an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def put(self, path: str, data: bytes) -> bool:
        """Writes an object, whole or not at all, if there is none of that name.

        Returns:
            False: there is one, and it stays as it is.

        Raises:
            PlaceError: it cannot be written.
        """

    @abstractmethod
    def get(self, path: str) -> bytes:
        """An object's bytes.

        Raises:
            PlaceError: it cannot be read.
        """

    @abstractmethod
    def size(self, path: str) -> int | None:
        """An object's bytes; None: there is none.

        Raises:
            PlaceError: the place cannot be asked.
        """

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of the objects right below a folder, sorted.

        Raises:
            PlaceError: the place cannot be asked.
        """


def open_place(text: str) -> Place:
    """s3://BUCKET/PREFIX or a folder.

    Raises:
        ModuleNotFoundError: s3fs is not installed.
    """
    found = _S3.fullmatch(text)
    return FolderPlace(Path(text)) if found is None else ObjectPlace(found.group(1))


class FolderPlace(Place):
    """A folder, say of a file server."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root

    def put(self, path: str, data: bytes) -> bool:
        target = self._root / path
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
        except OSError as error:
            raise PlaceError(
                f"{target} cannot be written: {error.strerror}; is the share there, and has it room?"
            ) from None
        return True

    def get(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            raise PlaceError(f"{self._root / path} cannot be read: {error.strerror}") from None

    def size(self, path: str) -> int | None:
        try:
            return (self._root / path).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PlaceError(f"{self._root / path} cannot be asked for: {error.strerror}") from None

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in (self._root / folder).iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PlaceError(f"{self._root / folder} cannot be listed: {error.strerror}") from None


class ObjectPlace(Place):
    """A prefix of a bucket.

    Args:
        base: BUCKET/PREFIX.
    """

    def __init__(self, base: str) -> None:
        super().__init__(f"s3://{base}")
        import aiohttp
        import botocore.exceptions
        import fsspec

        self._base = base
        self._faults = (
            OSError,
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,
            aiohttp.ClientError,
        )
        self._files: Any = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)

    def put(self, path: str, data: bytes) -> bool:
        try:
            # The store itself refuses a second object of the name (If-None-Match), whoever is first.
            self._files.pipe_file(f"{self._base}/{path}", data, mode="create")
        except FileExistsError:
            return False
        except self._faults as error:
            raise self._explained(path, error) from error
        return True

    def get(self, path: str) -> bytes:
        try:
            return bytes(self._files.cat_file(f"{self._base}/{path}"))
        except self._faults as error:
            raise self._explained(path, error) from error

    def size(self, path: str) -> int | None:
        try:
            return int(self._files.info(f"{self._base}/{path}")["size"])
        except FileNotFoundError:
            return None
        except self._faults as error:
            raise self._explained(path, error) from error

    def names(self, folder: str) -> list[str]:
        try:
            found = self._files.ls(f"{self._base}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        except self._faults as error:
            raise self._explained(folder, error) from error
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def _explained(self, path: str, error: BaseException) -> PlaceError:
        return PlaceError(
            f"{self.address}/{path} cannot be reached: {type(error).__name__} {error}; look at the bucket's name, the"
            " credentials, the network and AWS_ENDPOINT_URL, and run it again: it goes on where it stopped"
        )
