"""Requests of the pages beside the judging. Everything is read; only drift's reference can be set anew."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.panel.access.access import Access
from edge.panel.access.roles import Role, Who
from edge.panel.http import body_of, guarded, texts
from edge.panel.hub import Hub
from edge.panel.pages.chronicle import Chronicle
from edge.panel.pages.figures import precision_json
from edge.panel.pages.history import choices_json, filters_of, history_json
from edge.panel.pages.people import people_json
from edge.panel.pages.tally import SPAN_SECONDS
from edge.panel.parts import PanelParts
from edge.panel.wire import Json
from lineside.mentoring_log import MentoringLogReader, event_of, open_log
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent, MentoringRecord

logger = logging.getLogger(__name__)

HOURS = {"8": 8, "24": 24, "168": 168, "336": 336}
POINTS = 12
"""Of a curve."""
MOST_FRAMES = 5000
"""Judged frames that figures are made of, the newest; reading them takes a second or so, beside the line."""


class PageRoutes:
    """The routes.

    Args:
        access: decides who may.
        parts: of the station.
        chronicle: what came along.
        hub: gives the status.
    """

    def __init__(self, access: Access, parts: PanelParts, chronicle: Chronicle, hub: Hub) -> None:
        self._access = access
        self._parts = parts
        self._chronicle = chronicle
        self._hub = hub

    def routes(self) -> list[Route]:
        """Everybody who is let in sees the station; a person's own figures are his and the engineers'."""
        access, viewer = self._access, Role.VIEWER
        return [
            guarded(access, "/api/history", self._history, viewer),
            guarded(access, "/api/choices", self._choices, viewer),
            guarded(access, "/api/figures", self._figures, viewer),
            guarded(access, "/api/people", self._people, Role.OPERATOR),
            guarded(access, "/api/station", self._station, viewer),
            guarded(access, "/api/drift", self._drift, viewer),
            guarded(access, "/api/drift/reference", self._begin_anew, Role.ENGINEER, method="POST"),
        ]

    async def _history(self, request: Request, _: Who) -> Response:
        filters = filters_of(dict(request.query_params))

        def read() -> Json:
            with self._parts.log.reader() as reader:
                return history_json(reader, filters)

        return JSONResponse(await run_in_threadpool(read))

    async def _choices(self, _: Request, __: Who) -> Response:
        def read() -> Json:
            with self._parts.log.reader() as reader:
                return choices_json(reader)

        return JSONResponse(await run_in_threadpool(read))

    async def _figures(self, request: Request, _: Who) -> Response:
        hours = _hours(request)
        now = time.time()
        edges = [now - hours * 3600 * (1 - number / POINTS) for number in range(POINTS + 1)]

        def read() -> Json:
            with self._parts.log.reader() as reader:
                return {
                    "from": round(edges[0] * 1000),
                    "to": round(edges[-1] * 1000),
                    "precision": precision_json(_judged(reader, edges[0]), edges),
                    "counts": {
                        "span_ms": SPAN_SECONDS * 1000,
                        "spans": [span.to_json() for span in self._chronicle.spans(edges[0])],
                    },
                    "models": _models_since(reader, edges[0]),
                }

        return JSONResponse(await run_in_threadpool(read))

    async def _people(self, request: Request, who: Who) -> Response:
        since = time.time() - _hours(request) * 3600

        def read() -> list[Json]:
            with self._parts.log.reader() as reader:
                return people_json(_events(reader, since))

        people = await run_in_threadpool(read)
        if who.proven and who.role < Role.ENGINEER:
            people = [person for person in people if person["name"] == who.name]
        return JSONResponse({"people": people})

    async def _station(self, _: Request, __: Who) -> Response:
        def read() -> Json:
            health = self._parts.log.health()
            return {
                "log": {
                    "state": health.state.value,
                    "trouble": health.trouble,
                    "waiting": health.frames_waiting + health.feedback_waiting,
                    "lost": health.frames_lost,
                    "kept": health.frames_kept,
                    "said": health.feedback_accepted,
                    "image_bytes": health.image_bytes,
                    "budget_bytes": health.budget_bytes,
                    "free_bytes": health.free_bytes,
                },
                "load": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
            }

        return JSONResponse({**await run_in_threadpool(read), "pages": self._hub.pages, "status": self._hub.status})

    async def _drift(self, _: Request, __: Who) -> Response:
        return JSONResponse(await run_in_threadpool(self._chronicle.drift_json))

    async def _begin_anew(self, request: Request, who: Who) -> Response:
        (camera,) = texts(await body_of(request), "camera")
        if not await run_in_threadpool(self._chronicle.begin_anew, camera):
            raise ContractError(Reason.CAMERA_UNKNOWN, f"no camera {camera[:80]!r} has been seen")
        logger.info("the present pictures of %s are the reference of drift, by %r", camera, who.name or "the page")
        return await self._drift(request, who)


def _hours(request: Request) -> int:
    text = request.query_params.get("hours", "24")
    if text not in HOURS:
        raise ContractError(Reason.REQUEST_MALFORMED, f"hours is {text[:20]!r}, expected one of {', '.join(HOURS)}")
    return HOURS[text]


def _judged(reader: MentoringLogReader, since: float) -> Iterator[MentoringRecord]:
    with closing(open_log(reader.root)) as connection:
        rows = connection.execute(
            "SELECT frame_id FROM frames WHERE recorded_unix_ns >= ?"
            " AND EXISTS (SELECT 1 FROM feedback WHERE feedback.frame_id = frames.frame_id)"
            " ORDER BY recorded_unix_ns DESC LIMIT ?",
            (int(since * 1e9), MOST_FRAMES),
        ).fetchall()
    for (frame_id,) in rows:
        record = reader.record(frame_id)
        if record is not None:
            yield record


def _events(reader: MentoringLogReader, since: float) -> Iterator[list[FeedbackEvent]]:
    """All events of each frame that somebody said something about since then."""
    with closing(open_log(reader.root)) as connection:
        connection.row_factory = _row
        rows = connection.execute(
            "SELECT * FROM feedback WHERE frame_id IN (SELECT DISTINCT frame_id FROM feedback"
            " WHERE received_unix_ns >= ? ORDER BY log_sequence DESC LIMIT ?) ORDER BY frame_id, log_sequence",
            (int(since * 1e9), MOST_FRAMES),
        ).fetchall()
    for _, group in itertools.groupby(rows, key=lambda row: row["frame_id"]):
        yield [event_of(row) for row in group]


def _row(cursor: Any, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _models_since(reader: MentoringLogReader, since: float) -> list[Json]:
    with closing(open_log(reader.root)) as connection:
        rows = connection.execute(
            "SELECT name, version, first_seen_unix_ns FROM models WHERE first_seen_unix_ns >= ? ORDER BY 3 LIMIT 50",
            (int(since * 1e9),),
        ).fetchall()
    return [{"name": f"{name} {version}", "at": at // 1_000_000} for name, version, at in rows]
