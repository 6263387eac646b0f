"""Packages that must not come in, made by altering a sound one where its structure is: for `mutations.py`.

Two sorts. What anybody on the way could do (bytes, files, names, announcements, strangers' signatures) has to be
refused before anything is parsed. What a trusted key signed in error or malice (manifests, graphs, golden cases) has to
be refused for exactly its fault. Each kind says which reason that is.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import pickle
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import tiles
from lineside import golden
from lineside.package import (
    CARD_NAME,
    FILE_NAMES,
    GOLDEN_NAME,
    GRAPH_NAME,
    MANIFEST_NAME,
    SBOM_NAME,
    SIGNATURE_NAME,
    WEIGHTS_NAME,
    digest_of,
    manifest_bytes,
)
from lineside.reasons import Reason
from lineside.signing import sign
from lineside.v1 import model_pb2

Kind = Callable[["Workshop", random.Random, int], "Mutant"]
"""Workshop, chance, and a number that counts the mutants of this kind, so that each variant comes."""
Files = dict[str, bytes]
Manifest = dict[str, Any]
"""manifest.json as plain values."""

CHUNK_BYTES = 1 << 18
LIMIT_BYTES = 2 << 20
"""Most bytes of a package at the station of the proof."""
NAME, FLOOR, VERSION = "tiles", "2.0.0", "3.0.0"
"""Model, the version that is confirmed at the station, and that of the mutants."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What a client sends, and what has to become of it."""

    kind: str
    what: str
    """Which file, name or field, in words."""
    reason: Reason
    vouched: bool
    """A trusted key signed exactly these files: parsing them is no fault."""
    begin: model_pb2.PushBegin
    chunks: tuple[model_pb2.PushChunk, ...]
    process: bool = False
    """It may bring a process down: to be tried in one of its own."""


class Touch:
    """Would make a file, were its pickle ever loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("escaped-by-pickle", "w"))


PICKLE = pickle.dumps(Touch())


class Workshop:
    """Keys, a sound package's parts, and how to put altered ones together.

    Args:
        folder: for keys and scratch; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.scratch = folder
        self.release, self.release_public = tiles.make_key(folder / "keys", "release")
        self.trial, self.trial_public = tiles.make_key(folder / "keys", "trial")
        self.retired, self.retired_public = tiles.make_key(folder / "keys", "retired")
        self.stranger, _ = tiles.make_key(folder / "keys", "stranger")
        self.contents: Files = self.contents_of(tiles.graph_for(tiles.anchor_head()))
        self.manifest: Manifest = json.loads(manifest_bytes(tiles.manifest_for(tiles.anchor_head(), version=VERSION)))
        self.sound = self.signed(self.contents, self.manifest)
        """A sound package of VERSION, by file name, signature included."""

    def contents_of(self, graph: bytes, cases: Sequence[golden.GoldenCase] | None = None) -> Files:
        """Every file a package may have, but manifest and signature."""
        manifest = tiles.manifest_for(tiles.anchor_head())
        if cases is None:
            frames = tiles.golden_frames()
            cases = [
                golden.GoldenCase(frame=frame, outputs=tiles.run_graph(graph, frame, manifest)) for frame in frames
            ]
        header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        return {
            GRAPH_NAME: graph,
            GOLDEN_NAME: golden.pack(cases),
            WEIGHTS_NAME: len(header).to_bytes(8, "little") + header + b"\0\0\x80\x3f",
            CARD_NAME: b"<!doctype html><title>tiles</title><p>a card</p>\n",
            SBOM_NAME: b'{"bomFormat": "CycloneDX", "specVersion": "1.6"}\n',
        }

    def signed(
        self,
        contents: Mapping[str, bytes],
        manifest: Manifest,
        *,
        key: Path | None = None,
        listed: Sequence[Manifest] | None = None,
        raw: bytes | None = None,
        leave_out: Sequence[str] = (),
    ) -> Files:
        """The files with a manifest that lists them, signed.

        Args:
            contents: all but manifest and signature.
            manifest: without its files.
            key: None: the one that may sign releases.
            listed: what the manifest says of the files; None: the truth.
            raw: manifest.json itself, instead of all this.
            leave_out: names that the signature does not cover.
        """
        if listed is None:
            listed = entries_of(contents)
        document = {**manifest, "files": list(listed)}
        text = (json.dumps(document, sort_keys=True, indent=1) + "\n").encode() if raw is None else raw
        files = {**contents, MANIFEST_NAME: text}
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            folder = Path(name) / "package"
            folder.mkdir()
            for file, data in files.items():
                (folder / file).write_bytes(data)
            if leave_out:
                _sign_in_part(folder, key or self.release, leave_out)
            else:
                sign(folder, key or self.release)
            return {**files, SIGNATURE_NAME: (folder / SIGNATURE_NAME).read_bytes()}

    def edited(self, edit: Callable[[Manifest], object], *, key: Path | None = None) -> Files:
        """A package of sound files under an altered manifest, signed."""
        manifest = copy.deepcopy(self.manifest)
        edit(manifest)
        return self.signed(self.contents, manifest, key=key)


