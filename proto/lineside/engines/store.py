"""Engines on disk, each under a key that says everything it depends on.

    NAME.engine   the engine; its time of change is when it was last asked for
    NAME.json     the record: key, size and SHA-256 of the engine, where it comes from, how it was built, its layers
    NAME.runtime  kernels compiled from it for this machine's GPU (tensorrt_rtx, where there is one): code as well
    NAME.lock     while it is being built
    *.timing      kernel timings of one GPU and builder, which shorten the next build (not with tensorrt_rtx)

An engine is derived from a package and never the truth. It is code: a damaged, foreign or carelessly kept one is not
given out, so nobody deserialises it. Two models of the same shape never share an engine: the graph's digest is part of
the key. (A cache keyed by shape alone serves the old weights after a retraining; that is a public bug of others.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lineside.engines.key import EngineKey
from lineside.engines.layers import Layer, of_json
from lineside.engines.lock import is_held

FORMAT_VERSION = 2
_HALF_SECONDS = 3600.0
_ENGINE, _RECORD, _LOCK, _TIMING, _RUNTIME, _NEW = ".engine", ".json", ".lock", ".timing", ".runtime", ".new"


class EngineRefusedError(Exception):
    """A stored engine must not be loaded; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an engine comes from: for people; the key alone decides whether it fits."""

    model: str
    """Name and version of the package's model."""
    package_digest: str
    source_graph_sha256: str
    """Of the package's model.onnx, before it was converted to another precision."""
    conversion: str = ""
    """How the built graph was made of it; empty: it is the same."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """What stands beside an engine."""

    key: EngineKey
    origin: Origin
    sha256: str
    size: int
    """Bytes."""
    built_at: float
    """Seconds since 1970."""
    build_seconds: float
    layers: tuple[Layer, ...] = ()
    layers_from: str = ""
    figures: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Bytes by name, as the builder logged them."""
    warnings: tuple[str, ...] = ()
    """The builder's own lines."""
    runtime_sha256: str = ""
    """Of the kernels kept beside it; empty: there are none."""

    def to_json(self) -> bytes:
        """One document, sorted."""
        document = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def of_json(cls, data: bytes) -> Record:
        """The reverse.

        Raises:
            ValueError: it is no record of this format.
        """
        try:
            document = json.loads(data)
            version = document.pop("format_version")
            if version != FORMAT_VERSION:
                raise ValueError(f"its record has format {version}, this version reads {FORMAT_VERSION}")
            return cls(
                **{
                    **document,
                    "key": EngineKey(**document["key"]),
                    "origin": Origin(**document["origin"]),
                    "layers": of_json(document["layers"]),
                    "warnings": tuple(document["warnings"]),
                }
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"its record is damaged: {error}") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One engine as it lies in the folder, sound or not."""

    name: str
    path: Path
    record: Record | None
    """None: there is no record that could be read."""
    size: int
    """Bytes on the disk, the record included."""
    used_at: float
    """Seconds since 1970."""


class EngineStore:
    """A folder of engines.

    Args:
        folder: made, for its owner alone, when the first engine is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: EngineKey) -> Path:
        """Where the engine of this key is or will be."""
        return self.folder / f"{key.name}{_ENGINE}"

    def lock(self, key: EngineKey) -> Path:
        """The lock file of this key's build."""
        return self.folder / f"{key.name}{_LOCK}"

    def timing(self, builder: str, gpu: str, driver: str) -> Path:
        """Where kernel timings of this builder on this GPU are kept."""
        text = json.dumps([builder, gpu, driver])
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{_TIMING}"

    def read(self, key: EngineKey) -> tuple[bytes, Record] | None:
        """The engine of exactly this key, with the bytes that were written; None: there is none.

        Raises:
            EngineRefusedError: what lies there must not be loaded.
        """
        path = self.path(key)
        if not path.exists() and not path.is_symlink():
            return None
        engine, record = self.read_file(path)
        if record.key != key:
            raise EngineRefusedError("it was built for another model, GPU or setting than its name says")
        self.touch(path)
        return engine, record

    def touch(self, path: Path) -> None:
        """Notes that an engine is used."""
        with contextlib.suppress(OSError):  # a store that may only be read still serves
            os.utime(path)

    def read_file(self, path: Path) -> tuple[bytes, Record]:
        """An engine file and its record, after all that can be known without the builder was checked.

        Raises:
            EngineRefusedError: it must not be loaded.
        """
        try:
            for file in (path, path.with_suffix(_RECORD)):
                _check_kept(file)
            record = Record.of_json(path.with_suffix(_RECORD).read_bytes())
            engine = path.read_bytes()
        except FileNotFoundError as error:
            raise EngineRefusedError(f"{Path(error.filename).name} is missing") from None
        except (OSError, ValueError) as error:
            raise EngineRefusedError(str(error)) from None
        if len(engine) != record.size or hashlib.sha256(engine).hexdigest() != record.sha256:
            raise EngineRefusedError(
                f"damaged: its {len(engine)} bytes are not the {record.size} that were stored (SHA-256 differs)"
            )
        if path.stem != record.key.name:
            raise EngineRefusedError("foreign: it was built for another model, GPU or setting than its name says")
        return engine, record

    def read_runtime(self, record: Record) -> bytes:
        """The kernels kept beside an engine; empty where there are none, or others than were stored."""
        path = self.path(record.key).with_suffix(_RUNTIME)
        try:
            _check_kept(path)
            kernels = path.read_bytes()
        except (OSError, EngineRefusedError):
            return b""
        return kernels if hashlib.sha256(kernels).hexdigest() == record.runtime_sha256 else b""

    def write(self, engine: bytes, record: Record, runtime: bytes = b"") -> Path:
        """Stores an engine whole or not at all: the record, which makes it one, is written last.

        Args:
            runtime: kernels compiled from it for this machine's GPU.

        Raises:
            ValueError: the record is another engine's.
        """
        if (record.size, record.sha256) != (len(engine), hashlib.sha256(engine).hexdigest()):
            raise ValueError("the record is not of this engine")
        if runtime:
            record = dataclasses.replace(record, runtime_sha256=hashlib.sha256(runtime).hexdigest())
        self._make_folder()
        path = self.path(record.key)
        for left in self.folder.glob(f".{path.stem}.*{_NEW}"):  # by one that was killed; the lock is ours
            left.unlink(missing_ok=True)
        path.with_suffix(_RECORD).unlink(missing_ok=True)
        path.with_suffix(_RUNTIME).unlink(missing_ok=True)
        _replace(path, engine)
        if runtime:
            _replace(path.with_suffix(_RUNTIME), runtime)
        _replace(path.with_suffix(_RECORD), record.to_json())
        return path

    def write_timing(self, path: Path, data: bytes) -> None:
        """Keeps kernel timings for the next build."""
        self._make_folder()
        _replace(path, data)

    def entries(self) -> tuple[Entry, ...]:
        """What lies there, by time of last use, the latest first."""
        found = []
        for path in self.folder.glob(f"*{_ENGINE}"):
            beside = path.with_suffix(_RECORD)
            try:
                there = path.stat()
            except OSError:
                continue
            try:
                size, record = there.st_size + beside.stat().st_size, Record.of_json(beside.read_bytes())
            except (OSError, ValueError):
                size, record = there.st_size, None
            found.append(Entry(name=path.stem, path=path, record=record, size=size, used_at=there.st_mtime))
        return tuple(sorted(found, key=lambda entry: -entry.used_at))

    def find(self, text: str) -> Path:
        """An engine by the beginning of its name, or by its file.

        Raises:
            ValueError: none or several.
        """
        as_path = Path(text)
        if as_path.suffix == _ENGINE and as_path.is_file():
            return as_path
        found = [entry.path for entry in self.entries() if entry.name.startswith(text)]
        if len(found) != 1:
            names = ", ".join(entry.name[:12] for entry in self.entries()) or "none"
            raise ValueError(f"{len(found)} engines begin with {text!r} in {self.folder}; there are: {names}")
        return found[0]

    def remove(self, path: Path) -> None:
        """Deletes an engine, the record first, so that half of one is none."""
        for suffix in (_RECORD, _ENGINE, _RUNTIME):
            path.with_suffix(suffix).unlink(missing_ok=True)

    def leftovers(self, now: float) -> Iterator[Path]:
        """What writers that were killed left: half files older than an hour, records without an engine, free locks.

        Args:
            now: seconds since 1970.
        """
        for half in self.folder.glob(f".*{_NEW}"):
            if now - half.stat().st_mtime > _HALF_SECONDS:
                yield half
        for beside in (*self.folder.glob(f"*{_RECORD}"), *self.folder.glob(f"*{_RUNTIME}")):
            if not beside.with_suffix(_ENGINE).exists():
                yield beside
        for lock in self.folder.glob(f"*{_LOCK}"):
            if not is_held(lock):
                yield lock

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def new_record(
    engine: bytes,
    key: EngineKey,
    origin: Origin,
    *,
    build_seconds: float,
    built_at: float | None = None,
    **details: Any,
) -> Record:
    """A record for these bytes."""
    return Record(
        key=key,
        origin=origin,
        sha256=hashlib.sha256(engine).hexdigest(),
        size=len(engine),
        built_at=round(time.time() if built_at is None else built_at, 3),
        build_seconds=round(build_seconds, 3),
        **details,
    )


def _check_kept(path: Path) -> None:
    """An engine is code: it comes from a file that only its owner could have written, in such a folder."""
    for place in (path.parent.resolve(), path):
        there = place.lstat()
        if stat.S_ISLNK(there.st_mode):
            raise EngineRefusedError(f"{place.name} is a link; an engine is read from its own place alone")
        if there.st_uid not in (0, os.geteuid()):
            raise EngineRefusedError(f"{place.name} belongs to user {there.st_uid}, who is neither you nor root")
        if there.st_mode & stat.S_IWOTH and not (place != path and there.st_mode & stat.S_ISVTX):
            raise EngineRefusedError(f"everybody may write {place.name}; take that away (chmod o-w) and build again")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}{_NEW}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
