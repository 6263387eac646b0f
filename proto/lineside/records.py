"""What the mentoring log holds, as values: frames, detections, feedback events, and what they amount to."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json

from lineside.areas import Indices


class Gesture(enum.IntEnum):
    """What an operator can say; numbers as in mentoring.proto."""

    CONFIRM = 1
    REJECT = 2
    WRONG_CLASS = 3
    UNSURE = 4
    POOR_BOX = 5
    MISSED = 6
    FRAME_HEALTHY = 7
    FRAME_COMPLETE = 8
    RETRACT = 9


ABOUT_DETECTION = frozenset(
    {Gesture.CONFIRM, Gesture.REJECT, Gesture.WRONG_CLASS, Gesture.UNSURE, Gesture.POOR_BOX, Gesture.RETRACT}
)
"""Gestures that need a detection id."""
ABOUT_FRAME = frozenset({Gesture.MISSED, Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE, Gesture.RETRACT})
"""Gestures that must not have one."""

BoxTuple = tuple[float, float, float, float]
"""x1, y1, x2, y2 in frame pixels."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEvent:
    """One event, as durable in the log. Times in nanoseconds since the epoch, `seconds` in seconds."""

    log_sequence: int
    key: str
    frame_id: str
    detection_id: str | None
    gesture: Gesture
    class_name: str | None
    box: BoxTuple | None
    missed_index: int
    revision: int
    operator: str
    seconds: float
    client_unix_ns: int
    received_unix_ns: int

    @property
    def payload_sha256(self) -> str:
        """Digest of all that the client said, but the key: what has to be equal when a key comes again. The log keeps
        it beside the event, so that a reader can tell an event that was changed since."""
        # Not dataclasses.asdict, which copies every value: four times the time, for each answer of a busy station.
        content = {name: getattr(self, name) for name in _SAID}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_SAID = tuple(
    field.name
    for field in dataclasses.fields(FeedbackEvent)
    if field.name not in ("key", "log_sequence", "received_unix_ns")
)


class Outcome(enum.Enum):
    """What a target's events amount to."""

    SAID = "said"
    """One answer, or several that agree."""
    DISPUTED = "disputed"
    """Operators contradict each other: kept, out of training by default."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The fold of all events about one target: a detection, the frame, or one missed defect.

    `gesture` and `class_name` are those that count, or of the latest event where disputed. `events` are the
    counting events' log sequences, ascending.
    """

    outcome: Outcome
    detection_id: str | None
    gesture: Gesture
    class_name: str | None
    box: BoxTuple | None
    operators: tuple[str, ...]
    seconds: float
    events: tuple[int, ...]


WITH_FRAME = "frame"
"""`asked_because` of a detection that is asked about because its frame was kept."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedDetection:
    """A detection as the station raised it, or a question. `box` in frame pixels; `areas` ascending int32."""

    detection_id: str
    class_index: int
    class_name: str
    score: float
    box: BoxTuple
    areas: Indices
    raised: bool = True
    """False: a question. It lay below its threshold, took no part in the verdict and was told to nobody but those who
    judge."""
    asked_because: str = WITH_FRAME
    """Name of the policy by which it is put to operators; empty: it is not."""
    asked_probability: float = 1.0
    """With which it was to be put to them once its frame was kept, above 0 and at most 1."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFrame:
    """A frame as the station kept it. The image lies in the log's folder under its SHA-256."""

    frame_id: str
    boot_id: str
    station: str
    camera: str
    part_id: str
    camera_sequence: int
    width: int
    height: int
    captured_unix_ns: int
    captured_monotonic_ns: int
    image_sha256: str
    image_suffix: str
    image_bytes: int
    model_digest: str
    """Empty: no model ran."""
    verdict: str
    """PASS, REJECT or NO_VERDICT."""
    verdict_reason: str
    selected_because: str
    """Name of the selection policy."""
    selection_probability: float
    """With which this frame was to be kept, above 0 and at most 1."""
    recorded_unix_ns: int
    asked_because: str = ""
    """Why somebody is asked to look over the whole frame ("audit"); empty: nobody is."""
    asked_probability: float = 1.0
    """With which a frame of this line is asked about so, kept or not, above 0 and at most 1."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MentoringRecord:
    """One frame with its detections and the present fold of what was said about it."""

    frame: RecordedFrame
    detections: tuple[RecordedDetection, ...]
    """Those that were raised and questions; what is asked of the model alone looks at `raised`."""
    judgements: tuple[Judgement, ...]

    @property
    def raised(self) -> tuple[RecordedDetection, ...]:
        """Without the questions: what the model said, and the verdict came from."""
        return tuple(detection for detection in self.detections if detection.raised)
