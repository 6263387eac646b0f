"""Requests about who is there: log in, log out, and the accounts for an admin."""

from __future__ import annotations

import logging

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.panel.access.access import Access
from edge.panel.access.roles import Role, Who, role_of
from edge.panel.http import body_of, guarded, texts, told
from edge.panel.wire import Json
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)


class LoginRoutes:
    """The routes.

    Args:
        access: decides.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> list[Route]:
        """All of them; only the first two are for anybody."""
        access = self._access
        return [
            Route("/api/login", told(self._login), methods=["POST"]),
            Route("/api/logout", told(self._logout), methods=["POST"]),
            guarded(access, "/api/accounts", self._accounts, Role.ADMIN),
            guarded(access, "/api/accounts", self._put, Role.ADMIN, method="POST"),
            guarded(access, "/api/accounts/remove", self._remove, Role.ADMIN, method="POST"),
        ]

    def setup(self, request: Request) -> Json:
        """What a page has to know before anybody is logged in.

        Operators and viewers are offered by name, because a name is a large button where a keyboard is small.
        Engineers and admins type theirs.
        """
        who = self._access.who(request)
        known = self._access.known() if self._access.needs_login else {}
        return {
            "login": self._access.needs_login,
            "who": None if who is None or not who.proven else {"name": who.name, "role": who.role.word},
            "offered": sorted(item.name for item in known.values() if item.role < Role.ENGINEER),
            "no_accounts": self._access.needs_login and not known,
        }

    async def _login(self, request: Request) -> Response:
        name, secret = texts(await body_of(request), "name", "secret")
        if not self._access.needs_login:
            raise ContractError(Reason.REQUEST_MALFORMED, "this station asks for no login ([panel] login)")
        address = request.client.host if request.client else ""
        token, account = await self._access.login(name, secret, address)
        self._access.logout(request)  # a session this browser had before does not go on beside the new one
        response = JSONResponse({"name": account.name, "role": account.role.word})
        self._access.give_cookie(response, token)
        return response

    async def _logout(self, request: Request) -> Response:
        self._access.logout(request)
        response = JSONResponse({})
        self._access.give_cookie(response, "")
        return response

    async def _accounts(self, _: Request, who: Who) -> Response:
        self._check_login(who)
        known = self._access.known()
        return JSONResponse(
            {"accounts": [{"name": item.name, "role": item.role.word} for _, item in sorted(known.items())]}
        )

    async def _put(self, request: Request, who: Who) -> Response:
        self._check_login(who)
        name, role, secret = texts(await body_of(request), "name", "role", "secret")
        try:
            await run_in_threadpool(self._access.accounts.put, name, role_of(role), secret)
        except ValueError as error:
            raise ContractError(Reason.REQUEST_MALFORMED, str(error)) from None
        self._access.lockout.forgive(name)
        logger.info("%r is now %s, by %r", name, role, who.name)
        return await self._accounts(request, who)

    async def _remove(self, request: Request, who: Who) -> Response:
        self._check_login(who)
        (name,) = texts(await body_of(request), "name")
        try:
            await run_in_threadpool(self._access.accounts.remove, name)
        except ValueError as error:
            raise ContractError(Reason.REQUEST_MALFORMED, str(error)) from None
        logger.info("the account %r was removed by %r", name, who.name)
        return await self._accounts(request, who)

    def _check_login(self, who: Who) -> None:
        if not who.proven:
            raise ContractError(Reason.ROLE, "this station asks for no login, so it has no accounts ([panel] login)")
