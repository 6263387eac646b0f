"""Settings, pictures, board and JSON of the panel: what needs no server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.panel.access.access import NOBODY, Access
from edge.panel.board import MOST_CAMERAS, RECENT, Board
from edge.panel.frames import Recent, View, cut, parse_view
from edge.panel.server import exposures
from edge.panel.settings import PanelSettings
from edge.panel.wire import http_status, parse_claim, parse_feedback, swap_json
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, mentoring_pb2, model_pb2, swap_pb2


@pytest.mark.parametrize("listen", ["8080", "host:", ":80", "host:http", "host:70000"])
def test_a_wrong_address_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"127\.0\.0\.1:8080"):
        PanelSettings(listen=listen)


@pytest.mark.parametrize(("listen", "address"), [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:0", ("::1", 0))])
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    assert PanelSettings(listen=listen).address == address


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="belong together"):
        PanelSettings.model_validate({"tls_certificate": "here.pem"})


def test_an_operators_name_that_no_log_would_take_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="operator's name"):
        PanelSettings(operators=("ada", " eve"))


def test_an_open_page_on_the_network_is_warned_of_and_one_on_loopback_is_not() -> None:
    assert exposures(PanelSettings(login=False), "127.0.0.1") == exposures(PanelSettings(), "::1") == []
    assert "judge under any name" in exposures(PanelSettings(login=False), "192.168.1.4")[0]
    assert "PINs travel openly" in exposures(PanelSettings(), "0.0.0.0")[0]
    secured = PanelSettings(tls_certificate=Path("a.pem"), tls_key=Path("a.key"))
    assert exposures(secured, "192.168.1.4") == []


def test_a_station_with_a_list_takes_nobody_else(tmp_path: Path) -> None:
    access = Access(PanelSettings(login=False, operator="line", operators=("ada", "grace")), tmp_path)
    assert [access.operator(NOBODY, name) for name in ("", "ada", "line")] == ["line", "ada", "line"]
    with pytest.raises(ContractError, match="ada, grace") as caught:
        access.operator(NOBODY, "mallory")
    assert caught.value.reason is Reason.ROLE
    assert Access(PanelSettings(login=False), tmp_path).operator(NOBODY, "mallory") == "mallory"


@settings(deadline=None)  # a busy machine is not a slow cut
@given(
    st.tuples(*[st.integers(-50, 150)] * 4).filter(lambda box: box[0] < box[2] and box[1] < box[3]),
    st.integers(16, 200),
)
def test_a_cut_is_the_frames_own_pixels_and_never_larger_than_asked(box: tuple[int, int, int, int], side: int) -> None:
    frame = np.arange(100 * 80, dtype=np.uint32).astype(np.uint8).reshape(80, 100)
    inside = frame[max(0, box[1]) : max(0, box[3]), max(0, box[0]) : max(0, box[2])]
    view = View(side=side, box=box)
    if inside.size == 0:
        with pytest.raises(ContractError, match="outside the frame"):
            cut(frame, view)
    elif max(inside.shape) <= side:
        assert np.array_equal(cut(frame, view), inside)
    else:
        assert max(cut(frame, view).shape) == side


@pytest.mark.parametrize(
    ("side", "box"), [("x", ""), ("8", ""), ("9999999", ""), ("", "1,2,3"), ("", "5,5,1,9"), ("", "a,b,c,d")]
)
def test_a_view_that_makes_no_sense_is_refused(side: str, box: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_view(side, box)
    assert caught.value.reason is Reason.REQUEST_MALFORMED


def test_the_recent_ones_are_few_and_small_and_the_newest_is_always_there() -> None:
    recent = Recent(2, most_bytes=10)
    for name, size in (("a", 4), ("b", 4), ("c", 4)):
        recent.put(name, name, size)
    assert [recent.get(name, str) for name in "abc"] == [None, "b", "c"]
    recent.put("d", "d", 100)
    assert [recent.get(name, str) for name in "bcd"] == [None, None, "d"]


def inspected(camera: str, verdict: inspection_pb2.Verdict.ValueType, sequence: int) -> inspection_pb2.StationEvent:
    result = inspection_pb2.InspectionResult(camera=camera, verdict=verdict, frame_id=f"frame-{sequence}")
    return inspection_pb2.StationEvent(sequence=sequence, inspection=result)


def test_the_board_counts_verdicts_and_an_unknown_one_is_no_verdict() -> None:
    board = Board()
    for sequence, verdict in enumerate(
        (
            inspection_pb2.VERDICT_PASS,
            inspection_pb2.VERDICT_REJECT,
            inspection_pb2.VERDICT_NO_VERDICT,
            inspection_pb2.VERDICT_UNSPECIFIED,
        )
    ):
        board.see(inspected("top", verdict, sequence))
    assert board.counts == {"PASS": 1, "REJECT": 1, "NO_VERDICT": 2}
    assert [item["verdict"] for item in board.to_json()["recent"]] == ["PASS", "REJECT", "NO_VERDICT", "NO_VERDICT"]


def test_the_board_remembers_few_whatever_comes() -> None:
    board = Board()
    for sequence in range(300):
        board.see(inspected(f"camera-{sequence}", inspection_pb2.VERDICT_PASS, sequence))
    document = board.to_json()
    assert (len(document["cameras"]), len(document["recent"])) == (MOST_CAMERAS, RECENT)
    latest, first = board.latest(), board.latest("camera-0")
    assert latest is not None
    assert (latest.frame_id, first) == ("frame-299", None)


def test_a_camera_tells_its_state_before_it_has_a_picture() -> None:
    board = Board()
    board.see(
        inspection_pb2.StationEvent(
            camera=inspection_pb2.CameraEvent(camera="top", state=inspection_pb2.CAMERA_STATE_LOST, message="unplugged")
        )
    )
    (line,) = board.to_json()["cameras"]
    assert (line["state"], line["message"], line["last"]) == ("lost", "unplugged", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"key": 7}',
        b'{"nothing": 1}',
        b'{"gesture": "GESTURE_SING"}',
        b'{"box": 3}',
        b"\xff",
        b"[" * 9000,
    ],
)
def test_what_is_no_feedback_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        parse_feedback(body)
    assert caught.value.reason is Reason.FEEDBACK_MALFORMED


def test_feedback_in_json_is_the_contracts_message() -> None:
    body = b'{"key": "abcdefgh", "gesture": "GESTURE_MISSED", "box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4.5},'
    body += b' "client_unix_ns": "1700000000000000000", "missed_index": 2, "revision": 1}'
    assert parse_feedback(body) == mentoring_pb2.Feedback(
        key="abcdefgh",
        gesture=mentoring_pb2.GESTURE_MISSED,
        box=mentoring_pb2.Box(x1=1, y1=2, x2=3, y2=4.5),
        client_unix_ns=1_700_000_000_000_000_000,
        missed_index=2,
        revision=1,
    )


@pytest.mark.parametrize("body", [b"", b"7", b'{"operator": 7}', b"\xff"])
def test_a_claim_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError, match="operator"):
        parse_claim(body)


def test_every_reason_has_an_http_status_that_is_an_error() -> None:
    assert {http_status(reason) for reason in Reason} <= {400, 401, 403, 404, 409, 500, 503, 504}


def test_a_probation_and_a_shadow_are_shown_with_what_was_counted() -> None:
    ref = model_pb2.ModelRef(name="tiles", version="1.1.0")
    trial = model_pb2.ModelStatus(
        model=ref,
        serving=True,
        probation=swap_pb2.ProbationReport(frames=40, alarms=4, errors=1, baseline_frames=1000, baseline_alarms=50),
    )
    beside = model_pb2.ModelStatus(
        model=ref,
        state=model_pb2.MODEL_STATE_SHADOW,
        shadow=swap_pb2.ShadowReport(frames=3, wanted=200, dropped=2, pass_to_reject=1, reject_to_pass=2),
    )
    given_up = model_pb2.ModelStatus(model=ref, state=model_pb2.MODEL_STATE_BUILT, shadow=beside.shadow)
    shown = swap_json([trial, beside, given_up])
    assert shown["probation"] == {
        "name": "tiles 1.1.0", "frames": 40, "alarms": 4, "errors": 1, "baseline_frames": 1000, "baseline_alarms": 50,
    }  # fmt: skip
    assert shown["shadow"] == {
        "name": "tiles 1.1.0", "frames": 3, "wanted": 200, "dropped": 2, "pass_to_reject": 1, "reject_to_pass": 2,
    }  # fmt: skip
    assert swap_json([given_up]) == {"probation": None, "shadow": None}
