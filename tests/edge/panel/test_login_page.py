"""Logging in on the page, in a real browser: whose word it is, what a role sees, what a browser still holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import TABLET, Tab, chromium
from support.panel import Line

from edge.panel.access.roles import Role
from lineside.records import Gesture

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

DENT = ("dent", 0.9, (40.0, 30.0, 80.0, 60.0))
SCRATCH = ("scratch", 0.7, (120.0, 90.0, 180.0, 110.0))
HOSTILE = "<b onclick=x>ada</b>"
PIN, PASSWORD = "4071", "a long password"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Line(tmp_path, login=True) as made:
        for name in ("ada", "grace", HOSTILE):
            made.accounts.put(name, Role.OPERATOR, PIN)
        made.accounts.put("wall", Role.VIEWER, PIN)
        made.accounts.put("root", Role.ADMIN, PASSWORD)
        yield made


@pytest.fixture
def tab(browser: Any, line: Line) -> Iterator[Tab]:
    context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
    opened = Tab(context, line.url)
    yield opened
    opened.check()
    context.close()


def enter(tab: Tab, name: str, secret: str = PIN) -> None:
    """Logs in as an operator in gloves does: a name, four digits, the tick."""
    tab.page.wait_for_selector("#login[open]")
    tab.page.get_by_role("button", name=name, exact=True).tap()
    for digit in secret:
        tab.page.locator("#login-pad").get_by_text(digit, exact=True).tap()
    tab.page.locator("#login-pad").get_by_text("✓").tap()


def test_an_operator_logs_in_with_six_taps_and_judges_in_his_name(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.page.goto(line.url)
    tab.page.wait_for_selector("#login[open]")
    assert tab.page.inner_text("#question") == "", "nothing of the line is shown before"
    assert tab.page.get_by_role("button", name="root").count() == 0
    assert tab.page.get_by_role("button", name=HOSTILE, exact=True).count() == 1
    enter(tab, "ada", "9999")
    assert tab.page.inner_text('#login-told[data-kind="refused"]') == "Name or PIN is wrong"
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#login[open]").count() == 1
    enter(tab, "ada")
    tab.ready("dent")
    tab.page.tap("[data-act=CONFIRM]")
    tab.told("saved")
    (event,) = line.said()
    assert (event.gesture, event.operator) == (Gesture.CONFIRM, "ada")


def test_an_answer_that_was_not_delivered_waits_for_its_own_operator(line: Line, tab: Tab) -> None:
    line.part([SCRATCH])
    line.part([DENT])
    tab.page.goto(line.url)
    enter(tab, "ada")
    tab.ready("dent")
    tab.page.route("**/api/feedback", lambda route: route.abort())
    tab.page.keyboard.press("2")
    tab.told("waiting")
    tab.page.unroute("**/api/feedback")
    tab.page.evaluate("localStorage.setItem('kept', JSON.stringify(Object.entries(localStorage)))")
    tab.until(lambda: [event.operator for event in line.said()] == ["ada"])
    # The same browser an hour later: ada has gone, one of her answers never got through, grace logs in.
    late = json.loads(
        tab.page.evaluate("JSON.parse(localStorage.getItem('kept')).find(e => e[0].startsWith('lineside.outbox.'))[1]")
    )
    late["feedback"] |= {"key": "0123456789abcdef", "gesture": "GESTURE_UNSURE", "revision": 2}
    tab.page.evaluate("text => localStorage.setItem('lineside.outbox.0123456789abcdef', text)", json.dumps(late))
    tab.page.tap("#menu")
    tab.page.tap("#logout")
    enter(tab, "grace")
    tab.ready("scratch")
    assert "Until ada logs in again" in tab.told("waiting")
    assert tab.page.is_disabled("[data-act=UNDO]"), "grace cannot take back what ada said"
    tab.page.keyboard.press("1")
    tab.until(lambda: len(line.said()) == 2)
    assert line.said()[1].operator == "grace"
    tab.page.tap("#menu")
    tab.page.tap("#logout")
    enter(tab, "ada")
    tab.until(lambda: len(line.said()) == 3)
    last = line.said()[2]
    assert (last.operator, last.gesture, last.revision) == ("ada", Gesture.UNSURE, 2)


def test_a_viewer_sees_the_line_and_can_say_nothing(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.page.goto(line.url)
    enter(tab, "wall")
    tab.page.wait_for_selector("#judge-view.has-picture")
    for act in ("CONFIRM", "REJECT", "MISSED", "FRAME_HEALTHY", "UNDO"):
        assert tab.page.is_disabled(f"[data-act={act}]")
    assert tab.page.is_disabled("#teach")
    for key in "1278":
        tab.page.keyboard.press(key)
    tab.page.wait_for_timeout(200)
    assert line.said() == []


def test_a_session_that_is_over_asks_again_and_what_was_answered_meanwhile_arrives(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.page.goto(line.url)
    enter(tab, "ada")
    tab.ready("dent")
    line.accounts.put("ada", Role.OPERATOR, "8263")  # a new PIN ends the sessions of the old one
    tab.page.wait_for_selector("#login[open]")
    tab.page.evaluate("document.querySelector('[data-act=REJECT]').click()")  # the last tap, already on its way
    tab.page.wait_for_timeout(300)
    assert line.said() == []
    enter(tab, "ada", "8263")
    tab.until(lambda: [(event.operator, event.gesture) for event in line.said()] == [("ada", Gesture.REJECT)])
