"""The panel's JSON: what the page gets and sends, out of the contract's values and messages. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from lineside.package import Package
from lineside.reasons import Code, ContractError, Reason
from lineside.records import BoxTuple, FeedbackEvent, RecordedDetection, RecordedFrame
from lineside.v1 import inspection_pb2, mentoring_pb2, model_pb2

Json = dict[str, Any]

LONGEST_BODY = 16 << 10
"""Bytes of a request."""

_VERDICTS = {
    inspection_pb2.VERDICT_PASS: "PASS",
    inspection_pb2.VERDICT_REJECT: "REJECT",
}
_HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.FAILED_PRECONDITION: 409,
    Code.RESOURCE_EXHAUSTED: 503,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


def http_status(reason: Reason) -> int:
    """The HTTP status that goes with a refusal; 500 where nothing fits better."""
    return _HTTP_STATUS.get(reason.code, 500)


def refusal_json(error: ContractError, key: str = "") -> Json:
    """A refusal as a FeedbackAck in JSON; other requests are refused in the same form, without a key."""
    return {"key": key, "code": int(error.reason.code), "reason": error.reason.value, "message": error.message}


def parse_feedback(body: bytes) -> mentoring_pb2.Feedback:
    """A Feedback in protobuf's JSON, with the names as in mentoring.proto.

    Raises:
        ContractError: FEEDBACK_MALFORMED, with what is wrong.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"it is a {type(document).__name__}, expected an object")
        return json_format.ParseDict(document, mentoring_pb2.Feedback())
    # ParseDict lets some TypeErrors through where a value has a wrong shape.
    except (ValueError, TypeError, RecursionError, json_format.ParseError) as error:
        raise ContractError(Reason.FEEDBACK_MALFORMED, f"no lineside.v1.Feedback in JSON: {str(error)[:200]}") from None


def parse_claim(body: bytes) -> str:
    """The operator's name in a request that says nothing else: {"operator": NAME}; "" where it is left out.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    name = document.get("operator", "") if isinstance(document, dict) else None
    if not isinstance(name, str):
        raise ContractError(Reason.REQUEST_MALFORMED, 'expected {"operator": NAME} in JSON')
    return name


def inspection_json(message: inspection_pb2.InspectionResult) -> Json:
    """What the live view shows of one decision."""
    return {
        "frame_id": message.frame_id,
        "camera": message.camera,
        "part_id": message.part_id,
        "verdict": verdict_word(message),
        "verdict_reason": message.verdict_reason,
        "width": message.width,
        "height": message.height,
        "captured_unix_ms": message.captured_unix_ns // 1_000_000,
        "total_us": message.timings.total_us,
        "detections": [
            {
                "detection_id": found.detection_id,
                "class_name": found.class_name,
                "score": round(found.score, 4),
                "box": [found.box.x1, found.box.y1, found.box.x2, found.box.y2],
            }
            for found in message.detections
        ],
    }


def verdict_word(message: inspection_pb2.InspectionResult) -> str:
    """PASS, REJECT or NO_VERDICT; what is not known is NO_VERDICT."""
    return _VERDICTS.get(message.verdict, "NO_VERDICT")


def frame_json(frame: RecordedFrame) -> Json:
    """A kept frame."""
    return {
        "frame_id": frame.frame_id,
        "camera": frame.camera,
        "part_id": frame.part_id,
        "width": frame.width,
        "height": frame.height,
        "captured_unix_ms": frame.captured_unix_ns // 1_000_000,
        "verdict": frame.verdict,
        "verdict_reason": frame.verdict_reason,
        "because": frame.selected_because,
        "probability": frame.selection_probability,
        "model": frame.model_digest,
    }


def detection_json(found: RecordedDetection) -> Json:
    """A detection of a kept frame; its areas are the station's business."""
    return {
        "detection_id": found.detection_id,
        "class_name": found.class_name,
        "score": round(found.score, 4),
        "box": _numbers(found.box),
    }


def event_json(event: FeedbackEvent) -> Json:
    """What somebody said."""
    return {
        "detection_id": event.detection_id or "",
        "gesture": f"GESTURE_{event.gesture.name}",
        "class_name": event.class_name or "",
        "box": None if event.box is None else _numbers(event.box),
        "missed_index": event.missed_index,
        "revision": event.revision,
        "operator": event.operator,
        "log_sequence": event.log_sequence,
    }


def model_json(package: Package) -> Json:
    """A model, with the classes one can choose from."""
    return {
        "name": package.manifest.name,
        "version": package.manifest.version,
        "digest": package.digest,
        "classes": list(package.class_names),
    }


def swap_json(statuses: Sequence[model_pb2.ModelStatus]) -> Json:
    """The serving model's probation and the candidate in shadow, each None where there is none."""
    shown: Json = {"probation": None, "shadow": None}
    for status in statuses:
        name = f"{status.model.name} {status.model.version}"
        if status.serving and status.HasField("probation"):
            trial = status.probation
            shown["probation"] = {
                "name": name,
                "frames": trial.frames,
                "alarms": trial.alarms,
                "errors": trial.errors,
                "baseline_frames": trial.baseline_frames,
                "baseline_alarms": trial.baseline_alarms,
            }
        if status.state == model_pb2.MODEL_STATE_SHADOW and status.HasField("shadow"):
            shadow = status.shadow
            shown["shadow"] = {
                "name": name,
                "frames": shadow.frames,
                "wanted": shadow.wanted,
                "dropped": shadow.dropped,
                "pass_to_reject": shadow.pass_to_reject,
                "reject_to_pass": shadow.reject_to_pass,
            }
    return shown


def _numbers(box: BoxTuple) -> list[float]:
    return [round(value, 2) for value in box]
