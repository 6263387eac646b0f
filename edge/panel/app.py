"""The panel as an ASGI application: what is served under which path. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
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
from edge.panel.access.access import Access
from edge.panel.access.roles import Role, Who
from edge.panel.frames import Frames, parse_view
from edge.panel.guard import Guard
from edge.panel.http import body_of, guarded
from edge.panel.hub import Hub
from edge.panel.live import LivePage
from edge.panel.login import LoginRoutes
from edge.panel.model_routes import ModelRoutes
from edge.panel.pages.chronicle import Chronicle
from edge.panel.pages.routes import PageRoutes
from edge.panel.parts import PanelParts
from edge.panel.wire import Json, http_status, parse_claim, parse_feedback, refusal_json
from lineside.reasons import ContractError, Reason

STATIC = Path(__file__).parent / "static"
ACK_SECONDS = 10.0
"""How long a page waits for the disk; afterwards it asks again with the same key."""
MOST_ITEMS = 100


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
        self._access = Access(parts.settings, parts.folder)
        self._login = LoginRoutes(self._access)
        self._chronicle = Chronicle(parts)
        self._hub = Hub(parts, self._chronicle)

    def app(self) -> Starlette:
        names = {socket.gethostname().lower(), *(name.lower() for name in self._parts.settings.allowed_hosts)}
        access, viewer, operator = self._access, Role.VIEWER, Role.OPERATOR
        return Starlette(
            routes=[
                # For anybody: the page itself says nothing, and somebody has to be able to log in.
                Route("/", _page),
                Route("/api/setup", self._setup),
                Mount("/static", _Static(directory=STATIC)),
                *self._login.routes(),
                # For people of a role; nothing else is served.
                guarded(access, "/api/status", self._status, viewer),
                guarded(access, "/api/queue", self._queue, viewer),
                guarded(access, "/api/frames/{frame_id}", self._frame, viewer),
                guarded(access, "/api/frames/{frame_id}/picture", self._picture, viewer),
                guarded(access, "/api/frames/{frame_id}/keep", self._keep, operator, method="POST"),
                guarded(access, "/api/feedback", self._feedback, operator, method="POST"),
                *ModelRoutes(access, self._parts).routes(),
                *PageRoutes(access, self._parts, self._chronicle, self._hub).routes(),
                WebSocketRoute("/live", self._live),
            ],
            middleware=[Middleware(Guard, names=names)],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._hub:
            yield

    async def _setup(self, request: Request) -> Response:
        settings = self._parts.settings
        names = {"operator": settings.operator, "operators": list(settings.operators)}
        return JSONResponse({**names, "language": settings.language, **self._login.setup(request)})

    async def _status(self, _: Request, __: Who) -> Response:
        return JSONResponse(self._hub.status)

    async def _live(self, websocket: WebSocket) -> None:
        page = LivePage(websocket, self._parts, self._hub, self._frames)
        await page.run(lambda: self._access.who(websocket) is not None)

    async def _queue(self, request: Request, _: Who) -> Response:
        text = request.query_params.get("limit", "30")
        if not text.isdecimal() or not 1 <= int(text) <= MOST_ITEMS:
            raise ContractError(Reason.REQUEST_MALFORMED, f"limit is {text[:20]!r}, expected 1 to {MOST_ITEMS}")

        def read() -> Json:
            with self._parts.log.reader() as reader:
                return judging.queue_json(reader, frames=self._parts.settings.queue_frames, limit=int(text))

        return JSONResponse(await run_in_threadpool(read))

    async def _frame(self, request: Request, _: Who) -> Response:
        def read() -> Json:
            with self._parts.log.reader() as reader:
                return judging.record_json(reader, request.path_params["frame_id"])

        return JSONResponse(await run_in_threadpool(read))

    async def _picture(self, request: Request, _: Who) -> Response:
        view = parse_view(request.query_params.get("side", ""), request.query_params.get("box", ""))
        jpeg = await run_in_threadpool(self._frames.jpeg, request.path_params["frame_id"], view)
        # A frame's picture never changes.
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400, immutable"})

    async def _keep(self, request: Request, who: Who) -> Response:
        """Keeps a frame that a person wants to speak of and no policy had chosen."""
        self._access.operator(who, parse_claim(await body_of(request)))
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

    async def _feedback(self, request: Request, who: Who) -> Response:
        feedback = parse_feedback(await body_of(request))
        try:
            draft = draft_of(feedback, operator=self._access.operator(who, feedback.operator))
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
