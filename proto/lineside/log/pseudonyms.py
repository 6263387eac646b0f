"""Operators under pseudonyms: a keyed hash of the name, whose key stays at the station.

Who has a key can say whose pseudonym one is by trying the names he knows; who has none learns nothing but that two
answers are the same person's. The same key at two stations makes a person the same at both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from lineside.records import FeedbackEvent

KEY_NAME = "operators.key"
"""In a log's folder."""
_KEY_BYTES = 32
_DIGITS = 16
_PSEUDONYM = re.compile(r"op-[0-9a-f]{16}")

Rename = Callable[[str], str]
"""An operator's name to what is written instead."""


def plain(name: str) -> str:
    """The name as it is."""
    return name


def pseudonymiser(key: bytes) -> Rename:
    """Names to pseudonyms; a name that is a pseudonym already stays."""

    def rename(name: str) -> str:
        if is_pseudonym(name):
            return name
        return "op-" + hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:_DIGITS]

    return rename


def is_pseudonym(name: str) -> bool:
    """Whether the name has the form of one."""
    return _PSEUDONYM.fullmatch(name) is not None


def read_key(path: Path) -> bytes:
    """A key, made where there is none: 64 hexadecimal digits in a file that only its owner may read.

    Raises:
        ValueError: the file holds none, or cannot be made.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _make(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key {path} cannot be read: {error}") from None
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"{path} holds no key for pseudonyms, expected 64 hexadecimal digits; name another file")
    return bytes.fromhex(text)


def _make(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # Two that begin at once must not use two keys: a name can be linked once only.
            os.link(temporary, path)
        except FileExistsError:
            return read_key(path)
    except OSError as error:
        raise ValueError(
            f"no key for pseudonyms can be made at {path} ({error.strerror}); name a file with --key, or write the"
            " names with --operators plain"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return key


def renamed(event: FeedbackEvent, rename: Rename) -> FeedbackEvent:
    """The event under the other name; its `payload_sha256` is of what it holds now."""
    return dataclasses.replace(event, operator=rename(event.operator))


def same_answer(copies: Sequence[FeedbackEvent]) -> FeedbackEvent | None:
    """One of several copies under one key, where they differ in nothing but pseudonyms; None: they differ.

    The one that names the operator, where any does: his answers from two copies of a log must be one person's.
    """
    named = [event for event in copies if not is_pseudonym(event.operator)]
    if len({event.operator for event in named}) > 1:
        return None
    if len({dataclasses.replace(event, operator="").payload_sha256 for event in copies}) > 1:
        return None
    return min(named or copies, key=lambda event: (event.operator, event.log_sequence, event.received_unix_ns))
