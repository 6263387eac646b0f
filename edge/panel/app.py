"""The panel as an ASGI application: what is served under which path. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from edge.mentoring.feedback import draft_of
from edge.mentoring.selection import Selection
from edge.panel import judging
from edge.panel.frames import Frames, parse_view
from edge.panel.guard import Guard
from edge.panel.hub import Hub
from edge.panel.live import LivePage
from edge.panel.models import WHY, Models, models_json, parse_rollback
from edge.panel.parts import PanelParts
from edge.panel.wire import LONGEST_BODY, Json, http_status, parse_claim, parse_feedback, refusal_json
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
ACK_SECONDS = 10.0
"""How long a page waits for the disk; afterwards it asks again with the same key."""
MOST_ITEMS = 100

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(parts: PanelParts) -> Starlette:
    """The application; its lifespan starts and stops the reader of the station's events.

    Args:
        parts: of the station.
    """
    return _Panel(parts).app()


class _Panel:
    def __init__(self, parts: PanelParts) -> None:
        self._parts = parts
        self._frames = Frames(parts.log, parts.settings.jpeg_quality)
        self._hub: Hub | None = None

    def app(self) -> Starlette:
        names = {socket.gethostname().lower(), *(name.lower() for name in self._parts.settings.allowed_hosts)}
        return Starlette(
            routes=[
                Route("/", _page),
                Route("/api/setup", self._setup),
                Route("/api/status", self._status),
                Route("/api/queue", _told(self._queue)),
                Route("/api/frames/{frame_id}", _told(self._frame)),
                Route("/api/frames/{frame_id}/picture", _told(self._picture)),
                Route("/api/frames/{frame_id}/keep", _told(self._keep), methods=["POST"]),
                Route("/api/feedback", _told(self._feedback), methods=["POST"]),
                Route("/api/models", _told(self._models)),
                Route("/api/models/rollback", _told(self._rollback), methods=["POST"]),
                WebSocketRoute("/live", self._live),
                Mount("/static", _Static(directory=STATIC)),
            ],
            middleware=[Middleware(Guard, names=names)],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with Hub(self._parts) as hub:
            self._hub = hub
            yield

    async def _setup(self, _: Request) -> Response:
        settings = self._parts.settings
        return JSONResponse(
            {"operator": settings.operator, "operators": list(settings.operators), "language": settings.language}
        )

    async def _status(self, _: Request) -> Response:
        assert self._hub is not None
        return JSONResponse(self._hub.status)

    async def _live(self, websocket: WebSocket) -> None:
        assert self._hub is not None
        await LivePage(websocket, self._parts, self._hub, self._frames).run()

    async def _queue(self, request: Request) -> Response:
        text = request.query_params.get("limit", "30")
        if not text.isdecimal() or not 1 <= int(text) <= MOST_ITEMS:
            raise ContractError(Reason.REQUEST_MALFORMED, f"limit is {text[:20]!r}, expected 1 to {MOST_ITEMS}")

        def read() -> Json:
            with self._parts.log.reader() as reader:
                return judging.queue_json(reader, frames=self._parts.settings.queue_frames, limit=int(text))

        return JSONResponse(await run_in_threadpool(read))

    async def _frame(self, request: Request) -> Response:
        def read() -> Json:
            with self._parts.log.reader() as reader:
                return judging.record_json(reader, request.path_params["frame_id"])

        return JSONResponse(await run_in_threadpool(read))

    async def _picture(self, request: Request) -> Response:
        view = parse_view(request.query_params.get("side", ""), request.query_params.get("box", ""))
        jpeg = await run_in_threadpool(self._frames.jpeg, request.path_params["frame_id"], view)
        # A frame's picture never changes.
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400, immutable"})

    async def _keep(self, request: Request) -> Response:
        """Keeps a frame that a person wants to speak of and no policy had chosen."""
        self._parts.operator_of(request, parse_claim(await _body(request)))
        frame_id = request.path_params["frame_id"]

        def keep() -> Json:
            shown = self._frames.shown(frame_id)
            if shown is not None and not shown.inspection.mentored:
                self._parts.log.keep(shown.frame, shown.inspection, Selection(because="operator", probability=1.0))
            with contextlib.suppress(TimeoutError):
                self._parts.log.flush(ACK_SECONDS)
            with self._parts.log.reader() as reader:
                return judging.record_json(reader, frame_id)

        return JSONResponse(await run_in_threadpool(keep))

    async def _models(self, _: Request) -> Response:
        return JSONResponse(self._models_json(self._models_of()))

    async def _rollback(self, request: Request) -> Response:
        """Back to the model before, if the one the operator saw still serves."""
        operator, digest = parse_rollback(await _body(request))
        actor = self._parts.operator_of(request, operator)
        models = self._models_of()
        if not self._parts.settings.rollback:
            raise ContractError(Reason.ROLE, "this station's page may not go back ([panel] rollback); ask an engineer")
        # The actor says that the name was claimed on a page: it must not pass for the station's own.
        await run_in_threadpool(models.rollback, WHY, f"{actor} (panel)", only_from=digest)
        return JSONResponse(self._models_json(models))

    def _models_of(self) -> Models:
        if self._parts.models is None:
            raise ContractError(Reason.NO_MODEL, "this page knows nothing of the station's models")
        return self._parts.models

    def _models_json(self, models: Models) -> Json:
        return models_json(models, may_roll_back=self._parts.settings.rollback)

    async def _feedback(self, request: Request) -> Response:
        feedback = parse_feedback(await _body(request))
        try:
            draft = draft_of(feedback, operator=self._parts.operator_of(request, feedback.operator))
            future = asyncio.wrap_future(self._parts.log.submit(draft))
            try:
                accepted = await asyncio.wait_for(asyncio.shield(future), ACK_SECONDS)
            except (TimeoutError, asyncio.TimeoutError):
                raise ContractError(
                    Reason.DEADLINE,
                    f"the disk has not answered for {ACK_SECONDS:.0f} s; send it again with the same key",
                ) from None
        except ContractError as error:
            return JSONResponse(refusal_json(error, feedback.key), status_code=http_status(error.reason))
        return JSONResponse(
            {
                "key": draft.key,
                "code": 0,
                "reason": "",
                "message": "",
                "log_sequence": accepted.log_sequence,
                "duplicate": accepted.duplicate,
                "operator": draft.operator,
            }
        )


class _Static(StaticFiles):
    """Files of the page; asked for anew each time, so that an update of the station is an update of the page."""

    def file_response(self, *args: object, **named: object) -> Response:
        response = super().file_response(*args, **named)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _body(request: Request) -> bytes:
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


def _told(handler: _Handler) -> _Handler:
    """The handler, with refusals as JSON, and unknown faults as INTERNAL with the traceback in the log alone."""

    async def handling(request: Request) -> Response:
        try:
            return await handler(request)
        except ContractError as error:
            status = {Reason.MSG_TOO_LARGE: 413}.get(error.reason, http_status(error.reason))
            return JSONResponse(refusal_json(error), status_code=status)
        except FileNotFoundError:
            refusal = ContractError(Reason.STORAGE_FAULT, "the log's files are not there")
            return JSONResponse(refusal_json(refusal), status_code=http_status(refusal.reason))
        except Exception:
            logger.exception("the panel failed at %s", request.url.path)
            refusal = ContractError(Reason.INTERNAL, "a fault of the station; its log has the details")
            return JSONResponse(refusal_json(refusal), status_code=500)

    return handling
