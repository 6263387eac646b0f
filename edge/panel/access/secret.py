"""PINs and passwords: which are good enough, and how they are kept. Argon2id with the parameters OWASP names."""

from __future__ import annotations

import os
import re

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from edge.panel.access.roles import Role

_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1
LONGEST = 128
SHORTEST_PIN = 4
SHORTEST_PASSWORD = 10
_UNIFORM = re.compile(r"(.)\1*")
_SEQUENCES = ("01234567890", "09876543210")


def check(secret: str, role: Role) -> None:
    """Whether this may protect an account of this role.

    A PIN is short because it is typed in gloves, many times a shift; the lock-out makes it good enough for a judgement
    that can be taken back. Who can change the model or the accounts needs a password.

    Raises:
        ValueError: it may not, with what would.
    """
    if len(secret) > LONGEST or not secret.isprintable():
        raise ValueError(f"a PIN or password has at most {LONGEST} printable characters")
    if role >= Role.ENGINEER:
        if len(secret) < SHORTEST_PASSWORD:
            raise ValueError(f"an {role.word} needs a password of {SHORTEST_PASSWORD} characters or more, no PIN")
    elif len(secret) < SHORTEST_PIN:
        raise ValueError(f"a PIN has {SHORTEST_PIN} digits or more")
    if _UNIFORM.fullmatch(secret) or any(secret in sequence for sequence in _SEQUENCES):
        raise ValueError("one character repeated, or digits in their order, is what is tried first; choose another")


def hashed(secret: str) -> str:
    """As it is kept: a PHC string, with a salt of its own."""
    return _deriver(os.urandom(16)).derive_phc_encoded(secret.encode())


def matches(secret: str, kept: str) -> bool:
    """Whether this is the secret that was kept; takes the same time either way."""
    try:
        Argon2id.verify_phc_encoded(secret.encode(), kept)
    except InvalidKey:
        return False
    return True


def _deriver(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
