"""Accounts in a file: names, roles, hashed PINs and passwords. Read again when it changes, written in one step."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.panel.access import secret as secrets
from edge.panel.access.roles import Role, role_of

FILE_NAME = "accounts.json"
LONGEST_NAME = 64
MOST_ACCOUNTS = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person.

    Raises:
        ValueError: the name cannot be one.
    """

    name: str
    role: Role
    kept: str
    """The PIN or password, hashed (`secret.hashed`)."""

    def __post_init__(self) -> None:
        name = self.name
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise ValueError(
                f"{name[:80]!r} is no name: use 1 to {LONGEST_NAME} printable characters, no space at either end"
            )


class Accounts:
    """The station's accounts; may be used by any thread, and beside it by `lineside station user`.

    Args:
        folder: where the file lies; made when the first account is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()
        self._known: Mapping[str, Account] = {}

    def all(self) -> Mapping[str, Account]:
        """By name, as the file says now.

        Raises:
            OSError, ValueError: the file cannot be read. Nobody is let in then.
        """
        with self._lock:
            try:
                found = self.path.stat()
            except FileNotFoundError:
                self._stamp, self._known = (), {}
                return self._known
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._known = _read(self.path)
                self._stamp = stamp
            return self._known

    def put(self, name: str, role: Role, secret: str) -> Account:
        """Makes an account, or gives it another role and secret.

        Raises:
            ValueError: the name or the secret is not good enough.
            OSError: the file cannot be written.
        """
        secrets.check(secret, role)
        account = Account(name=name, role=role, kept=secrets.hashed(secret))
        with self._changing() as accounts:
            if len(accounts) >= MOST_ACCOUNTS and name not in accounts:
                raise ValueError(f"there are {MOST_ACCOUNTS} accounts already; remove one")
            _keep_an_admin(accounts, {**accounts, name: account})
            accounts[name] = account
        return account

    def remove(self, name: str) -> None:
        """Removes an account.

        Raises:
            ValueError: there is none of this name, or it is the last admin.
        """
        with self._changing() as accounts:
            if name not in accounts:
                raise ValueError(f"no account {name[:80]!r}; there are {', '.join(sorted(accounts)) or 'none'}")
            _keep_an_admin(accounts, {other: account for other, account in accounts.items() if other != name})
            del accounts[name]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Account]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            accounts = dict(self.all())
            yield accounts
            document = {
                "version": 1,
                "accounts": [
                    {"name": account.name, "role": account.role.word, "secret": account.kept}
                    for _, account in sorted(accounts.items())
                ],
            }
            write_private(self.path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        finally:
            os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Writes a file that its owner alone may read: whole and on the disk, or as it was.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".new")
    staging.unlink(missing_ok=True)
    with open(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)


def _read(path: Path) -> dict[str, Account]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        accounts = [
            Account(name=item["name"], role=role_of(item["role"]), kept=item["secret"]) for item in document["accounts"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of accounts ({error}); nobody can log in until it is mended") from None
    return {account.name: account for account in accounts}


def _keep_an_admin(before: Mapping[str, Account], after: Mapping[str, Account]) -> None:
    def admins(accounts: Mapping[str, Account]) -> int:
        return sum(account.role is Role.ADMIN for account in accounts.values())

    if admins(before) and not admins(after):
        raise ValueError("this is the last admin; make another one first")
