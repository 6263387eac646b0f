"""CURVE for the station's sockets: encrypted, and open only to those whose public key lies in a folder.

A server socket with CURVE but without an authenticator lets everybody in who knows the server's public key. So both
are applied together, and the domain is enforced: without a running authenticator a protected socket refuses all.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator

from edge.settings import Settings
from lineside.client.curve import PUBLIC_SUFFIX, read_key_file

logger = logging.getLogger(__name__)

DOMAIN = "lineside"


class CurveSettings(Settings):
    """Section [curve] of station.toml. Without it the sockets are open to whoever reaches them."""

    secret_key: Path
    """The station's own NAME.key_secret, a ZeroMQ certificate."""
    clients: Path
    """Folder of the public keys that may connect, OPERATOR.key each: the file's name is the operator's. Read anew when
    it changes; removing a file refuses that operator's feedback from then on."""


class KeyRing:
    """Who owns which public key, as a folder of key files says now. Thread-safe.

    Args:
        folder: of NAME.key files.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a file is no key file, or two hold the same key.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}; [curve] clients names the folder of OPERATOR.key files")
        self._folder = folder
        # One value, replaced as a whole: readers on other threads see the old or the new one.
        self._known = (_signature(folder), _read(folder))

    def operator_of(self, key: bytes) -> str | None:
        """The name that goes with a public key (Z85, 40 characters); None: a stranger's."""
        signature, owners = self._known
        try:
            now = _signature(self._folder)
            if now != signature:
                owners = _read(self._folder)
                self._known = (now, owners)
                logger.info("read the clients' keys anew", extra={"clients": len(owners)})
        except (OSError, ValueError) as error:
            logger.error("the clients' keys cannot be read anew, the old ones stay: %s", error)
        return owners.get(key)


class CurveGuard(contextlib.AbstractContextManager["CurveGuard"]):
    """One ZeroMQ context whose protected sockets let in the clients of a key ring only.

    Args:
        settings: where the keys are.

    Raises:
        FileNotFoundError, ValueError: a key is missing, or is none.
    """

    def __init__(self, settings: CurveSettings) -> None:
        self._public, secret = read_key_file(settings.secret_key)
        if secret is None:
            raise ValueError(f"{settings.secret_key.name} holds no secret key; expected NAME.key_secret")
        self._secret = secret
        self._ring = KeyRing(settings.clients)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        """To make the sockets in; the authenticator serves no other."""
        self._authenticator: ThreadAuthenticator | None = None

    @property
    def public_key(self) -> bytes:
        """The station's, for its clients."""
        return self._public

    def __enter__(self) -> CurveGuard:
        authenticator = ThreadAuthenticator(self.context, log=logging.getLogger(f"{__name__}.zap"))
        authenticator.start()
        authenticator.configure_curve_callback(DOMAIN, credentials_provider=self)
        self._authenticator = authenticator
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the authenticator and ends the context, whose sockets are closed by now; idempotent."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self.context.term()

    def protect(self, socket: zmq.Socket[Any]) -> None:
        """Makes a server's socket CURVE and known clients only; before `bind`, on a socket of `context`."""
        if socket.context is not self.context:
            raise ValueError("the socket belongs to another context, and no authenticator would look after it")
        socket.curve_server = True
        socket.curve_publickey = self._public
        socket.curve_secretkey = self._secret
        socket.zap_domain = DOMAIN.encode()
        # Without this an authenticator that is not there means that everybody is let in.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def operator_of(self, part: zmq.Frame) -> str | None:
        """Who sent a message, by the key of its connection; None: the key is not known (any more)."""
        try:
            key = part.get("User-Id")
        except zmq.ZMQError:
            return None
        return self._ring.operator_of(str(key).encode())

    def callback(self, domain: str, key: bytes) -> bool:
        """The authenticator asks whether a public key (Z85) may connect."""
        operator = self._ring.operator_of(key) if domain == DOMAIN else None
        if operator is None:
            logger.warning("refused a stranger's key", extra={"key": key.decode("ascii", "replace")})
        return operator is not None


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes when any key file does."""
    found = []
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
        state = path.stat()
        found.append((path.name, state.st_mtime_ns, state.st_size))
    return tuple(found)


def _read(folder: Path) -> dict[bytes, str]:
    owners: dict[bytes, str] = {}
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
        key = read_key_file(path)[0]
        if key in owners:
            raise ValueError(
                f"{owners[key]}{PUBLIC_SUFFIX} and {path.name} hold the same key; give each a key of its own"
            )
        owners[key] = path.stem
    return owners
