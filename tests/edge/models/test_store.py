"""Receiving files: only known names, only in staging, only what was announced."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from edge.models.store import MAXIMUM_CHUNK_BYTES, PackageStore, Staging, storage_faults
from lineside.package import digest_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

MANIFEST = b"{}"
GRAPH = bytes(range(200))
LIMIT = 1 << 20


def begin(**changes: bytes) -> model_pb2.PushBegin:
    files = {"manifest.json": MANIFEST, "model.onnx": GRAPH, **changes}
    return model_pb2.PushBegin(
        digest=digest_of(files["manifest.json"]),
        files=[
            model_pb2.PackageFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ],
    )


def chunk(name: str, offset: int, data: bytes) -> model_pb2.PushChunk:
    return model_pb2.PushChunk(name=name, offset=offset, data=data)


def refusal(action: object, reason: Reason, word: str) -> None:
    with pytest.raises(ContractError, match=word) as caught:
        action()  # type: ignore[operator]
    assert caught.value.reason is reason


def test_files_arrive_in_pieces_and_interleaved(tmp_path: Path) -> None:
    with Staging(tmp_path, begin(), LIMIT) as staging:
        staging.write(chunk("model.onnx", 0, GRAPH[:150]))
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 150, GRAPH[150:]))
        staging.finish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "manifest.json": MANIFEST,
        "model.onnx": GRAPH,
    }


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "model.onnx/../x", "..", "", "MODEL.ONNX", "model.onnx\0", "model.pkl"]
)
def test_a_name_that_no_package_has_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    announced = begin()
    announced.files.add(name=name, size=1, sha256="0" * 64)
    refusal(lambda: Staging(tmp_path, announced, LIMIT), Reason.PKG_MALFORMED, "does not belong")
    assert not list(tmp_path.iterdir())


def test_an_announcement_has_to_make_sense(tmp_path: Path) -> None:
    twice = begin()
    twice.files.append(twice.files[0])
    refusal(lambda: Staging(tmp_path, twice, LIMIT), Reason.PKG_MALFORMED, "twice")
    no_digest = begin()
    no_digest.digest = "sha256:../../x"
    refusal(lambda: Staging(tmp_path, no_digest, LIMIT), Reason.PKG_MALFORMED, "digest")
    no_manifest = begin()
    del no_manifest.files[0]
    refusal(lambda: Staging(tmp_path, no_manifest, LIMIT), Reason.PKG_MALFORMED, "manifest.json is missing")
    refusal(lambda: Staging(tmp_path, begin(), 100), Reason.MSG_TOO_LARGE, "takes 100")
    huge = begin()
    huge.files[1].size = 1 << 62
    refusal(lambda: Staging(tmp_path, huge, 1 << 63), Reason.MSG_TOO_LARGE, "package has")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bad", "reason", "word"),
    [
        (chunk("golden.npz", 0, b"x"), Reason.PKG_MALFORMED, "not announced"),
        (chunk("../evil", 0, b"x"), Reason.PKG_MALFORMED, "not announced"),
        (chunk("model.onnx", 1, b"x"), Reason.PKG_MALFORMED, "continue at 0"),
        (chunk("model.onnx", 1 << 63, b"x"), Reason.PKG_MALFORMED, "continue at 0"),
        (chunk("model.onnx", 0, bytes(201)), Reason.PKG_HASH, "longer than the 200"),
        (chunk("model.onnx", 0, bytes(MAXIMUM_CHUNK_BYTES + 1)), Reason.MSG_TOO_LARGE, "at most"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(
    tmp_path: Path, bad: model_pb2.PushChunk, reason: Reason, word: str
) -> None:
    with Staging(tmp_path, begin(), LIMIT) as staging:
        refusal(lambda: staging.write(bad), reason, word)


def test_a_push_that_ends_early_or_was_altered_is_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("short", "altered", "other")]
    for folder in folders:
        folder.mkdir()
    with Staging(folders[0], begin(), LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        refusal(staging.finish, Reason.PKG_HASH, "0 bytes, 200 were announced")
    with Staging(folders[1], begin(), LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 0, GRAPH[::-1]))
        refusal(staging.finish, Reason.PKG_HASH, "SHA-256")
    another = begin()
    another.digest = "sha256:" + "0" * 64
    with Staging(folders[2], another, LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 0, GRAPH))
        refusal(staging.finish, Reason.PKG_HASH, "are not the package")


def test_staging_leaves_nothing_behind(tmp_path: Path) -> None:
    store = PackageStore(tmp_path)
    with store.staging_folder() as folder:
        (folder / "model.onnx").write_bytes(b"half")
    assert not list((tmp_path / "staging").iterdir())
    (tmp_path / "staging" / "push-from-before").mkdir()
    store.clean_staging()
    assert not list((tmp_path / "staging").iterdir())


def test_admitted_packages_are_found_by_their_digest_and_odd_folders_are_not(tmp_path: Path) -> None:
    store = PackageStore(tmp_path)
    digest = "sha256:" + "b" * 64
    with store.staging_folder() as folder:
        (folder / "model.onnx").write_bytes(b"whole")
        assert (store.admit(folder, digest) / "model.onnx").read_bytes() == b"whole"
    (tmp_path / "packages" / "notes").mkdir()
    assert store.digests() == {digest}
    with pytest.raises(ValueError, match="no package digest"):
        store.folder("sha256:../../..")
    store.remove([digest, digest])
    assert store.digests() == frozenset()


def test_a_full_disk_and_a_broken_one_have_their_reasons() -> None:
    for number, reason in ((errno.ENOSPC, Reason.STORAGE_FULL), (errno.EIO, Reason.STORAGE_FAULT)):
        with pytest.raises(ContractError) as caught, storage_faults():
            raise OSError(number, "/secret/path")
        assert caught.value.reason is reason
        assert "secret" not in str(caught.value)
