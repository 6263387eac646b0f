"""The panel's HTTP rules, against a real panel with a real mentoring log on a real port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from support.panel import Line, eventually
from websockets.sync.client import ClientConnection, connect

from edge.panel.server import PanelServer
from lineside.ids import new_frame_id
from lineside.records import Gesture

DENT = ("dent", 0.9, (40.0, 30.0, 80.0, 60.0))
UNKNOWN = new_frame_id(1, bytes(10))
SCRATCH = ("scratch", 0.7, (120.0, 90.0, 180.0, 110.0))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Line(tmp_path) as made:
        yield made


@pytest.fixture
def web(line: Line) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=line.url, headers={"origin": line.url}, timeout=20) as client:
        yield client


def answer(frame_id: str, number: int | None = 0, gesture: str = "GESTURE_CONFIRM", **more: Any) -> dict[str, Any]:
    return {
        "key": f"key-{gesture.replace('_', '-')}-{number}",
        "frame_id": frame_id,
        "gesture": gesture,
        "revision": 1,
        "operator": "ada",
        "seconds": 1.25,
        "client_unix_ns": "1700000000000000000",
        **({} if number is None else {"detection_id": f"{frame_id}/{number}"}),
        **more,
    }


def live(line: Line, **named: Any) -> ClientConnection:
    return connect(f"ws://{line.address}/live", **({"origin": line.url} | named))  # type: ignore[arg-type]


def test_an_answer_is_acknowledged_when_it_is_in_the_log(line: Line, web: httpx.Client) -> None:
    frame = line.part([DENT])
    told = web.post("/api/feedback", json=answer(frame))
    assert (told.status_code, told.json()["code"], told.json()["log_sequence"]) == (200, 0, 1)
    (event,) = line.said()
    assert (event.gesture, event.detection_id, event.operator) == (Gesture.CONFIRM, f"{frame}/0", "ada")
    assert (event.revision, event.seconds, event.client_unix_ns) == (1, 1.25, 1_700_000_000_000_000_000)


def test_the_same_key_is_acknowledged_again_and_stored_once(line: Line, web: httpx.Client) -> None:
    message = answer(line.part([DENT]))
    first, second = web.post("/api/feedback", json=message).json(), web.post("/api/feedback", json=message).json()
    assert (first["log_sequence"], first["duplicate"]) == (1, False)
    assert (second["log_sequence"], second["duplicate"]) == (1, True)
    changed = web.post("/api/feedback", json={**message, "seconds": 9})
    assert (changed.status_code, changed.json()["reason"]) == (409, "KEY_REUSED")
    assert len(line.said()) == 1


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"frame_id": UNKNOWN, "detection_id": ""}, 400, "FEEDBACK_MALFORMED"),
        ({"key": "short"}, 400, "FEEDBACK_MALFORMED"),
        ({"operator": "", "gesture": "GESTURE_SING"}, 400, "FEEDBACK_MALFORMED"),
        ({"revision": 0}, 400, "FEEDBACK_MALFORMED"),
        ({"gesture": "GESTURE_MISSED"}, 400, "FEEDBACK_MALFORMED"),
        (
            {"frame_id": new_frame_id(1, bytes(10)), "detection_id": f"{new_frame_id(1, bytes(10))}/0"},
            404,
            "DETECTION_UNKNOWN",
        ),
    ],
)
def test_what_the_log_would_not_take_is_refused_in_its_words(
    line: Line, web: httpx.Client, change: dict[str, Any], status: int, reason: str
) -> None:
    told = web.post("/api/feedback", json={**answer(line.part([DENT])), **change})
    assert (told.status_code, told.json()["reason"]) == (status, reason)
    assert told.json()["code"] != 0
    assert line.said() == []


def test_only_the_stations_operators_may_judge_where_there_is_a_list(tmp_path: Path) -> None:
    with Line(tmp_path, operators=("ada", "grace")) as line, httpx.Client(base_url=line.url) as web:
        frame = line.part([DENT])
        headers = {"origin": line.url}
        refused = web.post("/api/feedback", json=answer(frame, operator="mallory"), headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE")
        assert web.post("/api/feedback", json=answer(frame), headers=headers).status_code == 200
        assert web.get("/api/setup").json()["operators"] == ["ada", "grace"]


def test_a_write_that_is_not_from_our_page_changes_nothing(line: Line) -> None:
    message = answer(line.part([DENT]))
    with httpx.Client(base_url=line.url) as web:
        for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert web.post("/api/feedback", json=message, headers=headers).status_code == 403
        rebound = web.get("/api/queue", headers={"host": "evil.example"})
        assert rebound.status_code == 403
        assert "allowed_hosts" in rebound.text
    assert line.said() == []


def test_a_form_cannot_write_and_a_flood_is_cut_off(line: Line, web: httpx.Client) -> None:
    message = answer(line.part([DENT]))
    form = web.post("/api/feedback", content=json.dumps(message), headers={"content-type": "text/plain"})
    assert (form.status_code, form.json()["reason"]) == (400, "REQUEST_MALFORMED")
    flood = web.post("/api/feedback", content=b" " * 20_000, headers={"content-type": "application/json"})
    assert (flood.status_code, flood.json()["reason"]) == (413, "MSG_TOO_LARGE")
    assert line.said() == []


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/status", "/api/frames/nothing", "/nowhere", "/static/../app.py"]
)
def test_every_answer_has_the_security_headers(web: httpx.Client, path: str) -> None:
    told = web.get(path)
    policy = told.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["x-frame-options"] == "DENY"
    assert told.headers["referrer-policy"] == "no-referrer"
    assert told.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in told.headers
    assert "cache-control" in told.headers


def test_the_queue_holds_what_nobody_has_answered_newest_first(line: Line, web: httpx.Client) -> None:
    old, new = line.part([DENT, SCRATCH]), line.part([SCRATCH])
    line.part([])
    queue = web.get("/api/queue").json()
    assert [item["detection_id"] for item in queue["items"]] == [f"{new}/0", f"{old}/0", f"{old}/1"]
    assert queue["waiting"] == 3
    (model,) = queue["models"].values()
    assert model["classes"] == ["dent", "scratch", "stain"]
    web.post("/api/feedback", json=answer(new))
    assert [item["detection_id"] for item in web.get("/api/queue").json()["items"]] == [f"{old}/0", f"{old}/1"]
    web.post("/api/feedback", json=answer(old, None, "GESTURE_FRAME_COMPLETE"))
    assert web.get("/api/queue").json()["items"] == []
    web.post("/api/feedback", json=answer(old, None, "GESTURE_RETRACT", revision=2))
    back = web.get("/api/queue?limit=1").json()
    assert (back["items"][0]["detection_id"], back["waiting"]) == (f"{old}/0", 2)
    assert back["items"][0]["frame_revisions"] == {"ada": 2}


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1"])
def test_a_limit_that_makes_no_sense_is_refused(web: httpx.Client, limit: str) -> None:
    assert web.get("/api/queue", params={"limit": limit}).json()["reason"] == "REQUEST_MALFORMED"


def test_a_picture_is_the_frame_or_the_part_asked_for(line: Line, web: httpx.Client) -> None:
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[50:100, 100:200] = (250, 20, 20)
    frame = line.part([DENT], pixels=pixels)
    whole = web.get(f"/api/frames/{frame}/picture", params={"side": 150})
    assert whole.headers["content-type"] == "image/jpeg"
    assert "immutable" in whole.headers["cache-control"]
    assert cv2.imdecode(np.frombuffer(whole.content, np.uint8), 1).shape == (100, 150, 3)
    close = web.get(f"/api/frames/{frame}/picture", params={"box": "100,50,200,100"})
    shown = cv2.cvtColor(cv2.imdecode(np.frombuffer(close.content, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert shown.shape == (50, 100, 3)
    assert np.abs(shown[20:30, 40:60].mean((0, 1)) - (250, 20, 20)).max() < 6
    assert web.get(f"/api/frames/{new_frame_id()}/picture").json()["reason"] == "DETECTION_UNKNOWN"
    assert web.get(f"/api/frames/{frame}/picture", params={"box": "900,900,950,950"}).status_code == 400


def test_a_frame_on_the_screen_can_be_kept_although_no_policy_chose_it(line: Line, web: httpx.Client) -> None:
    with live(line) as page:
        frame = line.part([], keep=False)
        received(page, lambda message: isinstance(message, bytes) and frame.encode() in message)
    assert web.get(f"/api/frames/{frame}").json()["reason"] == "DETECTION_UNKNOWN"
    kept = web.post(f"/api/frames/{frame}/keep", json={"operator": "ada"})
    assert (kept.status_code, kept.json()["frame"]["because"]) == (200, "operator")
    box = {"x1": 10, "y1": 10, "x2": 30, "y2": 40}
    missed = answer(frame, None, "GESTURE_MISSED", class_name="dent", box=box, missed_index=1)
    assert web.post("/api/feedback", json=missed).status_code == 200
    (said,) = web.get(f"/api/frames/{frame}").json()["events"]
    assert (said["gesture"], said["box"], said["missed_index"]) == ("GESTURE_MISSED", [10, 10, 30, 40], 1)
    assert web.post(f"/api/frames/{new_frame_id()}/keep", json={}).json()["reason"] == "DETECTION_UNKNOWN"


def received(page: ClientConnection, wanted: Any, seconds: float = 15) -> Any:
    while not wanted(message := page.recv(timeout=seconds)):
        pass
    return message


def status_where(page: ClientConnection, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    return dict(json.loads(received(page, lambda text: isinstance(text, str) and wanted(json.loads(text)))))


def header(message: bytes) -> dict[str, Any]:
    return dict(json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")]))


def is_picture(message: object) -> bool:
    return isinstance(message, bytes)


def test_a_picture_waits_until_the_last_one_was_shown(line: Line) -> None:
    with live(line) as page:
        first = line.part([DENT])
        message = received(page, is_picture)
        found = header(message)
        assert (found["frame_id"], found["verdict"], found["detections"][0]["class_name"]) == (first, "REJECT", "dent")
        jpeg = message[4 + int.from_bytes(message[:4], "big") :]
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 0).shape == (240, 320)
        last = [line.part([]) for _ in range(5)][-1]
        # Not one of the five comes before the first was shown; then the newest, not the next.
        status = received(page, lambda text: isinstance(text, bytes) or json.loads(text)["counts"]["PASS"] == 5)
        assert isinstance(status, str)
        page.send(json.dumps({"shown": first}))
        assert header(received(page, is_picture))["frame_id"] == last


def test_a_part_without_a_picture_shows_its_verdict_without_one(line: Line) -> None:
    from lineside.v1 import inspection_pb2

    with live(line) as page:
        result = inspection_pb2.InspectionResult(
            frame_id=new_frame_id(),
            camera="top",
            verdict=inspection_pb2.VERDICT_NO_VERDICT,
            verdict_reason="CAMERA_LOST",
        )
        line.bus.publish(inspection_pb2.StationEvent(inspection=result))
        message = received(page, is_picture)
        assert (header(message)["verdict"], header(message)["verdict_reason"]) == ("NO_VERDICT", "CAMERA_LOST")
        assert len(message) == 4 + int.from_bytes(message[:4], "big")


def test_a_page_can_look_at_one_camera(line: Line) -> None:
    with live(line) as page:
        page.send(json.dumps({"camera": "side"}))
        line.part([], camera="top")
        wanted = line.part([DENT], camera="side")
        line.part([], camera="top")
        while (found := header(received(page, is_picture)))["camera"] != "side":
            page.send(json.dumps({"shown": found["frame_id"]}))  # sent before the choice was heard
        assert found["frame_id"] == wanted


@pytest.mark.parametrize("message", ["", "7", "{}", "[1]", '{"shown": ' + "9" * 2000 + "}", "[" * 500])
def test_a_page_that_talks_nonsense_is_cut_off_and_the_others_are_not(line: Line, message: str) -> None:
    with live(line) as good, live(line) as bad:
        bad.send(message)
        with pytest.raises(Exception, match="1008"):
            received(bad, lambda _: False)
        line.part([])
        assert header(received(good, is_picture))["verdict"] == "PASS"


def test_a_page_of_another_site_gets_no_pictures(line: Line) -> None:
    for named in ({"origin": "http://evil.example"}, {"origin": None}):
        with pytest.raises(Exception, match="403"), live(line, **named):
            pass


def test_more_pages_than_the_settings_allow_are_told_so(tmp_path: Path) -> None:
    with Line(tmp_path, pages=1) as line, live(line) as first:
        received(first, lambda message: isinstance(message, str))
        with live(line) as second, pytest.raises(Exception, match="1013"):
            second.recv(timeout=15)


def test_a_model_swap_and_a_lost_camera_show_in_the_status_by_themselves(line: Line) -> None:
    from lineside.v1 import inspection_pb2

    with live(line) as page:
        before = status_where(page, lambda status: status["model"])["model"]["digest"]
        line.new_model(name="better")
        status = status_where(page, lambda status: status["model"]["name"] == "better")
        assert status["model"]["digest"] != before
        line.camera("top", inspection_pb2.CAMERA_STATE_LOST, "unplugged")
        status = status_where(page, lambda status: status["cameras"])
        assert (status["cameras"][0]["state"], status["cameras"][0]["message"]) == ("lost", "unplugged")


def test_stopping_ends_the_pages_and_every_thread(tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with Line(tmp_path) as line, live(line) as page:
        line.stop()
        with pytest.raises(Exception, match=r"10(01|12)"):
            received(page, lambda _: False)
    mine = ("panel-events", "mentoring-log", "test-panel")
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name in mine and t.name not in before])


def test_a_taken_address_is_one_clear_error(line: Line) -> None:
    import asyncio
    import dataclasses

    async def second() -> None:
        parts = dataclasses.replace(
            line.parts, settings=line.parts.settings.model_copy(update={"listen": line.address})
        )
        async with PanelServer(parts):
            pass

    with pytest.raises(OSError, match=r"\[panel\] listen: .* is another station running"):
        asyncio.run(second())
