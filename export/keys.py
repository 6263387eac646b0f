"""Key pairs for packages: P-256, PEM. The private key stays with whoever signs; stations get the public one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class KeyFiles(NamedTuple):
    """Where a pair was written."""

    private: Path
    public: Path


def make_key_pair(folder: Path, name: str = "station") -> KeyFiles:
    """Makes NAME.key (readable by its owner only) and NAME.pub.

    Raises:
        FileExistsError: one of them exists; a key is never overwritten.
    """
    files = KeyFiles(folder / f"{name}.key", folder / f"{name}.pub")
    for path in files:
        if path.exists():
            raise FileExistsError(f"{path} exists; a key is never overwritten, choose another name or folder")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(files.private, private, 0o600)
    _write_new(files.public, public, 0o644)
    return files


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(handle, "wb") as stream:
        stream.write(data)
