"""Who is logged in. A token is known to the browser alone; here lies its SHA-256, so that the file is worth nothing.

Sessions survive a restart of the station: otherwise every answer that a tablet could not deliver in time would wait for
a PIN. How long somebody has been idle is not written down, so a restart lets everybody begin anew with that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from edge.panel.access.accounts import Account, write_private
from edge.panel.access.roles import Role

logger = logging.getLogger(__name__)

FILE_NAME = "sessions.json"
MOST_SESSIONS = 200
"""The oldest ends beyond this: a forgotten login costs nothing, an endless list would."""


@dataclasses.dataclass(slots=True)
class Session:
    """One browser's login. Times in seconds since the epoch."""

    name: str
    mark: str
    """Of the account's secret: a new PIN ends the sessions of the old one."""
    ends_at: float
    active_at: float


class Sessions:
    """Belongs to one thread.

    Args:
        folder: where the file lies.
        hours: after which a session ends whatever happens.
        idle_minutes: after which it ends where nothing was done; 0: never. Viewers are not asked: a screen on the wall
            has no hands.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, *, hours: float, idle_minutes: float, clock: Callable[[], float]) -> None:
        self._path = folder / FILE_NAME
        self._hours = hours
        self._idle = idle_minutes * 60
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._load()

    def begin(self, account: Account) -> str:
        """Logs somebody in; gives back the token."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(name=account.name, mark=_mark(account), ends_at=now + self._hours * 3600, active_at=now)
        self._sessions[_sha(token)] = session
        while len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._save()
        return token

    def find(self, token: str, account_of: Callable[[str], Account | None]) -> Account | None:
        """Who has this token, while the session lasts and the account is as it was at the login; else None."""
        session = self._sessions.get(_sha(token))
        if session is None:
            return None
        account = account_of(session.name)
        now = self._clock()
        over = now >= session.ends_at
        if account is not None and account.role > Role.VIEWER and self._idle:
            over = over or now - session.active_at >= self._idle
        if account is None or over or session.mark != _mark(account):
            self.end(token)
            return None
        return account

    def active(self, token: str) -> None:
        """A person did something."""
        session = self._sessions.get(_sha(token))
        if session is not None:
            session.active_at = self._clock()

    def end(self, token: str) -> None:
        """Logs out; idempotent."""
        if self._sessions.pop(_sha(token), None) is not None:
            self._save()

    def _save(self) -> None:
        listed = {
            key: {"name": item.name, "mark": item.mark, "ends_at": item.ends_at} for key, item in self._sessions.items()
        }
        try:
            write_private(self._path, json.dumps({"version": 1, "sessions": listed}, ensure_ascii=False))
        except OSError as error:
            # A full disk must not keep anybody out; he only has to log in once more after a restart.
            logger.warning("sessions are not kept over a restart: %s", error.strerror)

    def _load(self) -> None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))["sessions"]
            now = self._clock()
            self._sessions = {
                key: Session(name=item["name"], mark=item["mark"], ends_at=item["ends_at"], active_at=now)
                for key, item in found.items()
                if item["ends_at"] > now
            }
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            logger.warning("%s cannot be read; everybody has to log in anew", self._path)


def _sha(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _mark(account: Account) -> str:
    return hashlib.sha256(f"{account.role.word} {account.kept}".encode()).hexdigest()[:16]
