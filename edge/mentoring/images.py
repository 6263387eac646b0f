"""Pictures on disk, named by the SHA-256 of their bytes. Only the log's writer uses this file.

A picture is whole or not there. It is written to `incoming/` under a temporary name and fsynced; renamed to its place;
then the folder of that place is fsynced. Only after that may a row speak of it. The pictures of a group are fsynced
side by side: the file system brings what waits at the same time to the disk together, several times faster than in
turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from lineside.mentoring_log import IMAGES_FOLDER, image_path

INCOMING_FOLDER = "incoming"
PREFIXES = tuple(f"{number:02x}" for number in range(256))
SYNC_THREADS = 8

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture to be kept."""

    data: bytes
    suffix: str
    """Of its encoding, without a dot."""
    sha256: str

    @classmethod
    def of(cls, data: bytes, suffix: str) -> Picture:
        """The picture with these bytes."""
        return cls(data=data, suffix=suffix, sha256=hashlib.sha256(data).hexdigest())


class ImageStore:
    """The folders of pictures below a log's root.

    Args:
        root: the log's folder; exists.

    Raises:
        OSError: the folders cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING_FOLDER
        self._incoming.mkdir(exist_ok=True)
        # What a process left behind that was killed while writing: never renamed, so never spoken of.
        for stray in self._incoming.iterdir():
            stray.unlink()
        images = root / IMAGES_FOLDER
        images.mkdir(exist_ok=True)
        for prefix in PREFIXES:
            (images / prefix).mkdir(exist_ok=True)
        sync_folder(images)
        sync_folder(root)
        self._threads = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="mentoring-fsync")

    def close(self) -> None:
        """Ends the threads; idempotent."""
        self._threads.shutdown()

    def put(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Makes the pictures durable; all of them, or an exception.

        Returns:
            Those that were not there before. After an exception none of them is known to be durable, and what was
            newly written is gone or will be found by `sweep`.

        Raises:
            OSError: the disk is full or does not obey.
        """
        new: dict[Path, Picture] = {}
        folders: set[Path] = set()
        for picture in pictures:
            target = image_path(self._root, picture.sha256, picture.suffix)
            folders.add(target.parent)
            if target not in new and not _is_there(target, len(picture.data)):
                new[target] = picture
        written: list[tuple[Path, Path]] = []
        placed: list[Path] = []
        try:
            written.extend((self._incoming / f"{number}.tmp", target) for number, target in enumerate(new))
            self._side_by_side(lambda pair: _write(pair[0], new[pair[1]].data), written)
            for temporary, target in written:
                temporary.rename(target)
                placed.append(target)
            # Also for pictures that were there: the process that renamed them may have died before this line.
            self._side_by_side(sync_folder, sorted(folders))
        except OSError:
            # Space matters now; a power cut may bring the files back, and the sweep deals with those.
            for path in [*placed, *(temporary for temporary, _ in written)]:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return list(new.values())

    def remove(self, sha256: str, suffix: str) -> None:
        """Deletes a picture that no row speaks of; it is no fault if it is gone.

        Raises:
            OSError: the disk does not obey.
        """
        image_path(self._root, sha256, suffix).unlink(missing_ok=True)

    def sweep(self, prefix: str, is_known: Callable[[str, str], bool]) -> int:
        """Deletes the pictures of one folder that no row speaks of, left by a crash between rename and commit.

        Args:
            prefix: one of PREFIXES.
            is_known: whether a row speaks of the picture with this SHA-256 and suffix.

        Returns:
            Bytes freed.

        Raises:
            OSError: the disk does not obey.
        """
        freed = 0
        for path in (self._root / IMAGES_FOLDER / prefix).iterdir():
            sha256, _, suffix = path.name.partition(".")
            if not is_known(sha256, suffix):
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _side_by_side(self, act: Callable[[_Item], None], items: Iterable[_Item]) -> None:
        """All of them, also when one fails; then the first failure."""
        started = [self._threads.submit(act, item) for item in items]
        wait(started)
        for future in started:
            future.result()


def sync_folder(folder: Path) -> None:
    """Makes a folder's names durable.

    Raises:
        OSError: the disk does not obey.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as stream:
        view = memoryview(data)
        while view:
            view = view[stream.write(view) :]
        os.fsync(stream.fileno())
