"""Packages on the disk, found by their digest; and faults of the disk in the contract's words."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge.models.store import PackageStore, storage_faults
from lineside.reasons import ContractError, Reason


def test_admitted_packages_are_found_by_their_digest_and_odd_folders_are_not(tmp_path: Path) -> None:
    store = PackageStore(tmp_path)
    digest = "sha256:" + "b" * 64
    folder = store.staging / "push"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"whole")
    assert (store.admit(folder, digest) / "model.onnx").read_bytes() == b"whole"
    assert not folder.exists()
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
