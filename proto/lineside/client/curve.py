"""CURVE keys of a client: who it is, and which station it trusts. Needs pyzmq.

Key files are ZeroMQ's own certificates: NAME.key is public and goes to the other side, NAME.key_secret stays.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import zmq
import zmq.auth

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"  # noqa: S105 - a file suffix, not a password


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CurveKeys:
    """What a client needs for a station with CURVE; each key is 40 characters (Z85)."""

    public_key: bytes
    secret_key: bytes = dataclasses.field(repr=False)
    server_key: bytes
    """The station's public key."""

    @classmethod
    def from_files(cls, *, own: Path, server: Path) -> CurveKeys:
        """Reads them.

        Args:
            own: the client's NAME.key_secret.
            server: the station's NAME.key.

        Raises:
            FileNotFoundError, ValueError: a file is missing, or is no such key file.
        """
        public, secret = read_key_file(own)
        if secret is None:
            raise ValueError(f"{own.name} holds no secret key; expected NAME{SECRET_SUFFIX}")
        return cls(public_key=public, secret_key=secret, server_key=read_key_file(server)[0])

    def apply(self, socket: zmq.Socket[Any]) -> None:
        """Makes a client's socket use them; before `connect`."""
        socket.curve_publickey = self.public_key
        socket.curve_secretkey = self.secret_key
        socket.curve_serverkey = self.server_key


def read_key_file(path: Path) -> tuple[bytes, bytes | None]:
    """Public and, if there, secret key of a certificate file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no certificate.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no key file {path}; `lineside.client.curve.make_keys` makes one")
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} is no ZeroMQ key file: {error}") from None
    if len(public) != 40 or (secret is not None and len(secret) != 40):
        raise ValueError(f"{path.name} holds a key that is not 40 characters long")
    return public, secret


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Makes a new pair of key files; the secret one is readable for its owner alone.

    Args:
        folder: made if it is not there.
        name: of the station or the operator.

    Returns:
        NAME.key and NAME.key_secret.

    Raises:
        FileExistsError: there are keys of that name; they are never overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    public, secret = folder / f"{name}{PUBLIC_SUFFIX}", folder / f"{name}{SECRET_SUFFIX}"
    for path in (public, secret):
        if path.exists():
            raise FileExistsError(f"{path} exists; remove it, or choose another name")
    # Made by us first, so that the secret is never readable for others, not even for a moment.
    secret.touch(mode=0o600, exist_ok=False)
    zmq.auth.create_certificates(folder, name)
    return public, secret
