"""A tablet that fell asleep while the station was away: what was answered before arrives when it wakes up."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.browser import TABLET, Tab, chromium
from support.panel import Line

from lineside.records import Gesture

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

DENT = ("dent", 0.9, (40.0, 30.0, 80.0, 60.0))


def test_a_tablet_that_fell_asleep_over_a_restart_wakes_up_and_delivers(tmp_path: Path) -> None:
    with Line(tmp_path) as line, chromium() as browser:
        context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
        tab = Tab(context, line.url)
        frame = line.part([DENT])
        tab.open().ready("dent")
        line.stop()
        tab.page.wait_for_selector('#verdict[data-verdict="LOST"]')
        tab.page.keyboard.press("1")
        tab.told("waiting")
        devtools = context.new_cdp_session(tab.page)
        devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
        line.start()
        devtools.send("Page.setWebLifecycleState", {"state": "active"})
        tab.until(lambda: [(event.gesture, event.frame_id) for event in line.said()] == [(Gesture.CONFIRM, frame)])
        kept = "Object.keys(localStorage).filter(name => name.startsWith('lineside.outbox.')).length"
        tab.until(lambda: tab.page.evaluate(kept) == 0)
        tab.check()
        context.close()
