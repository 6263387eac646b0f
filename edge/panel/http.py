"""What all of the panel's requests have in common: who may, a body of JSON, refusals in the contract's words."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.panel.access.access import Access, LockedOutError
from edge.panel.access.roles import Role, Who
from edge.panel.wire import LONGEST_BODY, Json, http_status, refusal_json
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

Handler = Callable[[Request, Who], Awaitable[Response]]


def guarded(access: Access, path: str, handler: Handler, least: Role, *, method: str = "GET") -> Route:
    """A route for people of this role and above. A handler is never reached by anybody else.

    Refusals travel as JSON; unknown faults as INTERNAL, with the traceback in the log alone.
    """

    async def entering(request: Request) -> Response:
        who = access.require(request, least)
        if method != "GET":
            access.acted(request)
        return await handler(request, who)

    return Route(path, told(entering), methods=[method])


def told(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler, with what it raises as an answer."""

    async def handling(request: Request) -> Response:
        try:
            return await handler(request)
        except LockedOutError as error:
            refusal = {**refusal_json(error), "wait_seconds": round(error.seconds, 1)}
            return JSONResponse(refusal, status_code=429, headers={"retry-after": str(int(error.seconds) + 1)})
        except ContractError as error:
            status = {Reason.MSG_TOO_LARGE: 413}.get(error.reason, http_status(error.reason))
            return JSONResponse(refusal_json(error), status_code=status)
        except FileNotFoundError:
            return _refused(Reason.STORAGE_FAULT, "the log's files are not there")
        except Exception:
            logger.exception("the panel failed at %s", request.url.path)
            return _refused(Reason.INTERNAL, "a fault of the station; its log has the details")

    return handling


def _refused(reason: Reason, message: str) -> Response:
    return JSONResponse(refusal_json(ContractError(reason, message)), status_code=http_status(reason))


async def body_of(request: Request) -> bytes:
    """The JSON body's bytes.

    Raises:
        ContractError: MSG_TOO_LARGE, or REQUEST_MALFORMED where it is not declared as JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Not a formality: a form of another site cannot send this type without being asked first.
        raise ContractError(Reason.REQUEST_MALFORMED, f"content-type is {kind[:80]!r}, expected application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise ContractError(Reason.MSG_TOO_LARGE, f"more than {LONGEST_BODY} bytes; one feedback is far smaller")
    return bytes(body)


def texts(body: bytes, *names: str) -> tuple[str, ...]:
    """These members of a JSON object, all of them texts.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """
    try:
        document: Json = json.loads(body)
        values = tuple(document[name] for name in names)
        if not all(isinstance(value, str) for value in values):
            raise TypeError
    except (ValueError, RecursionError, KeyError, TypeError):
        wanted = ", ".join(f'"{name}": TEXT' for name in names)
        raise ContractError(Reason.REQUEST_MALFORMED, f"expected {{{wanted}}} in JSON") from None
    return values
