"""Engines on disk, each under a key that says everything it depends on.

An engine is derived from a package and never the truth: it is kept beside a note with its key and its SHA-256, and a
damaged or foreign one is not used. Two models of the same shape never share an engine: the graph's digest is part of
the key. (A cache keyed by shape alone serves the old weights after a retraining; that is a public bug of others.)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What an engine depends on."""

    graph_sha256: str
    """Of model.onnx: the weights are in it."""
    builder: str
    """Name and version, e.g. "tensorrt_rtx 1.7.1.116"."""
    target: str
    """Compute capability it is built for, e.g. "SM89"; with the GPU's name where it was built for that GPU alone."""
    precision: str
    """What the graph's tensors say, e.g. "fp32"."""
    shapes: str
    """Smallest, best and largest input, e.g. "1x320x320x1 1x320x320x1 8x320x320x1"."""
    options: str = ""
    """What else changes the engine, e.g. "workspace 1024 MB"."""

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class EngineStore:
    """A folder of engines: KEY.engine and KEY.json for each.

    Args:
        folder: made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: EngineKey) -> Path:
        """Where the engine of this key is or will be."""
        return self._folder / f"{key.digest[:32]}.engine"

    def read(self, key: EngineKey) -> bytes | None:
        """The engine, if it is there, is of exactly this key, and has the bytes that were written."""
        path = self.path(key)
        try:
            note = json.loads(path.with_suffix(".json").read_text())
            engine = path.read_bytes()
        except (OSError, ValueError):
            return None
        expected = (FORMAT_VERSION, dataclasses.asdict(key), hashlib.sha256(engine).hexdigest())
        if not isinstance(note, dict) or (note.get("format_version"), note.get("key"), note.get("sha256")) != expected:
            return None
        return engine

    def write(self, key: EngineKey, engine: bytes, *, seconds: float) -> Path:
        """Keeps an engine; the note is written last, so that half an engine is none.

        Args:
            seconds: the build took, for the note.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self.path(key)
        note = {
            "format_version": FORMAT_VERSION,
            "key": dataclasses.asdict(key),
            "sha256": hashlib.sha256(engine).hexdigest(),
            "bytes": len(engine),
            "build_seconds": round(seconds, 3),
        }
        path.with_suffix(".json").unlink(missing_ok=True)
        _replace(path, engine)
        _replace(path.with_suffix(".json"), json.dumps(note, indent=1, sort_keys=True).encode() + b"\n")
        return path


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with open(temporary, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