def entries_of(contents: Mapping[str, bytes]) -> list[Manifest]:
    """What a manifest says of files, truthfully."""
    return [
        {"name": name, "size": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(contents.items())
    ]


def announced(files: Mapping[str, bytes]) -> model_pb2.PushBegin:
    """An announcement that tells the truth about these files."""
    return model_pb2.PushBegin(
        digest=digest_of(files.get(MANIFEST_NAME, b"")),
        files=[
            model_pb2.PackageFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ],
    )


def chunked(files: Mapping[str, bytes]) -> tuple[model_pb2.PushChunk, ...]:
    """The files in pieces, in order."""
    return tuple(
        model_pb2.PushChunk(name=name, offset=offset, data=data[offset : offset + CHUNK_BYTES])
        for name, data in files.items()
        for offset in range(0, len(data), CHUNK_BYTES)
    )


def sent(
    kind: str, what: str, reason: Reason, files: Mapping[str, bytes], *, vouched: bool = False, process: bool = False
) -> Mutant:
    """A mutant that arrives just as it is."""
    return Mutant(
        kind=kind,
        what=what,
        reason=reason,
        vouched=vouched,
        begin=announced(files),
        chunks=chunked(files),
        process=process,
    )


def signed_content(names: Sequence[str] = FILE_NAMES) -> list[str]:
    """Names of the files that a signature covers."""
    return [name for name in names if name != SIGNATURE_NAME]


def altered_bytes(data: bytes, chance: random.Random, how: str) -> bytes:
    """The same bytes but for one place.

    Args:
        data: not empty.
        chance: where.
        how: "bit", "zero", "ones", "line feed", "letter", "high", "insert", "delete", "truncate", "extend", "swap",
            "blank" or "repeat".
    """
    while True:
        raw = bytearray(data)
        place = chance.randrange(len(raw))
        length = chance.randrange(1, max(2, min(64, len(raw) // 4)))
        if how == "bit":
            raw[place] ^= 1 << chance.randrange(8)
        elif how in _BYTE:
            raw[place] = _BYTE[how](chance)
        elif how == "insert":
            raw[place:place] = chance.randbytes(length)
        elif how == "delete":
            del raw[place : place + length]
        elif how == "truncate":
            del raw[place:]
        elif how == "extend":
            raw += chance.randbytes(length)
        elif how == "swap":
            other = chance.randrange(len(raw))
            raw[place], raw[other] = raw[other], raw[place]
        elif how == "blank":
            raw[place : place + length] = bytes(len(raw[place : place + length]))
        elif how == "repeat":
            raw[place:place] = raw[place : place + length]
        else:
            raise ValueError(f"how is {how!r}")
        if bytes(raw) != data:
            return bytes(raw)


_BYTE: Mapping[str, Callable[[random.Random], int]] = {
    "zero": lambda _: 0,
    "ones": lambda _: 255,
    "line feed": lambda _: 10,
    "letter": lambda chance: chance.randrange(97, 123),
    "high": lambda chance: chance.randrange(128, 256),
}
BYTE_CLASSES = ("bit", *_BYTE, "insert", "delete", "truncate", "extend", "swap", "blank", "repeat")


def _sign_in_part(folder: Path, key: Path, leave_out: Sequence[str]) -> None:
    """A signature in the published format that leaves files out."""
    from model_signing import hashing, signing

    signature = folder / SIGNATURE_NAME
    config = signing.Config().use_elliptic_key_signer(private_key=key)  # type: ignore[no-untyped-call]
    paths = [signature, *(folder / name for name in leave_out)]
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=paths, ignore_git_paths=False))  # type: ignore[no-untyped-call]
    config.sign(folder, signature)
