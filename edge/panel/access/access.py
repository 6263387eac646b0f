"""Decides who stands behind a connection, and lets people in and out. The one place that knows the cookie."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import Response

from edge.panel.access import secret as secrets
from edge.panel.access.accounts import Account, Accounts
from edge.panel.access.lockout import Lockout
from edge.panel.access.roles import Role, Who
from edge.panel.access.sessions import Sessions
from edge.panel.settings import PanelSettings
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

COOKIE = "lineside"
_AT_ONCE = 2
"""Secrets checked at the same time: each takes 20 MB and tens of milliseconds of a core that the line needs."""
NOBODY = Who(name="", role=Role.ENGINEER, proven=False)
"""Behind every connection of a station without login."""


class LockedOutError(ContractError):
    """Too many wrong ones; `seconds` until the next try."""

    def __init__(self, seconds: float) -> None:
        super().__init__(Reason.UNAUTHENTICATED, f"too many wrong tries; wait {seconds:.0f} s")
        self.seconds = seconds


class Access:
    """Belongs to one event loop.

    Args:
        settings: of the panel.
        folder: for accounts and sessions.
        clock: seconds since the epoch.
    """

    def __init__(self, settings: PanelSettings, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self.accounts = Accounts(folder)
        self.lockout = Lockout()
        self._clock = clock
        self._checking = asyncio.Semaphore(_AT_ONCE)
        self._sessions = Sessions(folder, hours=settings.session_hours, idle_minutes=settings.idle_minutes, clock=clock)
        self._decoy = ""

    @property
    def needs_login(self) -> bool:
        """Whether this station's page asks who is there."""
        return self._settings.login

    def known(self) -> Mapping[str, Account]:
        """Accounts by name; none where their file cannot be read, which is logged."""
        try:
            return self.accounts.all()
        except (OSError, ValueError) as error:
            logger.error("nobody can log in: %s", error)
            return {}

    def who(self, connection: HTTPConnection) -> Who | None:
        """Who is logged in on this connection; None: nobody."""
        if not self.needs_login:
            return NOBODY
        token = connection.cookies.get(COOKIE, "")
        account = self._sessions.find(token, self.known().get) if token else None
        return None if account is None else Who(name=account.name, role=account.role, proven=True)

    def require(self, connection: HTTPConnection, least: Role) -> Who:
        """Who is there, if he may do this.

        Raises:
            ContractError: UNAUTHENTICATED, ROLE.
        """
        who = self.who(connection)
        if who is None:
            raise ContractError(Reason.UNAUTHENTICATED, "log in first")
        if who.role < least:
            raise ContractError(
                Reason.ROLE, f"{who.name!r} is {who.role.word}; this is for the role {least.word} and those above it"
            )
        return who

    def acted(self, connection: HTTPConnection) -> None:
        """A person did something on this connection: he is not idle."""
        self._sessions.active(connection.cookies.get(COOKIE, ""))

    def operator(self, who: Who, claimed: str) -> str:
        """In whose name something is said.

        Args:
            who: behind the connection.
            claimed: the name that the page gives.

        Raises:
            ContractError: ROLE, this name may not judge here; UNAUTHENTICATED, it is somebody else's word: a tablet
                keeps what was not acknowledged, and it must not become the word of whoever logs in next.
        """
        if who.proven:
            if claimed and claimed != who.name:
                raise ContractError(
                    Reason.UNAUTHENTICATED, f"{claimed[:80]!r} said this; it waits until {claimed[:80]!r} logs in again"
                )
            return who.name
        settings = self._settings
        name = claimed or settings.operator
        if settings.operators and name not in (*settings.operators, settings.operator):
            raise ContractError(
                Reason.ROLE, f"{name[:80]!r} is not one of this station's operators: {', '.join(settings.operators)}"
            )
        return name

    async def login(self, name: str, secret: str, address: str) -> tuple[str, Account]:
        """Lets somebody in; gives back the session's token.

        Raises:
            ContractError: UNAUTHENTICATED; LockedOutError where he has to wait.
        """
        now = self._clock()
        wait = self.lockout.wait(name, address, now)
        if wait > 0:
            raise LockedOutError(wait)
        self.lockout.failed(name, address, now)
        account = self.known().get(name)
        async with self._checking:
            # An unknown name takes as long as a known one, so that nobody learns who is here.
            right = await run_in_threadpool(self._matches, secret[: secrets.LONGEST + 1], account)
        if account is None or not right:
            logger.warning("wrong PIN or password for %r from %s", name[:80], address)
            wait = self.lockout.wait(name, address, now)
            if wait > 0:
                raise LockedOutError(wait)
            raise ContractError(Reason.UNAUTHENTICATED, "the name or the PIN is wrong")
        self.lockout.passed(name, address)
        logger.info("%s %r logged in from %s", account.role.word, account.name, address)
        return self._sessions.begin(account), account

    def logout(self, connection: HTTPConnection) -> None:
        """Ends this connection's session."""
        self._sessions.end(connection.cookies.get(COOKIE, ""))

    def give_cookie(self, response: Response, token: str) -> None:
        """Puts the session's token, or "" for none, into the browser: out of scripts' reach, for our own page alone."""
        if token:
            response.set_cookie(
                COOKIE,
                token,
                max_age=int(self._settings.session_hours * 3600),
                path="/",
                secure=self._settings.tls_key is not None,
                httponly=True,
                samesite="strict",
            )
        else:
            response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    def _matches(self, secret: str, account: Account | None) -> bool:
        if account is None:
            self._decoy = self._decoy or secrets.hashed("nobody's")
            secrets.matches(secret, self._decoy)
            return False
        return secrets.matches(secret, account.kept)
