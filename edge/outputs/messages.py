"""The MQTT topics and payloads. Pure. docs/line_outputs.md has them for whoever writes the other side.

What is retained never holds a verdict: a subscriber that comes late must not take the last part's for its own.
"""

from __future__ import annotations

import dataclasses
import json

from edge.outputs.handshake import LAST_SEQUENCE, Acknowledge, Trigger
from edge.outputs.signals import Signals, Status

ONLINE = b"online"
OFFLINE = b"offline"
MOST_BYTES = 4096
"""Of a payload from outside."""
_LONGEST_PART_ID = 256


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Of one station."""

    root: str
    station: str

    @property
    def status(self) -> str:
        """ "online" or "offline", retained; the last will."""
        return f"{self.root}/{self.station}/status"

    def of(self, camera: str, what: str) -> str:
        """`what`: state, result, trigger or ack."""
        return f"{self.root}/{self.station}/{camera}/{what}"


class BadMessageError(ValueError):
    """A payload from outside is not what it should be; says what would be right."""


def state_payload(signals: Signals) -> bytes:
    """The retained state of a camera's handshake."""
    return _json(
        {
            "boot": signals.boot,
            "online": Status.ONLINE in signals.status,
            "ready": signals.ready,
            "busy": signals.busy,
            "result_valid": signals.result_valid,
            "following": Status.FOLLOWING in signals.status,
            "sequence_gap": Status.SEQUENCE_GAP in signals.status,
            "next_sequence": signals.next_sequence,
            "accepted_sequence": signals.accepted_sequence,
            "result_sequence": signals.result_sequence,
            "why_not_ready": signals.why_not_ready,
            "counts": dataclasses.asdict(signals.counts),
        }
    )


def result_payload(signals: Signals) -> bytes:
    """A result; only while one is shown."""
    if not signals.result_valid:
        raise ValueError("there is no result to tell")
    return _json(
        {
            "boot": signals.boot,
            "sequence": signals.result_sequence,
            "verdict": signals.verdict.name,
            "reason": signals.reason,
            "reason_code": signals.reason_code,
            "part_id": signals.part_id,
            "detections": signals.detections,
            "sequence_gap": Status.SEQUENCE_GAP in signals.status,
            "frame_id": signals.frame_id,
            "model_digest": signals.model_digest,
            "judged_unix_ns": signals.judged_unix_ns,
        }
    )


def read_trigger(payload: bytes) -> Trigger:
    """A trigger from {"sequence": 1, "part_id": "A-7"}.

    Raises:
        BadMessageError: it is none.
    """
    values = _read(payload)
    part_id = values.get("part_id", "")
    if not isinstance(part_id, str) or len(part_id) > _LONGEST_PART_ID:
        raise BadMessageError(f"part_id must be text of at most {_LONGEST_PART_ID} characters")
    return Trigger(sequence=_sequence(values), part_id=part_id)


def read_ack(payload: bytes) -> Acknowledge:
    """An acknowledgement from {"sequence": 1}.

    Raises:
        BadMessageError: it is none.
    """
    return Acknowledge(sequence=_sequence(_read(payload)))


def _read(payload: bytes) -> dict[str, object]:
    if len(payload) > MOST_BYTES:
        raise BadMessageError(f"{len(payload)} bytes, expected at most {MOST_BYTES}")
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadMessageError('no JSON, expected an object such as {"sequence": 1}') from None
    if not isinstance(values, dict):
        raise BadMessageError('expected an object such as {"sequence": 1}')
    return values


def _sequence(values: dict[str, object]) -> int:
    sequence = values.get("sequence")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence <= LAST_SEQUENCE:
        raise BadMessageError(f"sequence must be a whole number of 0 to {LAST_SEQUENCE}")
    return sequence


def _json(values: dict[str, object]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
