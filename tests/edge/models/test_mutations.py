"""Altered packages at a station with keys: each is refused, and none is parsed before its signature was checked."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import packages
from support.pushes import ACTOR, Told, manager

from edge.models.manager import ModelManager
from lineside.package import FILE_NAMES, SIGNATURE_NAME, Package, digest_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

MUTATIONS = 60
Files = dict[str, bytes]


def content(files: Files, chance: random.Random) -> str:
    """A file that is signed. A signature altered so that it still verifies vouches for the same bytes as before."""
    return chance.choice(sorted(files.keys() - {SIGNATURE_NAME}))


def flip(files: Files, chance: random.Random) -> None:
    name = content(files, chance)
    raw = bytearray(files[name])
    raw[chance.randrange(len(raw))] ^= chance.randrange(1, 256)
    files[name] = bytes(raw)


def cut(files: Files, chance: random.Random) -> None:
    name = content(files, chance)
    files[name] = files[name][: chance.randrange(len(files[name]))]


def grow(files: Files, chance: random.Random) -> None:
    files[content(files, chance)] += chance.randbytes(chance.randrange(1, 50))


def drop(files: Files, chance: random.Random) -> None:
    del files[chance.choice(sorted(files))]


def add(files: Files, chance: random.Random) -> None:
    name = chance.choice(["card.html", "sbom.json", "model.pkl", "../escaped", "/escaped", "sub/escaped", ".git"])
    files[name] = b"\x80\x04N."


def exchange(files: Files, chance: random.Random) -> None:
    one, other = chance.sample(sorted(files), 2)
    files[one], files[other] = files[other], files[one]


KINDS = (flip, cut, grow, drop, add, exchange)


def begin(files: Files) -> model_pb2.PushBegin:
    return model_pb2.PushBegin(
        digest=digest_of(files.get("manifest.json", b"")),
        files=[
            model_pb2.PackageFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ],
    )


def chunks(files: Files) -> Iterator[model_pb2.PushChunk]:
    for name, data in files.items():
        yield model_pb2.PushChunk(name=name, offset=0, data=data)


def refusal(models: ModelManager, files: Files) -> Reason:
    with pytest.raises(ContractError) as caught:
        models.push(begin(files), chunks(files), ACTOR)
    return caught.value.reason


def test_mutated_packages_are_refused_and_none_is_parsed(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    sound = packages.make_anchor_package(tmp_path / "sound", sign_key=private)
    original = {path.name: path.read_bytes() for path in sound.folder.iterdir()}
    parsed: list[Path] = []

    def parse(folder: Path) -> Package:
        parsed.append(folder)
        raise AssertionError("parsed before its signature was right")

    chance = random.Random(11)
    with manager(tmp_path / "data", told, trusted_keys=(public,)) as models:
        before = {path for path in tmp_path.rglob("*") if "data" not in path.parts}
        with monkeypatch.context() as patch:
            patch.setattr("edge.models.prover.read_package", parse)
            for number in range(MUTATIONS):
                files = dict(original)
                KINDS[number % len(KINDS)](files, chance)
                reason = refusal(models, files)
                odd = set(files) - set(FILE_NAMES) or "manifest.json" not in files
                assert reason is (Reason.PKG_MALFORMED if odd else Reason.PKG_SIGNATURE)
        assert not parsed
        # Only the station's own folder changed, and of what was pushed nothing stayed there.
        assert {path for path in tmp_path.rglob("*") if "data" not in path.parts} == before
        assert not list((tmp_path / "data" / "models" / "staging").iterdir())
        assert not list((tmp_path / "data" / "models" / "packages").iterdir())
        assert models.push(begin(original), chunks(original), ACTOR).state == model_pb2.MODEL_STATE_BUILT
