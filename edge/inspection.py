"""What the station decided about one frame, as values. The wire sees them through `Inspection.to_message`."""

from __future__ import annotations

import dataclasses
import enum

from lineside.areas import Indices
from lineside.records import BoxTuple
from lineside.v1 import inspection_pb2, mentoring_pb2, model_pb2


class Verdict(enum.Enum):
    """PASS, REJECT, or NO_VERDICT with a reason. Every fault is NO_VERDICT, never PASS."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REJECT = "REJECT"
    NO_VERDICT = "NO_VERDICT"


_VERDICT_NUMBERS = {
    Verdict.PASS: inspection_pb2.VERDICT_PASS,
    Verdict.REJECT: inspection_pb2.VERDICT_REJECT,
    Verdict.NO_VERDICT: inspection_pb2.VERDICT_NO_VERDICT,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model answered."""

    name: str
    version: str
    digest: str
    """"sha256:" and 64 hexadecimal digits, of the package."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """One thing a person can judge."""

    detection_id: str
    class_index: int
    class_name: str
    score: float
    """0 to 1."""
    box: BoxTuple
    """Frame pixels."""
    areas: Indices
    """(n,) int32, ascending, at least one: areas of the model's head that raised it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time went, microseconds; a stage that did not happen is 0."""

    queue_us: int = 0
    decode_us: int = 0
    preprocess_us: int = 0
    inference_us: int = 0
    decide_us: int = 0
    total_us: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """The answer for one frame; fields as in InspectionResult of inspection.proto."""

    frame_id: str
    station: str
    camera: str
    part_id: str
    verdict: Verdict
    verdict_reason: str
    """NO_VERDICT: a reason of the contract; REJECT: the rule that fired; PASS: empty."""
    detections: tuple[Detection, ...]
    """Highest score first."""
    model: ModelIdentity | None
    """None: no model ran."""
    timings: Timings
    width: int
    height: int
    captured_unix_ns: int
    captured_monotonic_ns: int
    camera_sequence: int
    mentored: bool
    """Chosen for mentoring and taken by the log."""
    recipe: str = ""
    """Name of the recipe that decided; empty: NO_VERDICT."""

    def __post_init__(self) -> None:
        if self.verdict is not Verdict.PASS and not self.verdict_reason:
            raise ValueError(f"verdict_reason is empty, expected a reason for {self.verdict.value}")
        if self.detections and self.model is None:
            raise ValueError(f"{len(self.detections)} detections without a model")

    def to_message(self) -> inspection_pb2.InspectionResult:
        """The same as a message of the contract."""
        return inspection_pb2.InspectionResult(
            frame_id=self.frame_id,
            station=self.station,
            camera=self.camera,
            part_id=self.part_id,
            verdict=_VERDICT_NUMBERS[self.verdict],
            verdict_reason=self.verdict_reason,
            detections=[_detection_message(detection) for detection in self.detections],
            model=None
            if self.model is None
            else model_pb2.ModelRef(name=self.model.name, version=self.model.version, digest=self.model.digest),
            timings=inspection_pb2.StageTimings(
                queue_us=self.timings.queue_us,
                decode_us=self.timings.decode_us,
                preprocess_us=self.timings.preprocess_us,
                inference_us=self.timings.inference_us,
                decide_us=self.timings.decide_us,
                total_us=self.timings.total_us,
            ),
            width=self.width,
            height=self.height,
            captured_unix_ns=self.captured_unix_ns,
            captured_monotonic_ns=self.captured_monotonic_ns,
            camera_sequence=self.camera_sequence,
            mentored=self.mentored,
            recipe=self.recipe,
        )


def _detection_message(detection: Detection) -> inspection_pb2.Detection:
    x1, y1, x2, y2 = detection.box
    return inspection_pb2.Detection(
        detection_id=detection.detection_id,
        class_index=detection.class_index,
        class_name=detection.class_name,
        score=detection.score,
        box=mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2),
        areas=detection.areas.tolist(),
    )
