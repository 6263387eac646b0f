"""The page's models: a real manager behind a real panel, and in a browser a button that has to be held."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import packages
from support.browser import TABLET, Tab, chromium
from support.panel import Line
from support.pushes import ACTOR, Told, manager, push

from edge.models.manager import ModelManager
from edge.panel.http import texts
from edge.panel.models import models_json
from lineside.package import Package
from lineside.reasons import ContractError
from lineside.v1 import model_pb2, swap_pb2


class SwappingLine(Line):
    """A line whose models a real manager holds, so that the page tells of who really serves."""

    def __init__(self, folder: Path, models: ModelManager, **panel: Any) -> None:
        super().__init__(folder, **panel)
        self.models = models
        self.slot = models.slot  # type: ignore[assignment]

    def new_model(self, *, name: str = "tiles") -> None:
        """Nothing: the manager sees to that."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    folder = tmp_path_factory.mktemp("packages")
    return (
        packages.make_anchor_package(folder / "one"),
        packages.make_anchor_package(folder / "two", version="1.1.0", bias=0.1),
    )


@pytest.fixture
def models(tmp_path: Path, made: tuple[Package, Package]) -> Iterator[ModelManager]:
    """The second serves on probation, the first is the way back."""
    with manager(tmp_path / "data", Told()) as started:
        for package in made:
            push(started, package.folder)
            started.activate(package.digest, ACTOR)
        yield started


@pytest.fixture
def line(tmp_path: Path, models: ModelManager) -> Iterator[Line]:
    with SwappingLine(tmp_path, models) as running:
        yield running


@pytest.fixture
def web(line: Line) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=line.url, headers={"origin": line.url}, timeout=20) as client:
        yield client


def test_a_rollback_over_http_is_the_operators_and_done_once(
    models: ModelManager, web: httpx.Client, made: tuple[Package, Package]
) -> None:
    one, two = made
    before = web.get("/api/models").json()
    assert (before["models"][0]["version"], before["way_back"]["version"]) == ("1.1.0", "1.0.0")
    assert (before["models"][0]["state"], before["may_roll_back"], before["frozen"]) == ("ACTIVE", True, "")
    body = {"operator": "ada", "digest": two.digest}
    after = web.post("/api/models/rollback", json=body)
    assert (after.status_code, after.json()["models"][0]["digest"], after.json()["way_back"]) == (200, one.digest, None)
    entry = list(models.audit())[-1]
    assert (entry.action, entry.outcome, entry.actor, entry.message) == (
        "rollback",
        "done",
        "ada (panel)",
        "at the panel",
    )
    # A finger that comes twice, or after the station's own rollback, does not go back two models.
    again = web.post("/api/models/rollback", json=body)
    assert (again.status_code, again.json()["models"][0]["digest"]) == (200, one.digest)
    assert [entry.action for entry in models.audit()].count("rollback") == 1
    # And where there is nothing to go back to, that is said.
    refused = web.post("/api/models/rollback", json={"operator": "ada", "digest": one.digest})
    assert (refused.status_code, refused.json()["reason"]) == (409, "PKG_STATE")


def test_whoever_may_not_is_refused_and_nothing_is_done(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    body = {"operator": "ada", "digest": made[1].digest}
    with SwappingLine(tmp_path, models, rollback=False) as line, httpx.Client(base_url=line.url, timeout=20) as web:
        refused = web.post("/api/models/rollback", json=body, headers={"origin": line.url})
        assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE")
        assert web.get("/api/models").json()["may_roll_back"] is False
        assert web.post("/api/models/rollback", json=body, headers={"origin": "http://evil.example"}).status_code == 403
        assert web.post("/api/models/rollback", json=body).status_code == 403
    with SwappingLine(tmp_path, models, operators=("grace",)) as line, httpx.Client(base_url=line.url) as web:
        refused = web.post("/api/models/rollback", json=body, headers={"origin": line.url})
        assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE")
    assert models.list()[0].model.digest == made[1].digest


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"digest": "x"}', b'{"digest": 3}', b'{"operator": 1, "digest": "x"}', b"[" * 5000]
)
def test_what_is_no_request_to_go_back_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError, match="REQUEST_MALFORMED"):
        texts(body, "operator", "digest")


