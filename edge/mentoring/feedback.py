"""What an operator said, checked: from the wire's Feedback to a FeedbackDraft. Pure.

Two steps, because the second needs the log: `parse_request` and `draft_of` know the message alone; `check_target`
compares it with the frame and the detection it speaks of. This file never touches a socket, a disk or a clock.
"""

from __future__ import annotations

import dataclasses
import math
import re

from google.protobuf.message import DecodeError

from edge.frame import LONGEST_PART_ID
from lineside.ids import frame_of, is_frame_id
from lineside.reasons import ContractError, Reason
from lineside.records import ABOUT_DETECTION, ABOUT_FRAME, BoxTuple, FeedbackEvent, Gesture
from lineside.v1 import mentoring_pb2

LONGEST_NAME = 64
"""Characters of an operator's or a class's name."""
LONGEST_SECONDS = 3600.0
BOX_TOLERANCE = 1.0
"""Frame pixels a drawn box may reach beyond the frame: screens round."""

_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")
_DETECTION_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_WITH_CLASS = frozenset({Gesture.WRONG_CLASS, Gesture.MISSED})
OF_A_PART = frozenset({Gesture.MISSED, Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE})
"""Gestures that may name a part in place of a frame."""
_WITH_INDEX = frozenset({Gesture.MISSED, Gesture.RETRACT})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackDraft:
    """One well-formed event that the log has not taken yet; fields as in Feedback of mentoring.proto."""

    key: str
    frame_id: str
    """Empty: of the newest frame of `part_id`; the log knows which that is."""
    detection_id: str | None
    """None: about the frame."""
    gesture: Gesture
    class_name: str | None
    box: BoxTuple | None
    """Frame pixels."""
    missed_index: int
    revision: int
    operator: str
    seconds: float
    client_unix_ns: int
    part_id: str = ""
    """In place of a frame id; empty where there is one."""

    @property
    def payload_sha256(self) -> str:
        """Digest of everything but the key: what has to be equal when a key comes again."""
        return self.event(0, 0).payload_sha256

    def event(self, log_sequence: int, received_unix_ns: int) -> FeedbackEvent:
        """The event it becomes in the log."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del content["part_id"]
        return FeedbackEvent(**content, log_sequence=log_sequence, received_unix_ns=received_unix_ns)


def message_of(event: FeedbackEvent) -> mentoring_pb2.Feedback:
    """A durable event as a message of the contract."""
    return mentoring_pb2.Feedback(
        key=event.key,
        frame_id=event.frame_id,
        detection_id=event.detection_id or "",
        gesture=mentoring_pb2.Gesture.ValueType(event.gesture.value),
        class_name=event.class_name or "",
        box=None
        if event.box is None
        else mentoring_pb2.Box(x1=event.box[0], y1=event.box[1], x2=event.box[2], y2=event.box[3]),
        revision=event.revision,
        operator=event.operator,
        seconds=event.seconds,
        client_unix_ns=event.client_unix_ns,
        missed_index=event.missed_index,
    )


def parse_request(data: bytes) -> mentoring_pb2.Feedback:
    """The Feedback inside a FeedbackRequest.

    Raises:
        ContractError: FEEDBACK_MALFORMED, the bytes are no FeedbackRequest.
    """
    try:
        return mentoring_pb2.FeedbackRequest.FromString(data).feedback
    except DecodeError:
        raise _malformed(f"{len(data)} bytes that are no lineside.v1.FeedbackRequest") from None


def draft_of(feedback: mentoring_pb2.Feedback, *, operator: str | None = None) -> FeedbackDraft:
    """Checks everything that can be known from the message alone.

    Args:
        feedback: as it came.
        operator: the authenticated identity of the connection, which takes the place of the message's; None: the
            connection has none.

    Raises:
        ContractError: FEEDBACK_MALFORMED with the field, the value seen and what would be right.
    """
    if not _KEY.fullmatch(feedback.key):
        raise _malformed(f"key is {feedback.key[:80]!r}, expected 8 to 64 letters, digits or '-'; a UUID is right")
    if feedback.part_id:
        _check_part(feedback)
    elif not is_frame_id(feedback.frame_id):
        raise _malformed(f"frame_id is {feedback.frame_id[:80]!r}, expected a UUIDv7 in lower case")
    gesture = _gesture(feedback)
    detection_id = _detection_id(feedback, gesture)
    if not 1 <= feedback.revision <= 0xFFFFFFFF:
        raise _malformed("revision is 0, expected 1 for the first word on a target")
    name = feedback.operator if operator is None else operator
    if not _is_name(name):
        raise _malformed(f"operator is {name[:80]!r}, expected 1 to {LONGEST_NAME} printable characters")
    # `not (a <= x <= b)` also refuses NaN.
    if not 0 <= feedback.seconds <= LONGEST_SECONDS:
        raise _malformed(f"seconds is {feedback.seconds}, expected 0 to {LONGEST_SECONDS:.0f}")
    if feedback.client_unix_ns < 0:
        raise _malformed(f"client_unix_ns is {feedback.client_unix_ns}, expected 0 (not known) or above")
    return FeedbackDraft(
        key=feedback.key,
        frame_id=feedback.frame_id,
        detection_id=detection_id,
        gesture=gesture,
        class_name=_class_name(feedback, gesture),
        box=_box(feedback, gesture),
        missed_index=_missed_index(feedback, gesture, detection_id),
        revision=feedback.revision,
        operator=name,
        seconds=feedback.seconds,
        client_unix_ns=feedback.client_unix_ns,
        part_id=feedback.part_id,
    )


def check_target(draft: FeedbackDraft, *, width: int, height: int, predicted: str | None) -> None:
    """Compares an event with what it speaks of.

    Args:
        draft: well formed.
        width: of the frame, pixels.
        height: of the frame, pixels.
        predicted: class name of the detection; None: it is about the frame.

    Raises:
        ContractError: FEEDBACK_MALFORMED.
    """
    if draft.gesture is Gesture.WRONG_CLASS and draft.class_name == predicted:
        raise _malformed(f"the detection is of class {predicted!r} already; confirm it, or name another class")
    if draft.box is not None:
        x1, y1, x2, y2 = draft.box
        inside = min(x1, y1) >= -BOX_TOLERANCE and x2 <= width + BOX_TOLERANCE and y2 <= height + BOX_TOLERANCE
        if not inside:
            raise _malformed(f"box is ({x1:g}, {y1:g}, {x2:g}, {y2:g}), expected frame pixels inside {width}x{height}")


def _check_part(feedback: mentoring_pb2.Feedback) -> None:
    if feedback.frame_id:
        raise _malformed(f"frame_id and part_id {feedback.part_id[:80]!r} are both given; one of them names the frame")
    if len(feedback.part_id) > LONGEST_PART_ID:
        raise _malformed(f"part_id has {len(feedback.part_id)} characters, expected at most {LONGEST_PART_ID}")
    if _gesture(feedback) not in OF_A_PART:
        names = ", ".join(sorted(item.name for item in OF_A_PART))
        raise _malformed(f"{_gesture(feedback).name} needs a frame_id; by part_id there are {names}")


def _gesture(feedback: mentoring_pb2.Feedback) -> Gesture:
    try:
        return Gesture(feedback.gesture)
    except ValueError:
        known = ", ".join(f"{item.value} {item.name}" for item in Gesture)
        raise _malformed(f"gesture is {int(feedback.gesture)}, expected one of {known}") from None


def _detection_id(feedback: mentoring_pb2.Feedback, gesture: Gesture) -> str | None:
    given = feedback.detection_id
    if not given:
        if gesture not in ABOUT_FRAME:
            raise _malformed(f"{gesture.name} is about a detection, and detection_id is empty")
        return None
    if gesture not in ABOUT_DETECTION:
        raise _malformed(f"{gesture.name} is about a frame, and detection_id is {given[:80]!r}; leave it empty")
    if frame_of(given) != feedback.frame_id or not _DETECTION_NUMBER.fullmatch(given.partition("/")[2]):
        raise _malformed(f"detection_id is {given[:80]!r}, expected {feedback.frame_id}/ and a number")
    return given


def _class_name(feedback: mentoring_pb2.Feedback, gesture: Gesture) -> str | None:
    name = feedback.class_name
    if not name:
        if gesture is Gesture.MISSED:
            raise _malformed("MISSED needs a class_name")
        return None
    if gesture not in _WITH_CLASS:
        raise _malformed(f"{gesture.name} has no class_name, and it is {name[:80]!r}; leave it empty")
    if not _is_name(name):
        raise _malformed(f"class_name is {name[:80]!r}, expected 1 to {LONGEST_NAME} printable characters")
    return name


def _box(feedback: mentoring_pb2.Feedback, gesture: Gesture) -> BoxTuple | None:
    if not feedback.HasField("box"):
        if gesture is Gesture.MISSED:
            raise _malformed("MISSED needs a box in frame pixels")
        return None
    if gesture is not Gesture.MISSED:
        raise _malformed(f"{gesture.name} has no box; only MISSED has one")
    box = (feedback.box.x1, feedback.box.y1, feedback.box.x2, feedback.box.y2)
    if not all(math.isfinite(value) for value in box) or not (box[0] < box[2] and box[1] < box[3]):
        shown = ", ".join(f"{value:g}" for value in box)
        raise _malformed(f"box is ({shown}), expected finite numbers with x1 < x2 and y1 < y2")
    return box


def _missed_index(feedback: mentoring_pb2.Feedback, gesture: Gesture, detection_id: str | None) -> int:
    index = feedback.missed_index
    if gesture is Gesture.MISSED and index == 0 and not feedback.part_id:
        raise _malformed("MISSED needs a missed_index, 1 upwards, that tells a frame's missed defects apart")
    if index and gesture not in _WITH_INDEX:
        raise _malformed(f"{gesture.name} has no missed_index, and it is {index}; leave it out")
    if index and detection_id is not None:
        raise _malformed(f"missed_index is {index} and detection_id is given; a target is one or the other")
    return index


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()


def _malformed(message: str) -> ContractError:
    return ContractError(Reason.FEEDBACK_MALFORMED, message)
