"""The page in a real browser, against a real panel with a real mentoring log: each test ends by reading the log."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import TABLET, Tab, chromium
from support.panel import Line

from lineside.records import Gesture
from lineside.v1 import inspection_pb2, model_pb2, swap_pb2

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

DENT = ("dent", 0.9, (40.0, 30.0, 80.0, 60.0))
SCRATCH = ("scratch", 0.7, (120.0, 90.0, 180.0, 110.0))
HOSTILE = '<img src=x onerror="window.owned=1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Line(tmp_path) as made:
        yield made


@pytest.fixture
def tab(browser: Any, line: Line) -> Iterator[Tab]:
    context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
    opened = Tab(context, line.url)
    yield opened
    opened.check()
    context.close()


def outbox(tab: Tab) -> list[dict[str, Any]]:
    """What the browser keeps of answers without an acknowledgement."""
    kept = tab.page.evaluate(
        "Object.entries(localStorage).filter(([k]) => k.startsWith('lineside.outbox.')).map(e => e[1])"
    )
    return [json.loads(text)["feedback"] for text in kept]


def test_confirm_by_touch_and_reject_by_key_and_the_next_one_comes_by_itself(line: Line, tab: Tab) -> None:
    first = line.part([SCRATCH])
    second = line.part([DENT])
    tab.open().ready("dent")
    tab.page.tap("[data-act=CONFIRM]")
    assert "Saved: Yes, a defect · dent" in tab.told("saved")
    tab.ready("scratch")
    tab.page.keyboard.press("2")
    tab.until(lambda: tab.page.inner_text("#question") == "All judged")
    one, two = line.said()
    assert (one.gesture, one.detection_id, one.operator) == (Gesture.CONFIRM, f"{second}/0", "operator")
    assert (two.gesture, two.detection_id, two.revision) == (Gesture.REJECT, f"{first}/0", 1)
    assert 0 < two.seconds < 60
    assert outbox(tab) == []


def test_a_model_on_probation_and_one_in_shadow_are_at_the_foot_of_the_page(line: Line, tab: Tab) -> None:
    trial = swap_pb2.ProbationReport(frames=40, alarms=4, baseline_frames=1000, baseline_alarms=50)
    beside = swap_pb2.ShadowReport(frames=3, wanted=200, pass_to_reject=1, reject_to_pass=2)
    line.swaps = [
        model_pb2.ModelStatus(serving=True, probation=trial),
        model_pb2.ModelStatus(state=model_pb2.MODEL_STATE_SHADOW, shadow=beside),
    ]
    tab.open()
    tab.page.wait_for_selector('#health-items [data-name="probation"].health-good')
    assert tab.page.inner_text('#health-items [data-name="probation"] small') == "10 % rejected, before 5 %"
    assert "3/200 parts: 2 rejects fewer, 1 more" in tab.page.inner_text('#health-items [data-name="shadow"]')


def test_every_answer_has_its_key_and_its_gesture(line: Line, tab: Tab) -> None:
    frames = [line.part([DENT]) for _ in range(3)][::-1]
    tab.open()
    for key, frame in zip(("4", "Numpad5"), frames, strict=False):
        tab.ready("dent")
        tab.page.keyboard.press(key)
        tab.until(lambda frame=frame: [event for event in line.said() if event.frame_id == frame])
    tab.ready("dent")
    tab.page.keyboard.press("3")
    tab.page.wait_for_selector("#chooser[open]")
    tab.page.keyboard.press("2")  # the second of those it could be instead: scratch, stain
    tab.until(lambda: len(line.said()) == 3)
    assert [(event.gesture, event.class_name) for event in line.said()] == [
        (Gesture.POOR_BOX, None),
        (Gesture.UNSURE, None),
        (Gesture.WRONG_CLASS, "stain"),
    ]


def test_another_defect_than_all_known_ones_and_a_cancelled_choice(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open().ready("dent")
    tab.page.tap("[data-act=WRONG_CLASS]")
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_selector("#chooser", state="hidden")
    assert line.said() == []
    tab.page.tap("[data-act=WRONG_CLASS]")
    tab.page.tap("#chooser-list button:last-child")
    tab.told("saved")
    (event,) = line.said()
    assert (event.gesture, event.class_name) == (Gesture.WRONG_CLASS, None)


def test_undo_is_a_retraction_and_the_detection_is_asked_again(line: Line, tab: Tab) -> None:
    frame = line.part([DENT])
    tab.open().ready("dent")
    tab.page.keyboard.press("2")
    tab.told("saved")
    tab.page.reload()  # undo survives a reload of the page
    tab.page.wait_for_selector("[data-act=UNDO]:enabled")
    tab.page.tap("[data-act=UNDO]")
    assert "Taken back" in tab.told("saved")
    tab.ready("dent")
    tab.page.keyboard.press("1")
    tab.until(lambda: len(line.said()) == 3)
    assert [(event.gesture, event.revision) for event in line.said()] == [
        (Gesture.REJECT, 1),
        (Gesture.RETRACT, 2),
        (Gesture.CONFIRM, 3),
    ]
    with line.log.reader() as reader:
        record = reader.record(frame)
    assert record is not None
    (judgement,) = record.judgements
    assert judgement.gesture is Gesture.CONFIRM


def test_a_skipped_one_comes_back_after_the_others_and_says_nothing(line: Line, tab: Tab) -> None:
    line.part([SCRATCH])
    line.part([DENT])
    tab.open().ready("dent")
    tab.page.keyboard.press("6")
    tab.ready("scratch")
    tab.page.keyboard.press("6")
    tab.ready("dent")
    assert line.said() == []


def test_a_missed_defect_is_drawn_by_dragging_in_frame_pixels(line: Line, tab: Tab) -> None:
    frame = line.part([DENT])  # 320 x 240
    tab.open().ready("dent")
    tab.page.tap("[data-act=MISSED]")
    tab.page.wait_for_selector("#editor-view.has-picture")
    area = tab.page.locator("#editor-view").bounding_box()
    scale = min(area["width"] / 320, area["height"] / 240)
    left = area["x"] + (area["width"] - 320 * scale) / 2
    top = area["y"] + (area["height"] - 240 * scale) / 2
    assert tab.page.is_disabled("#editor-classes button >> nth=0")
    tab.page.mouse.move(left + 200 * scale, top + 150 * scale)
    tab.page.mouse.down()
    tab.page.mouse.move(left + 180 * scale, top + 140 * scale)
    tab.page.mouse.move(left + 160 * scale, top + 130 * scale)
    tab.page.mouse.up()
    tab.page.tap("#editor-classes button >> nth=1")
    tab.page.wait_for_selector('#editor-told[data-kind="saved"]')
    tab.page.keyboard.press("ArrowLeft")  # a second one, by keyboard alone
    tab.page.keyboard.press("1")
    tab.until(lambda: len(line.said()) == 2)
    first, second = line.said()
    assert (first.gesture, first.frame_id, first.detection_id, first.class_name, first.missed_index) == (
        Gesture.MISSED,
        frame,
        None,
        "scratch",
        1,
    )
    assert first.box == pytest.approx((160, 130, 200, 150), abs=1.0)
    assert (second.class_name, second.missed_index, second.revision) == ("dent", 2, 1)
    tab.page.keyboard.press("0")
    tab.until(lambda: len(line.said()) == 3)
    last = line.said()[-1]
    assert (last.gesture, last.missed_index, last.revision) == (Gesture.RETRACT, 2, 2)


def test_a_word_about_the_whole_frame_takes_all_its_detections_off_the_queue(line: Line, tab: Tab) -> None:
    other = line.part([SCRATCH])
    frame = line.part([DENT, DENT])
    tab.open().ready("dent")
    tab.page.keyboard.press("8")
    tab.ready("scratch")
    tab.page.tap("[data-act=FRAME_COMPLETE]")
    tab.until(lambda: tab.page.inner_text("#question") == "All judged")
    assert [(event.gesture, event.frame_id, event.detection_id) for event in line.said()] == [
        (Gesture.FRAME_HEALTHY, frame, None),
        (Gesture.FRAME_COMPLETE, other, None),
    ]
    tab.page.keyboard.press("0")
    tab.ready("scratch")
    assert line.said()[-1].gesture is Gesture.RETRACT


def test_a_part_on_the_live_view_is_kept_when_somebody_wants_to_speak_of_it(line: Line, tab: Tab) -> None:
    tab.open()
    frame = line.part([], keep=False)
    tab.page.wait_for_selector("#teach:enabled")
    tab.page.keyboard.press("F")
    tab.page.wait_for_selector("#editor[open]")
    tab.page.keyboard.press("H")
    tab.page.wait_for_selector('#editor-told[data-kind="saved"]')
    (event,) = line.said()
    assert (event.gesture, event.frame_id) == (Gesture.FRAME_HEALTHY, frame)
    with line.log.reader() as reader:
        record = reader.record(frame)
    assert record is not None
    assert record.frame.selected_because == "operator"


def test_nothing_is_called_saved_before_its_acknowledgement_and_a_reload_loses_nothing(line: Line, tab: Tab) -> None:
    frame = line.part([DENT])
    line.part([SCRATCH])
    tab.open().ready("scratch")
    tab.page.route("**/api/feedback", lambda route: route.abort())
    tab.page.keyboard.press("2")
    tab.ready("dent")  # the next one comes, but nothing says that the last one was saved
    assert "1 not saved yet" in tab.told("waiting")
    (waiting,) = outbox(tab)
    assert (waiting["gesture"], line.said()) == ("GESTURE_REJECT", [])
    tab.page.unroute("**/api/feedback")
    tab.page.reload()
    tab.until(lambda: len(line.said()) == 1)
    assert line.said()[0].key == waiting["key"]
    tab.until(lambda: outbox(tab) == [])
    tab.ready("dent")  # and what was answered is not asked again
    tab.page.keyboard.press("1")
    tab.until(lambda: len(line.said()) == 2)
    assert line.said()[1].frame_id == frame


def test_an_acknowledgement_that_got_lost_on_the_way_counts_once(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open().ready("dent")
    lost: list[int] = []

    def swallow(route: Any) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    tab.page.route("**/api/feedback", swallow)
    tab.page.keyboard.press("1")
    tab.until(lambda: lost == [200] and outbox(tab) == [])
    assert len(line.said()) == 1


def test_answers_given_offline_arrive_in_order_when_the_network_is_back(line: Line, tab: Tab) -> None:
    frames = [line.part([DENT]) for _ in range(3)][::-1]
    tab.open().ready("dent")
    tab.until(lambda: len({url for url in tab.asked if "box=" in url}) == 3)  # the next ones' pictures are here
    tab.page.context.set_offline(True)
    tab.page.wait_for_selector('#verdict[data-verdict="LOST"]')
    tab.page.keyboard.press("1")
    assert "1 not saved yet" in tab.told("waiting")
    tab.ready("dent")
    tab.page.keyboard.press("2")
    tab.until(lambda: "2 not saved yet" in tab.page.inner_text("#told"))
    assert line.said() == []
    tab.page.context.set_offline(False)
    tab.until(lambda: len(line.said()) == 2)
    assert [(event.gesture, event.frame_id) for event in line.said()] == [
        (Gesture.CONFIRM, frames[0]),
        (Gesture.REJECT, frames[1]),
    ]
    assert tab.told("saved") == "All saved"
    tab.page.wait_for_selector('#health-items [data-name="connection"].health-good')


def test_a_restart_of_the_station_is_survived_without_a_reload(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open().ready("dent")
    line.stop()
    tab.page.wait_for_selector('#verdict[data-verdict="LOST"]')
    tab.page.keyboard.press("2")
    tab.told("waiting")
    line.start()
    tab.until(lambda: [event.gesture for event in line.said()] == [Gesture.REJECT])
    tab.page.wait_for_selector('#health-items [data-name="connection"].health-good')
    tab.until(lambda: outbox(tab) == [])


def test_a_picture_that_could_not_be_had_comes_by_itself_and_cannot_be_judged_before(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.page.route("**/picture?*", lambda route: route.abort())
    tab.open()
    tab.until(lambda: tab.page.inner_text("#judge-note") == "The picture cannot be loaded")
    tab.page.keyboard.press("1")
    assert tab.page.is_disabled("[data-act=CONFIRM]")
    assert tab.page.is_enabled("[data-act=SKIP]")
    tab.page.unroute("**/picture?*")
    line.part([])  # anything that happens makes the page look again
    tab.ready("dent")
    assert line.said() == []


def test_a_final_refusal_is_shown_plainly_and_not_sent_for_ever(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open().ready("dent")
    body = json.dumps({"key": "", "code": 5, "reason": "DETECTION_UNKNOWN", "message": "it is not in the log"})
    tab.page.route(
        "**/api/feedback", lambda route: route.fulfill(status=404, content_type="application/json", body=body)
    )
    tab.page.keyboard.press("1")
    assert "it is not in the log" in tab.told("refused")
    assert outbox(tab) == []


def test_a_full_disk_is_said_and_the_answer_kept(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open().ready("dent")
    body = json.dumps({"key": "", "code": 8, "reason": "STORAGE_FULL", "message": "the disk is full"})
    tab.page.route(
        "**/api/feedback", lambda route: route.fulfill(status=503, content_type="application/json", body=body)
    )
    tab.page.keyboard.press("1")
    assert "Disk full" in tab.told("waiting")
    assert len(outbox(tab)) == 1
    tab.page.unroute("**/api/feedback")
    tab.until(lambda: len(line.said()) == 1)


def test_five_tabs_all_live_and_an_answer_in_one_is_gone_from_the_others(line: Line, tab: Tab) -> None:
    line.part([SCRATCH])
    line.part([DENT])
    tabs = [tab.open()] + [Tab(tab.page.context, line.url).open() for _ in range(5)]
    for each in tabs:
        each.ready("dent")
    tabs[2].page.keyboard.press("1")
    for each in tabs:
        each.ready("scratch")
        each.check()
    assert len(line.said()) == 1


def test_names_from_outside_are_text_and_never_markup(tmp_path: Path, browser: Any) -> None:
    with Line(tmp_path, classes=("dent", HOSTILE)) as line:
        context = browser.new_context(viewport=TABLET, locale="en-GB")
        tab = Tab(context, line.url)
        line.part([(HOSTILE, 0.9, (40.0, 30.0, 80.0, 60.0))], part_id=HOSTILE)
        tab.open().ready("img src=x")
        tab.page.wait_for_selector("#live-view.has-picture")
        tab.page.keyboard.press("3")
        tab.page.wait_for_selector("#chooser[open]")
        tab.page.keyboard.press("Escape")
        line.camera("top", inspection_pb2.CAMERA_STATE_LOST, HOSTILE)
        tab.page.wait_for_selector(".health-bad[data-name=camera]")
        assert tab.page.evaluate("window.owned") is None
        assert tab.page.locator("img").count() == 0
        assert tab.page.inner_text("#part-id") == HOSTILE
        tab.check()
        context.close()


def test_the_verdict_and_the_model_follow_the_line_by_themselves(line: Line, tab: Tab) -> None:
    tab.open()
    assert tab.page.inner_text("#verdict-word") == "WAITING"
    line.part([])
    tab.page.wait_for_selector('#verdict[data-verdict="PASS"]')
    line.part([DENT])
    tab.page.wait_for_selector('#verdict[data-verdict="REJECT"]')
    assert tab.page.locator("#live-view .mark").count() == 1
    line.new_model(name="better")
    tab.until(lambda: tab.page.inner_text("[data-name=model]").startswith("better 2.0.0"))
    line.camera("top", inspection_pb2.CAMERA_STATE_LOST, "unplugged")
    tab.page.wait_for_selector('#verdict[data-verdict="NO_VERDICT"]')


def test_the_operators_name_and_the_language_are_chosen_once_per_device(line: Line, tab: Tab) -> None:
    line.part([DENT])
    tab.open()
    tab.page.tap("#menu")
    tab.page.fill("#operator-name", "佐藤")
    tab.page.tap("#operator-form button")
    tab.page.tap("#menu")
    tab.page.get_by_role("button", name="Deutsch").tap()
    tab.page.keyboard.press("Escape")
    tab.page.reload()
    tab.ready("Ist das „dent“?")
    tab.page.keyboard.press("1")
    tab.told("saved")
    assert line.said()[0].operator == "佐藤"


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (390, 844)])
@pytest.mark.parametrize("language", ["en", "de", "fr", "ja"])
def test_every_target_is_big_enough_for_a_glove_and_nothing_is_cut_off(
    line: Line, browser: Any, size: tuple[int, int], language: str
) -> None:
    line.part([("scratch", 0.9, (40.0, 30.0, 80.0, 60.0))])
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, has_touch=True, locale=language)
    tab = Tab(context, line.url).open()
    tab.ready("scratch")
    small = tab.page.evaluate(
        "[...document.querySelectorAll('button')].filter(b => b.checkVisibility()).filter(b => {"
        " const r = b.getBoundingClientRect(); return r.width < 64 || r.height < 64 || r.left < 0 || r.top < 0"
        " || r.right > innerWidth || r.bottom > innerHeight || b.scrollWidth > b.clientWidth + 1; })"
        ".map(b => [b.id || b.dataset.act, b.getBoundingClientRect().width, b.getBoundingClientRect().height])"
    )
    assert small == []
    assert tab.page.evaluate("document.getElementById('judge-view').clientHeight") >= 190
    assert tab.page.evaluate("document.getElementById('verdict-word').scrollWidth") <= size[0]
    tab.check()
    context.close()


def test_screen_and_frame_pixels_are_each_others_inverse_and_regions_stay_inside(line: Line, tab: Tab) -> None:
    tab.open()
    generator = random.Random(7)
    cases = []
    for _ in range(300):
        width, height = generator.randint(16, 4000), generator.randint(16, 4000)
        x1, y1 = generator.uniform(0, width - 2), generator.uniform(0, height - 2)
        box = [x1, y1, generator.uniform(x1 + 1, width), generator.uniform(y1 + 1, height)]
        cases.append(
            [box, width, height, generator.uniform(1, 9), generator.uniform(0.3, 3), generator.randint(40, 2000)]
        )
    found = tab.page.evaluate(
        """async cases => {
            const { around, contain, toFrame } = await import("/static/geometry.js");
            return cases.map(([box, width, height, factor, aspect, side]) => {
                const region = around(box, width, height, factor, aspect);
                const fit = contain(region, side * aspect, side);
                const x = (box[0] - region[0]) * fit.scale + fit.left;
                const y = (box[1] - region[1]) * fit.scale + fit.top;
                return [region, toFrame(region, fit, x, y)];
            });
        }""",
        cases,
    )
    for (box, width, height, *_), (region, point) in zip(cases, found, strict=True):
        assert 0 <= region[0] < region[2] <= width
        assert 0 <= region[1] < region[3] <= height
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        assert region[0] <= middle[0] <= region[2]
        assert region[1] <= middle[1] <= region[3]
        if region[0] <= box[0] <= region[2] and region[1] <= box[1] <= region[3]:
            assert point == pytest.approx(box[:2], abs=1e-6)
