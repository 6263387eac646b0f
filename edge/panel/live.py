"""The page's one connection: status as text, pictures as binary, each picture only after the last one was shown.

station -> page   text: the status document (hub.py), whenever it changes and every HEARTBEAT_SECONDS
station -> page   binary: length of the header (4 bytes, big-endian), header (JSON), JPEG (may be empty)
page -> station   text: {"shown": FRAME_ID} the picture is on the screen, send the next
                        {"camera": NAME} show this camera; "" shows whichever was last
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from edge.panel.frames import Frames
from edge.panel.hub import Hub
from edge.panel.parts import PanelParts
from edge.panel.wire import Json, inspection_json

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 1024
"""Characters of a page's message."""
TOO_MANY, GOING_AWAY, BAD_MESSAGE = 1013, 1001, 1008
"""Close codes of RFC 6455."""
LOG_IN = 4401
"""Our own: nobody is logged in on this page, or not any more."""


class LivePage:
    """One open page.

    Args:
        websocket: not yet accepted.
        parts: of the station.
        hub: tells what is new.
        frames: makes the pictures.
    """

    def __init__(self, websocket: WebSocket, parts: PanelParts, hub: Hub, frames: Frames) -> None:
        self._websocket = websocket
        self._parts = parts
        self._hub = hub
        self._frames = frames
        self._camera = ""
        self._beat = 0
        self._sent = ""
        self._shown = True
        self._next_at = 0.0

    async def run(self, allowed: Callable[[], bool]) -> None:
        """Serves the page until it goes, or the station does, or nobody is logged in on it any more.

        Args:
            allowed: whether somebody may look, asked before every message.
        """
        self._allowed = allowed
        await self._websocket.accept()
        if not allowed():
            # Said after the handshake: a browser does not tell its page why one failed.
            await self._websocket.close(LOG_IN, "log in first")
            return
        if self._hub.pages >= self._parts.settings.pages:
            await self._websocket.close(TOO_MANY, "too many pages are open")
            return
        with self._hub.page() as waker:
            tasks = [
                asyncio.create_task(self._send(waker), name="panel-page-send"),
                asyncio.create_task(self._receive(waker), name="panel-page-receive"),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for error in outcomes:
                if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
                    raise error

    async def _receive(self, waker: asyncio.Event) -> None:
        while True:
            text = await self._websocket.receive_text()
            try:
                if len(text) > LONGEST_MESSAGE:
                    raise ValueError
                message = json.loads(text)
                self._heed(message)
            except (ValueError, TypeError, KeyError, RecursionError):
                await self._websocket.close(BAD_MESSAGE, "not a message of the panel")
                return
            waker.set()

    def _heed(self, message: Json) -> None:
        if "camera" in message:
            self._camera, self._shown, self._sent = str(message["camera"]), True, ""
        elif message["shown"] == self._sent:
            self._shown = True

    async def _send(self, waker: asyncio.Event) -> None:
        while not self._hub.closed:
            await waker.wait()
            waker.clear()
            if not self._allowed():
                await self._websocket.close(LOG_IN, "log in again")
                return
            status = self._hub.status
            if status["beat"] != self._beat:
                self._beat = status["beat"]
                await self._websocket.send_text(json.dumps(status))
            if not self._shown or not self._is_new():
                continue
            wait = self._next_at - time.monotonic()
            if wait > 0:
                # Not a pause: a newer picture may come meanwhile, and status must not wait for the picture rate.
                asyncio.get_running_loop().call_later(wait, waker.set)
                continue
            await self._send_picture()
        await self._websocket.close(GOING_AWAY, "the station is stopping")

    def _is_new(self) -> bool:
        latest = self._hub.board.latest(self._camera)
        return latest is not None and latest.frame_id != self._sent

    async def _send_picture(self) -> None:
        decided = self._hub.board.latest(self._camera)
        assert decided is not None
        found = self._parts.pictures.get(decided.camera)
        jpeg = b""
        self._sent, self._shown = decided.frame_id, False
        if found is not None and decided.width:
            # The picture may be newer than the decision by now: both are taken from the picture.
            frame, inspection = found
            jpeg = await run_in_threadpool(self._frames.show, frame, inspection, self._parts.settings.live_side)
            decided = inspection.to_message()
            self._sent = decided.frame_id
        header = json.dumps({"type": "picture", **inspection_json(decided)}).encode()
        await self._websocket.send_bytes(len(header).to_bytes(4, "big") + header + jpeg)
        self._next_at = time.monotonic() + 1 / self._parts.settings.live_fps
