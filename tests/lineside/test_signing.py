"""Signatures: exactly the signed files, by exactly the trusted key."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lineside.reasons import ContractError, Reason
from lineside.signing import sign, verify


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    private = ec.generate_private_key(ec.SECP256R1())
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return secret, public


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(b"{}")
    (folder / "model.onnx").write_bytes(b"weights")
    return folder


def refused(package: Path, keys: list[Path]) -> str:
    with pytest.raises(ContractError) as caught:
        verify(package, keys)
    assert caught.value.reason is Reason.PKG_SIGNATURE
    return caught.value.message


def test_the_right_key_is_found_among_several(package: Path, tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path, "ours")
    _, other = key_pair(tmp_path, "other")
    sign(package, secret)
    assert verify(package, [other, public]) == public


def test_an_unsigned_package_is_refused(package: Path, tmp_path: Path) -> None:
    assert "not signed" in refused(package, [key_pair(tmp_path, "ours")[1]])


def test_a_strangers_signature_is_refused(package: Path, tmp_path: Path) -> None:
    sign(package, key_pair(tmp_path, "stranger")[0])
    assert "none of the station's 1 keys" in refused(package, [key_pair(tmp_path, "ours")[1]])


@pytest.mark.parametrize("change", ["altered", "added", "removed", "torn signature"])
def test_a_change_after_signing_is_refused(package: Path, tmp_path: Path, change: str) -> None:
    secret, public = key_pair(tmp_path, "ours")
    signature = sign(package, secret)
    if change == "altered":
        (package / "model.onnx").write_bytes(b"wEights")
    elif change == "added":
        (package / "extra.bin").write_bytes(b"x")
    elif change == "removed":
        (package / "model.onnx").unlink()
    else:
        signature.write_bytes(signature.read_bytes()[:-20])
    refused(package, [public])