def test_every_figure_of_a_candidate_is_shown() -> None:
    status = model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name="tiles", version="2.0.0", digest="sha256:x"),
        state=model_pb2.MODEL_STATE_SHADOW,
        replay=swap_pb2.ReplayReport(done=9, total=9, finished=True, escapes=1, defects=7),
        shadow=swap_pb2.ShadowReport(frames=3, wanted=200, pass_to_reject=1, reject_to_pass=2),
        changed_unix_ns=5_000_000,
    )

    class Two:
        way_back = "sha256:gone"
        frozen = "by ada"

        def list(self) -> list[model_pb2.ModelStatus]:
            return [status]

        def rollback(self, why: str, actor: str, *, only_from: str | None = None) -> model_pb2.ModelStatus:
            raise AssertionError("nobody asked")

        def activate(self, digest: str, actor: str) -> model_pb2.ModelStatus:
            raise AssertionError("nobody asked")

    shown = models_json(Two(), may_roll_back=True, may_activate=False)
    (model,) = shown["models"]
    assert (shown["way_back"], shown["frozen"]) == (None, "by ada")
    assert model["replay"] == {"done": 9, "total": 9, "finished": True, "escapes": 1, "defects": 7}
    assert model["shadow"] == {"frames": 3, "wanted": 200, "pass_to_reject": 1, "reject_to_pass": 2}
    assert (model["state"], model["since_unix_ms"], model["probation"]) == ("SHADOW", 5, None)


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, line: Line) -> Iterator[Tab]:
    context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
    opened = Tab(context, line.url)
    yield opened
    opened.check()
    context.close()


def hold(tab: Tab, seconds: float) -> None:
    box = tab.page.locator("#models-back").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.wait_for_timeout(seconds * 1000)
    tab.page.mouse.up()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_model_before_serves_within_a_second_of_a_button_that_was_held_and_not_of_one_that_was_touched(
    models: ModelManager, tab: Tab, made: tuple[Package, Package]
) -> None:
    one, two = made
    tab.open()
    tab.page.tap("#models-open")
    tab.page.wait_for_selector("#models-back:enabled")
    assert "tiles 1.1.0" in tab.page.inner_text("#models-now")
    assert "On probation" in tab.page.inner_text("#models-now")
    assert tab.page.inner_text("#models-back") == "Back to tiles 1.0.0"
    assert "Served before" in tab.page.inner_text("#models-others")
    # A touch, a click, and a hold that lets go too early do nothing.
    tab.page.tap("#models-back")
    tab.page.click("#models-back")
    hold(tab, 0.4)
    tab.page.focus("#models-back")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_timeout(900)
    assert models.list()[0].model.digest == two.digest
    assert tab.page.locator("#models-back.holding").count() == 0

    tab.page.keyboard.down("Enter")  # the keyboard's way to hold it
    tab.page.wait_for_selector("#models-back.holding")
    tab.until(lambda: tab.page.locator("#models-back.holding").count() == 0)
    began = time.monotonic()
    tab.until(lambda: "tiles 1.0.0 serves" in tab.page.inner_text("#models-told"))
    took = time.monotonic() - began
    tab.page.keyboard.up("Enter")
    assert models.list()[0].model.digest == one.digest
    assert took < 1.0
    assert tab.page.inner_text("#models-back") == "No earlier model"
    assert tab.page.is_disabled("#models-back")
    # The page itself tells the new model, by the station's own word.
    tab.until(lambda: tab.page.inner_text("[data-name=model]").startswith("tiles 1.0.0"))
    assert [entry.actor for entry in models.audit() if entry.action == "rollback"] == ["operator (panel)"]


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_a_mouse_holds_it_too_and_a_page_that_is_behind_does_not_go_back_twice(
    models: ModelManager, tab: Tab, made: tuple[Package, Package]
) -> None:
    tab.open()
    tab.page.keyboard.press("m")
    tab.page.wait_for_selector("#models-back:enabled")
    # Between the look and the hand somebody else has gone back, and the page has not heard of it.
    tab.page.route("**/api/models", lambda route: route.abort())
    models.rollback("somebody was quicker", ACTOR)
    hold(tab, 1.0)
    assert "tiles 1.0.0 serves" in tab.page.wait_for_selector('#models-told[data-kind="saved"]').inner_text()
    assert models.list()[0].model.digest == made[0].digest
    assert [entry.action for entry in models.audit()].count("rollback") == 1
    tab.page.unroute("**/api/models")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_the_models_fit_on_a_phone_and_their_targets_a_glove_in_every_language(line: Line, browser: Any) -> None:
    for language in ("en", "de", "fr", "ja"):
        context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, locale=language)
        tab = Tab(context, line.url).open()
        tab.page.tap("#models-open")
        tab.page.wait_for_selector("#models-back:enabled")
        wrong = tab.page.evaluate(
            "[...document.querySelectorAll('#models button')].filter(b => { const r = b.getBoundingClientRect();"
            " return r.height < 64 || r.left < 0 || r.right > innerWidth || b.scrollWidth > b.clientWidth + 1; })"
            ".map(b => b.id)"
        )
        assert (language, wrong) == (language, [])
        assert tab.page.evaluate("document.getElementById('models').scrollWidth <= innerWidth")
        tab.check()
        context.close()
