"""Mutants that anybody on the way could make: no trusted key signed exactly these files. See `mutants.py`.

A station has to refuse them before it parses anything but the signature.
"""

from __future__ import annotations

import base64
import copy
import json
import pickle
import random
from collections.abc import Callable

from benchmarks import tiles
from benchmarks.mutants import (
    BYTE_CLASSES,
    LIMIT_BYTES,
    PICKLE,
    Files,
    Manifest,
    Mutant,
    Touch,
    Workshop,
    altered_bytes,
    announced,
    chunked,
    sent,
    signed_content,
)
from lineside.package import FILE_NAMES, GOLDEN_NAME, GRAPH_NAME, MANIFEST_NAME, SIGNATURE_NAME, WEIGHTS_NAME
from lineside.reasons import Reason
from lineside.v1 import model_pb2

R = Reason

ODD_NAMES = (
    "../escaped", "../../escaped", "/tmp/escaped", "//escaped", "sub/escaped", "sub\\escaped", "..\\escaped", "..",
    ".", "", " ", "~/escaped", "model.onnx/../escaped", "model.onnx\0.pkl", "MODEL.ONNX", "model.onnx ", "model．onnx",
    "model.onnx.data", "model.pkl", "weights.pt", "golden.pickle", "__init__.py", ".git", "manifest.json.bak", "CON",
    "model.onnx\n", "\u202exnno.ledom", "a" * 5000, "file:///tmp/escaped", "$HOME/escaped", "model.sig.old",
)  # fmt: skip


