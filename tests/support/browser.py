"""Debian's Chromium, offline in spirit: every request that is not for the station is an error of the page."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
TABLET = {"width": 1280, "height": 800}
Result = TypeVar("Result")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page, and everything it asked for and complained of."""

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self.url = url

    def _console(self, message: Any) -> None:
        # A browser reports every failed request itself; a station that is down is the point of some tests.
        if message.type == "error" and not ("Failed to load resource" in message.text or "WebSocket" in message.text):
            self.complaints.append(message.text)

    def open(self) -> Tab:
        """Loads the page and waits until it has heard the station."""
        self.page.goto(self.url)
        self.page.wait_for_selector('#health-items [data-name="connection"].health-good')
        return self

    def ready(self, question: str) -> None:
        """Waits until a detection is asked whose question holds this text, and can be answered."""
        self.until(lambda: question in self.page.inner_text("#question"))
        self.page.wait_for_selector("[data-act=CONFIRM]:enabled")
        # Longer than the time in which a second tap of the same finger is not taken for an answer.
        self.page.wait_for_timeout(200)

    def until(self, question: Callable[[], Result]) -> Result:
        """Asks until the answer is true; the browser goes on meanwhile (its own waiting is forbidden by our policy)."""
        deadline = time.monotonic() + 20
        while not (answer := question()) and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        assert answer, "it did not come true within 20 s"
        return answer

    def told(self, kind: str) -> str:
        """Waits for a word of this kind on what became of an answer, and gives it back."""
        self.page.wait_for_selector(f'#told[data-kind="{kind}"]')
        return str(self.page.inner_text("#told"))

    def check(self) -> None:
        """Nothing was asked of anybody but the station, and nothing went wrong on the page."""
        host = urlsplit(self.url).netloc
        strangers = [url for url in self.asked if urlsplit(url).scheme != "blob" and urlsplit(url).netloc != host]
        assert strangers == []
        assert self.complaints == []
