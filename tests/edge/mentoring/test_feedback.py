"""Parsing feedback: what is well formed passes unchanged, everything else says what was wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mentoring import feedback

from edge.mentoring.feedback import check_target, draft_of, message_of, parse_request
from lineside.ids import new_frame_id
from lineside.reasons import ContractError, Reason
from lineside.records import Gesture
from lineside.v1 import mentoring_pb2

FRAME = new_frame_id(1_700_000_000_000_000_000, bytes(10))
Message = mentoring_pb2.Feedback


@pytest.mark.parametrize(
    "message",
    [
        feedback(FRAME, 0, Gesture.CONFIRM),
        feedback(FRAME, 12, Gesture.REJECT, seconds=0),
        feedback(FRAME, 0, Gesture.WRONG_CLASS),
        feedback(FRAME, 0, Gesture.WRONG_CLASS, class_name="scratch"),
        feedback(FRAME, 0, Gesture.UNSURE, revision=2**32 - 1),
        feedback(FRAME, 0, Gesture.POOR_BOX),
        feedback(FRAME, None, Gesture.MISSED, class_name="dent", box=(1, 2, 3, 4.5), missed_index=2),
        feedback(FRAME, None, Gesture.FRAME_HEALTHY, seconds=3600),
        feedback(FRAME, None, Gesture.FRAME_COMPLETE, operator="Ada L."),
        feedback(FRAME, 0, Gesture.RETRACT),
        feedback(FRAME, None, Gesture.RETRACT),
        feedback(FRAME, None, Gesture.RETRACT, missed_index=1),
    ],
    ids=lambda message: f"{Gesture(message.gesture).name}-{message.detection_id[-2:]}-{message.missed_index}",
)
def test_every_gesture_passes_and_comes_back_as_the_same_message(message: Message) -> None:
    data = mentoring_pb2.FeedbackRequest(feedback=message).SerializeToString()
    draft = draft_of(parse_request(data))
    assert draft.gesture is Gesture(message.gesture)
    assert message_of(draft.event(7, 8)) == message
    assert draft.event(7, 8).log_sequence == 7


def changed(**fields: object) -> Callable[[Message], None]:
    def change(message: Message) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return change


def with_box(message: Message) -> None:
    message.box.CopyFrom(mentoring_pb2.Box(x1=0, y1=0, x2=1, y2=1))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (changed(key=""), "key is ''"),
        (changed(key="short"), "8 to 64"),
        (changed(key="a" * 65), "8 to 64"),
        (changed(key="with space"), "letters, digits"),
        (changed(frame_id="frame-1"), "UUIDv7"),
        (changed(frame_id=FRAME.upper()), "lower case"),
        (changed(detection_id=""), "CONFIRM is about a detection"),
        (changed(detection_id=f"{new_frame_id()}/0"), f"expected {FRAME}/"),
        (changed(detection_id=FRAME), "and a number"),
        (changed(detection_id=f"{FRAME}/01"), "and a number"),
        (changed(detection_id=f"{FRAME}/-1"), "and a number"),
        (changed(gesture=0), "gesture is 0, expected one of 1 CONFIRM"),
        (changed(gesture=99), "gesture is 99"),
        (changed(gesture=Gesture.FRAME_HEALTHY), "FRAME_HEALTHY is about a frame"),
        (changed(gesture=Gesture.MISSED), "MISSED is about a frame"),
        (changed(class_name="dent"), "CONFIRM has no class_name"),
        (changed(gesture=Gesture.WRONG_CLASS, class_name="x" * 65), "1 to 64 printable"),
        (changed(gesture=Gesture.WRONG_CLASS, class_name="a\nb"), "printable"),
        (with_box, "CONFIRM has no box"),
        (changed(missed_index=1), "no missed_index"),
        (changed(gesture=Gesture.RETRACT, missed_index=1), "one or the other"),
        (changed(revision=0), "revision is 0"),
        (changed(operator=""), "operator is ''"),
        (changed(operator="x" * 65), "operator is"),
        (changed(operator=" ada"), "operator is ' ada'"),
        (changed(operator="a\x00da"), "printable"),
        (changed(seconds=-1), "seconds is -1"),
        (changed(seconds=3601), "0 to 3600"),
        (changed(seconds=math.nan), "seconds is nan"),
        (changed(seconds=math.inf), "seconds is inf"),
        (changed(client_unix_ns=-1), "client_unix_ns is -1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: Callable[[Message], None], complaint: str) -> None:
    message = feedback(FRAME, 0, Gesture.CONFIRM)
    change(message)
    with pytest.raises(ContractError, match=complaint) as caught:
        draft_of(message)
    assert caught.value.reason is Reason.FEEDBACK_MALFORMED
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"box": None}, "MISSED needs a box"),
        ({"class_name": ""}, "MISSED needs a class_name"),
        ({"missed_index": 0}, "MISSED needs a missed_index"),
        ({"box": (3, 0, 3, 1)}, "x1 < x2"),
        ({"box": (0, 4, 3, 1)}, "y1 < y2"),
        ({"box": (0, 0, math.nan, 1)}, "finite"),
        ({"box": (0, 0, math.inf, 1)}, "finite"),
    ],
)
def test_a_missed_defect_needs_a_place_and_a_class(fields: dict[str, object], complaint: str) -> None:
    values: dict[str, object] = {"class_name": "dent", "box": (0, 0, 2, 2), "missed_index": 1} | fields
    with pytest.raises(ContractError, match=complaint):
        draft_of(feedback(FRAME, None, Gesture.MISSED, **values))  # type: ignore[arg-type]


def reason_for(data: bytes) -> Reason | None:
    """Why the bytes are refused; None: they are a draft."""
    try:
        draft_of(parse_request(data))
    except ContractError as refusal:
        return refusal.reason
    return None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_draft_or_a_clear_refusal(data: bytes) -> None:
    assert reason_for(data) in (None, Reason.FEEDBACK_MALFORMED)


@given(cut=st.integers(0, 500), at=st.integers(0, 500), value=st.integers(0, 255))
def test_a_damaged_request_gives_a_draft_or_a_clear_refusal(cut: int, at: int, value: int) -> None:
    message = feedback(FRAME, None, Gesture.MISSED, class_name="dent", box=(1, 2, 3, 4), missed_index=1)
    data = bytearray(mentoring_pb2.FeedbackRequest(feedback=message).SerializeToString())
    data[at % len(data)] = value
    assert reason_for(bytes(data[: max(1, cut)])) in (None, Reason.FEEDBACK_MALFORMED)


def test_the_authenticated_identity_takes_the_place_of_the_message() -> None:
    assert draft_of(feedback(FRAME, operator="mallory"), operator="ada").operator == "ada"
    assert draft_of(feedback(FRAME, operator=""), operator="ada").operator == "ada"


def test_every_field_but_the_key_is_part_of_the_payload() -> None:
    draft = draft_of(feedback(FRAME, None, Gesture.MISSED, class_name="dent", box=(1, 2, 3, 4), missed_index=1))
    assert dataclasses.replace(draft, key="another-key").payload_sha256 == draft.payload_sha256
    others = {
        "frame_id": new_frame_id(),
        "detection_id": f"{FRAME}/1",
        "gesture": Gesture.RETRACT,
        "class_name": "scratch",
        "box": (1.0, 2.0, 3.0, 4.25),
        "missed_index": 2,
        "revision": 2,
        "operator": "bob",
        "seconds": 1.25,
        "client_unix_ns": 5,
    }
    assert set(others) == {field.name for field in dataclasses.fields(draft)} - {"key", "part_id"}
    for name, value in others.items():
        assert dataclasses.replace(draft, **{name: value}).payload_sha256 != draft.payload_sha256, name


def test_a_target_is_compared_with_what_the_station_saw() -> None:
    wrong = draft_of(feedback(FRAME, 0, Gesture.WRONG_CLASS, class_name="dent"))
    check_target(wrong, width=8, height=8, predicted="scratch")
    with pytest.raises(ContractError, match="already; confirm it") as caught:
        check_target(wrong, width=8, height=8, predicted="dent")
    assert caught.value.reason is Reason.FEEDBACK_MALFORMED
    unsaid = draft_of(feedback(FRAME, 0, Gesture.WRONG_CLASS))
    check_target(unsaid, width=8, height=8, predicted="dent")


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        ((0, 0, 8, 6), True),
        ((-1, -1, 9, 7), True),
        ((0, 0, 9.5, 6), False),
        ((0, 0, 8, 7.5), False),
        ((-1.5, 0, 8, 6), False),
        ((0, -1.5, 8, 6), False),
    ],
)
def test_a_drawn_box_lies_in_the_frame_but_for_rounding(box: tuple[float, float, float, float], fits: bool) -> None:
    draft = draft_of(feedback(FRAME, None, Gesture.MISSED, class_name="dent", box=box, missed_index=1))
    if fits:
        check_target(draft, width=8, height=6, predicted=None)
    else:
        with pytest.raises(ContractError, match="inside 8x6"):
            check_target(draft, width=8, height=6, predicted=None)
