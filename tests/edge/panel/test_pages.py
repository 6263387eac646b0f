"""The pages beside the judging: what they are told over HTTP, and that a browser shows it; axe looks at all of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.browser import TABLET, Tab, chromium
from support.panel import Line

from edge.inspection import Verdict
from edge.mentoring.feedback import draft_of
from edge.panel.access.roles import Role
from edge.panel.pages import chronicle, watch
from lineside.ids import new_frame_id
from lineside.records import Gesture
from lineside.v1 import mentoring_pb2

DENT = ("dent", 0.9, (40.0, 30.0, 80.0, 60.0))
SCRATCH = ("scratch", 0.7, (120.0, 90.0, 180.0, 110.0))
HOSTILE = '<img src=x onerror="window.owned=1">'


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Line(tmp_path) as made:
        yield made


@pytest.fixture
def web(line: Line) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=line.url, headers={"origin": line.url}, timeout=20) as client:
        yield client


def say(line: Line, frame: str, number: int, gesture: Gesture, operator: str = "ada") -> None:
    message = mentoring_pb2.Feedback(
        key=str(uuid.uuid4()),
        frame_id=frame,
        detection_id=f"{frame}/{number}",
        gesture=int(gesture),  # type: ignore[arg-type]
        revision=1,
        seconds=1.5,
    )
    line.log.submit(draft_of(message, operator=operator)).result(10)


def parts_of(web: httpx.Client, **filters: str) -> list[str]:
    return [frame["part_id"] for frame in web.get("/api/history", params=filters).json()["frames"]]


def test_history_is_newest_first_and_each_filter_leaves_what_it_says(line: Line, web: httpx.Client) -> None:
    one = line.part([DENT], part_id="A-1")
    two = line.part([SCRATCH], part_id="B-2", camera="side")
    line.part([], part_id="b-3")
    say(line, one, 0, Gesture.CONFIRM)
    say(line, one, 0, Gesture.REJECT, "grace")
    line.new_model(name="better")
    line.part([], part_id="C-4", verdict=Verdict.NO_VERDICT)
    assert parts_of(web) == ["C-4", "b-3", "B-2", "A-1"]
    assert parts_of(web, part="b") == ["b-3", "B-2"]
    assert parts_of(web, part="%") == []
    assert parts_of(web, class_name="scratch") == ["B-2"]
    assert parts_of(web, verdict="NO_VERDICT") == ["C-4"]
    assert parts_of(web, operator="grace") == ["A-1"]
    assert parts_of(web, said="open") == ["C-4", "b-3", "B-2"]
    assert parts_of(web, said="judged", camera="top") == ["A-1"]
    assert parts_of(web, camera="side") == ["B-2"]
    choices = web.get("/api/choices").json()
    assert (choices["operators"], choices["cameras"]) == (["ada", "grace"], ["side", "top"])
    assert parts_of(web, model=choices["models"][0]["digest"]) == ["C-4"]
    assert parts_of(web, since="9000000000000") == []
    found = web.get("/api/history", params={"part": "A-1"}).json()["frames"][0]["detections"][0]
    assert (found["said"]["disputed"], found["said"]["operators"]) == (True, ["ada", "grace"])
    assert web.get("/api/history", params={"part": "B-2"}).json()["frames"][0]["frame_id"] == two


def test_history_goes_on_where_the_last_answer_ended(line: Line, web: httpx.Client) -> None:
    from edge.panel.pages import history

    for number in range(history.MOST + 3):
        line.part([], part_id=f"p{number}", keep=number % 8 != 7)
    kept = [f"p{number}" for number in range(history.MOST + 3) if number % 8 != 7]
    first = web.get("/api/history").json()
    assert first["next"] == ""
    assert [frame["part_id"] for frame in first["frames"]] == kept[::-1]
    for number in range(20):
        line.part([], part_id=f"q{number}")
    first = web.get("/api/history").json()
    rest = web.get("/api/history", params={"before": first["next"]}).json()
    both = [frame["part_id"] for frame in first["frames"] + rest["frames"]]
    assert both == [f"q{number}" for number in range(20)][::-1] + kept[::-1]
    assert (len(first["frames"]), rest["next"]) == (history.MOST, "")


@pytest.mark.parametrize(
    "query",
    [
        "color=red",
        "since=x",
        "since=9999999999999",
        "verdict=GOOD",
        "said=maybe",
        "before=x",
        f"before={2**63}/x",
        "part=" + "x" * 300,
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(web: httpx.Client, query: str) -> None:
    told = web.get(f"/api/history?{query}")
    assert (told.status_code, told.json()["reason"]) == (400, "REQUEST_MALFORMED")


def test_figures_count_every_part_and_what_was_settled(line: Line, web: httpx.Client) -> None:
    frames = [line.part([DENT]) for _ in range(4)]
    for _ in range(6):
        line.part([], keep=False)
    for frame, gesture in zip(frames, (Gesture.CONFIRM, Gesture.REJECT, Gesture.UNSURE), strict=False):
        say(line, frame, 0, gesture)
    line.stop()
    line.start()  # counts survive
    with httpx.Client(base_url=line.url, timeout=20) as again:
        shown = again.get("/api/figures?hours=8").json()
        precision = shown["precision"]["all"]
        assert (precision["right"], precision["wrong"], precision["open"], precision["share"]) == (1, 1, 1, 0.5)
        assert [item["name"] for item in shown["models"]] == ["tiles 1.0.0"]
        spans = shown["counts"]["spans"]
        assert (sum(span["parts"] for span in spans), sum(span["rejected"] for span in spans)) == (10, 4)
        assert again.get("/api/figures?hours=7").status_code == 400


def test_the_station_says_what_its_log_and_disk_are_like(line: Line, web: httpx.Client) -> None:
    line.part([DENT])
    shown = web.get("/api/station").json()
    assert (shown["log"]["state"], shown["log"]["kept"], shown["log"]["lost"]) == ("ok", 1, 0)
    assert shown["log"]["free_bytes"] > 0
    assert shown["status"]["station"] == "line-1"


def test_an_operator_sees_his_own_figures_and_an_engineer_everybodys(tmp_path: Path) -> None:
    with Line(tmp_path, login=True) as line:
        line.accounts.put("ada", Role.OPERATOR, "4071")
        line.accounts.put("eve", Role.ENGINEER, "a long password")
        frame = line.part([DENT])
        say(line, frame, 0, Gesture.CONFIRM, "ada")
        say(line, frame, 0, Gesture.CONFIRM, "grace")
        seen = {}
        for name, secret in (("ada", "4071"), ("eve", "a long password")):
            with httpx.Client(base_url=line.url, headers={"origin": line.url}, timeout=20) as web:
                web.post("/api/login", json={"name": name, "secret": secret})
                seen[name] = [person["name"] for person in web.get("/api/people").json()["people"]]
                anew = web.post("/api/drift/reference", json={"camera": "top"}).json()
                assert anew.get("reason", "") == ("ROLE" if name == "ada" else ""), anew
        assert seen == {"ada": ["ada"], "eve": ["ada", "grace"]}


def test_a_darker_light_is_said_until_an_engineer_calls_it_right(
    line: Line, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.panel import eventually, picture

    monkeypatch.setattr(chronicle, "LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(watch, "REFERENCE_LOOKS", 4)
    monkeypatch.setattr(watch, "LATEST_LOOKS", 3)

    def state(seen: int) -> dict[str, Any]:
        eventually(lambda: sum(web.get("/api/status").json()["counts"].values()) >= seen)
        (camera,) = web.get("/api/drift").json()["cameras"]
        return dict(camera)

    def along(count: int, factor: float) -> None:
        for _ in range(count):
            line.part([], pixels=(picture(3) * factor).astype("uint8"), keep=False)
            eventually(lambda: sum(web.get("/api/status").json()["counts"].values()) >= line.number)

    along(3, 1.0)
    assert state(3)["state"] == "learning"
    along(4, 1.0)
    findings = {item["kind"] for item in state(7)["findings"]}
    assert "darker" not in findings
    along(3, 0.6)
    assert "darker" in {item["kind"] for item in state(10)["findings"]}
    told = web.post("/api/drift/reference", json={"camera": "top"})
    assert told.json()["cameras"][0]["state"] == "learning"
    assert web.post("/api/drift/reference", json={"camera": "cellar"}).json()["reason"] == "CAMERA_UNKNOWN"


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


PAGES = ("history", "figures", "drift", "people", "station")


def axe(tab: Tab) -> list[str]:
    """What axe finds, in its own words; the whole of WCAG 2.2 A and AA and its best practices."""
    from axe_playwright_python.sync_playwright import Axe

    # Run outside our policy on purpose: the tool is a script of the test's, not of the page.
    found = Axe().run(tab.page, options={"resultTypes": ["violations"]})
    return [
        f"{item['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for item in found.response["violations"]
        for node in item["nodes"]
    ]


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_on_any_page(line: Line, browser: Any, scheme: str) -> None:
    frame = line.part([DENT, SCRATCH])
    say(line, frame, 0, Gesture.CONFIRM)
    say(line, frame, 0, Gesture.REJECT, "grace")
    context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB", color_scheme=scheme, bypass_csp=True)
    tab = Tab(context, line.url).open()
    tab.ready("scratch")
    # It does find what is wrong: an unreadable word and a button without a name.
    tab.page.evaluate(
        "const bad = document.createElement('button'); bad.id = 'bad'; document.querySelector('.ask').append(bad);"
        "const pale = document.createElement('p'); pale.id = 'pale'; pale.textContent = 'pale';"
        "pale.style.color = '#777'; pale.style.background = '#888'; document.querySelector('.ask').append(pale);"
    )
    assert {fault.partition(":")[0] for fault in axe(tab)} >= {"button-name", "color-contrast"}
    tab.page.evaluate("document.getElementById('bad').remove(); document.getElementById('pale').remove()")
    found = {"judge": axe(tab)}
    tab.page.keyboard.press("B")
    for number, name in enumerate(PAGES):
        tab.page.keyboard.press(str(number + 1))
        tab.page.wait_for_selector(f"#book-page .page-{name}")
        found[name] = axe(tab)
    tab.page.keyboard.press("Escape")
    tab.page.tap("#menu")
    found["settings"] = axe(tab)
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("7")
    tab.page.wait_for_selector("#editor-view.has-picture")
    found["editor"] = axe(tab)
    context.close()
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_pages_are_turned_by_key_and_a_frame_of_the_history_can_be_spoken_of(tmp_path: Path, browser: Any) -> None:
    with Line(tmp_path, classes=("dent", HOSTILE)) as line:
        frame = line.part([(HOSTILE, 0.9, (40.0, 30.0, 80.0, 60.0))], part_id=HOSTILE)
        say(line, frame, 0, Gesture.CONFIRM, HOSTILE)
        context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
        tab = Tab(context, line.url).open()
        tab.page.keyboard.press("B")
        for number, name in enumerate(PAGES):
            tab.page.keyboard.press(str(number + 1))
            tab.page.wait_for_selector(f"#book-page .page-{name}")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= TABLET["width"]
        tab.page.keyboard.press("1")
        tab.page.wait_for_selector(f'.card[data-frame="{frame}"]')
        assert HOSTILE in tab.page.inner_text(f'.card[data-frame="{frame}"]')
        tab.page.tap(f'.card[data-frame="{frame}"]')
        tab.page.wait_for_selector("#editor[open]")
        tab.page.keyboard.press("H")
        tab.until(lambda: [event.gesture for event in line.said()] == [Gesture.CONFIRM, Gesture.FRAME_HEALTHY])
        assert tab.page.evaluate("window.owned") is None
        tab.check()
        context.close()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_an_admin_makes_an_account_on_the_page(tmp_path: Path, browser: Any) -> None:
    with Line(tmp_path, login=True) as line:
        line.accounts.put("root", Role.ADMIN, "a long password")
        context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
        tab = Tab(context, line.url)
        tab.page.goto(line.url)
        tab.page.fill("#login-name", "root")
        tab.page.fill("#login-secret", "a long password")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector('#health-items [data-name="connection"].health-good')
        tab.page.keyboard.press("B")
        tab.page.keyboard.press("6")
        tab.page.fill('[name="account-name"]', HOSTILE)
        tab.page.fill('[name="account-secret"]', "4071")
        tab.page.get_by_role("button", name="Save the account").tap()
        tab.until(lambda: HOSTILE in line.accounts.all())
        tab.until(lambda: HOSTILE in tab.page.inner_text(".accounts"))
        tab.check()
        context.close()


def test_a_frame_that_is_gone_meanwhile_is_left_out(line: Line, web: httpx.Client) -> None:
    assert web.get("/api/history", params={"before": f"1/{new_frame_id()}"}).json() == {"frames": [], "next": ""}