def byte(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """One place of one signed file, every file and every class of byte in turn."""
    names = signed_content()
    name, how = names[number % len(names)], BYTE_CLASSES[number // len(names) % len(BYTE_CLASSES)]
    files = {**shop.sound, name: altered_bytes(shop.sound[name], chance, how)}
    return sent("byte", f"{name}: {how}", R.PKG_SIGNATURE, files)


def signature(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """The signature itself."""
    document = json.loads(shop.sound[SIGNATURE_NAME])
    envelope = document["dsseEnvelope"]

    def spoiled(text: str) -> str:
        place = chance.randrange(4, len(text) // 2)
        return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]

    other = shop.edited(lambda manifest: manifest.update(version="3.9.0"))
    forged = json.loads(shop.edited(lambda _: None, key=shop.stranger)[SIGNATURE_NAME])
    forged["verificationMaterial"] = document["verificationMaterial"]
    variants: list[tuple[str, bytes]] = [
        ("a letter of the signature", _with(document, sig=spoiled(envelope["signatures"][0]["sig"]))),
        ("a letter of what was signed", _with(document, payload=spoiled(envelope["payload"]))),
        ("of another package", other[SIGNATURE_NAME]),
        ("a stranger's under our key's name", json.dumps(forged).encode()),
        ("no signature in it", _with(document, signatures=[])),
        ("empty", b""),
        ("no JSON", chance.randbytes(200)),
        ("JSON of another kind", b"[1, 2, 3]"),
        ("nested without end", b"[" * 100_000),
        ("a pickle", pickle.dumps(Touch())),
        ("cut off", shop.sound[SIGNATURE_NAME][:-2]),
        ("its resources emptied", _with(document, payload=_no_resources(envelope["payload"]))),
    ]
    what, data = variants[number % len(variants)]
    return sent("signature", what, R.PKG_SIGNATURE, {**shop.sound, SIGNATURE_NAME: data})


def missing(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """A file is not there."""
    name = FILE_NAMES[number % len(FILE_NAMES)]
    files = {other: data for other, data in shop.sound.items() if other != name}
    return sent("missing", name, R.PKG_MALFORMED if name == MANIFEST_NAME else R.PKG_SIGNATURE, files)


def odd_name(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """A file that no package has: paths out of the folder, pickles, names that look right."""
    name = ODD_NAMES[number % len(ODD_NAMES)]
    files = {**shop.sound, name: PICKLE}
    if chance.random() < 0.5:  # in place of a file instead of beside it
        del files[WEIGHTS_NAME]
    return sent("odd name", repr(name[:40]), R.PKG_MALFORMED, files)


def exchanged(shop: Workshop, chance: random.Random, _: int) -> Mutant:
    """Two files change places."""
    one, other = chance.sample(signed_content(), 2)
    files = {**shop.sound, one: shop.sound[other], other: shop.sound[one]}
    return sent("exchanged", f"{one}, {other}", R.PKG_SIGNATURE, files)


def mixed(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """Files of two packages, both signed by a trusted key."""
    second = shop.signed(
        shop.contents_of(tiles.graph_for(tiles.anchor_head(), bias=0.1)), {**shop.manifest, "version": "3.1.0"}
    )
    names = [GRAPH_NAME, GOLDEN_NAME, MANIFEST_NAME, SIGNATURE_NAME]
    taken = chance.sample(names, 1 + number % (len(names) - 1))
    files = {**shop.sound, **{name: second[name] for name in taken}}
    return sent("mixed", ", ".join(taken), R.PKG_SIGNATURE, files)


def announcement(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """What is said of the files before they come."""
    begin, name = announced(shop.sound), chance.choice(sorted(shop.sound))
    entry = next(item for item in begin.files if item.name == name)
    variants: list[tuple[str, Reason, Callable[[], object]]] = [
        ("another SHA-256", R.PKG_HASH, lambda: setattr(entry, "sha256", "0" * 64)),
        ("no SHA-256", R.PKG_HASH, lambda: setattr(entry, "sha256", "")),
        ("a byte more", R.PKG_HASH, lambda: setattr(entry, "size", entry.size + 1)),
        ("a byte less", R.PKG_HASH, lambda: setattr(entry, "size", entry.size - 1)),
        ("another digest", R.PKG_HASH, lambda: setattr(begin, "digest", "sha256:" + "0" * 64)),
        ("no digest", R.PKG_MALFORMED, lambda: setattr(begin, "digest", "")),
        ("a path as digest", R.PKG_MALFORMED, lambda: setattr(begin, "digest", "sha256:../../escaped")),
        ("capitals in the digest", R.PKG_MALFORMED, lambda: setattr(begin, "digest", begin.digest.upper())),
        ("a file twice", R.PKG_MALFORMED, lambda: begin.files.append(entry)),
        ("nothing at all", R.PKG_MALFORMED, lambda: begin.ClearField("files")),
        ("too large in all", R.MSG_TOO_LARGE, lambda: setattr(begin.files[0], "size", LIMIT_BYTES)),
        ("larger than numbers are", R.MSG_TOO_LARGE, lambda: setattr(entry, "size", 2**64 - 1)),
        ("a huge signature", R.MSG_TOO_LARGE, lambda: setattr(_of(begin, SIGNATURE_NAME), "size", (1 << 20) + 1)),
    ]
    what, reason, alter = variants[number % len(variants)]
    alter()
    return Mutant(kind="announcement", what=what, reason=reason, vouched=False, begin=begin, chunks=chunked(shop.sound))


def link(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """What comes is not what was said."""
    chunks = list(chunked(shop.sound))
    place = chance.randrange(len(chunks))
    name, data = chunks[place].name, chunks[place].data
    extra = model_pb2.PushChunk
    variants: list[tuple[str, Reason, list[model_pb2.PushChunk]]] = [
        ("a piece is lost", R.PKG_HASH, [*chunks[:place], *chunks[place + 1 :]]),
        ("a gap", R.PKG_MALFORMED, [*chunks[:place], extra(name=name, offset=1, data=data[1:]), *chunks[place + 1 :]]),
        ("a piece twice", R.PKG_MALFORMED, [*chunks[: place + 1], *chunks[place:]]),
        ("of a file not announced", R.PKG_MALFORMED, [*chunks, extra(name="../escaped", data=b"x")]),
        ("beyond the end", R.PKG_HASH, [*chunks, extra(name=name, offset=len(shop.sound[name]), data=b"x")]),
        ("too large a piece", R.MSG_TOO_LARGE, [extra(name=name, data=bytes((1 << 20) + 1)), *chunks]),
        ("a byte altered on the way", R.PKG_HASH, _flipped(chunks, place, chance)),
        ("nothing", R.PKG_HASH, []),
    ]
    what, reason, sends = variants[number % len(variants)]
    begin = announced(shop.sound)
    return Mutant(kind="link", what=what, reason=reason, vouched=False, begin=begin, chunks=tuple(sends))


def signer(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """Not a key that may sign this."""

    def trial(manifest: Manifest) -> None:
        manifest["purpose"] = "PURPOSE_TRIAL"

    variants: list[tuple[str, Reason, Callable[[], Files], bool]] = [
        ("a stranger", R.PKG_SIGNATURE, lambda: shop.edited(lambda _: None, key=shop.stranger), False),
        ("nobody", R.PKG_SIGNATURE, lambda: _without(shop.sound, SIGNATURE_NAME), False),
        ("a key for trials signs a release", R.ROLE, lambda: shop.edited(lambda _: None, key=shop.trial), True),
        ("a retired key", R.ROLE, lambda: shop.edited(lambda _: None, key=shop.retired), True),
        (
            "a stranger, for trial",
            R.PKG_SIGNATURE,
            lambda: shop.edited(trial, key=shop.stranger),
            False,
        ),
        ("leaves out the graph", R.PKG_SIGNATURE, lambda: _in_part(shop, GRAPH_NAME), False),
        ("leaves out the manifest", R.PKG_SIGNATURE, lambda: _in_part(shop, MANIFEST_NAME), False),
    ]
    what, reason, make, vouched = variants[number % len(variants)]
    return sent("signer", what, reason, make(), vouched=vouched)


def _with(document: Manifest, *, sig: str | None = None, **envelope: object) -> bytes:
    """A signature with parts of its envelope changed."""
    changed = copy.deepcopy(document)
    changed["dsseEnvelope"].update(envelope)
    if sig is not None:
        changed["dsseEnvelope"]["signatures"][0]["sig"] = sig
    return json.dumps(changed).encode()


def _no_resources(payload: str) -> str:
    statement = json.loads(base64.b64decode(payload))
    statement["predicate"]["resources"] = []
    return base64.b64encode(json.dumps(statement).encode()).decode()


def _without(files: Files, name: str) -> Files:
    return {other: data for other, data in files.items() if other != name}


def _in_part(shop: Workshop, name: str) -> Files:
    """A signature that leaves a file out, and then other bytes there."""
    files = shop.signed(shop.contents, shop.manifest, leave_out=[name])
    other = shop.edited(lambda manifest: manifest.update(version="3.5.0"))
    return {**files, name: other[name] if name == MANIFEST_NAME else files[name] + b"\0"}


def _of(begin: model_pb2.PushBegin, name: str) -> model_pb2.PackageFile:
    return next(item for item in begin.files if item.name == name)


def _flipped(chunks: list[model_pb2.PushChunk], place: int, chance: random.Random) -> list[model_pb2.PushChunk]:
    data = altered_bytes(chunks[place].data, chance, "bit")
    other = model_pb2.PushChunk(name=chunks[place].name, offset=chunks[place].offset, data=data)
    return [*chunks[:place], other, *chunks[place + 1 :]]
