"""The values everyone passes around refuse what they are not, by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.station import frame

from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from lineside.v1 import inspection_pb2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frame_id": "7"}, "frame_id is '7'"),
        ({"camera": "a b"}, "camera is 'a b'"),
        ({"part_id": "x" * 257}, "257 characters"),
        ({"pixels": np.zeros((4, 4), np.float32)}, "float32"),
        ({"pixels": np.zeros((4, 4, 4), np.uint8)}, "(4, 4, 4)"),
        ({"pixels": np.zeros((0, 4), np.uint8)}, "4x0"),
        ({"source": b"x"}, "source_suffix"),
    ],
)
def test_a_frame_refuses_what_it_is_not(change: dict[str, object], says: str) -> None:
    good = frame(np.zeros((4, 6), np.uint8))
    assert (good.width, good.height) == (6, 4)
    with pytest.raises(ValueError, match="expected") as error:
        dataclasses.replace(good, **change)
    assert says in str(error.value)


def inspection(**change: object) -> Inspection:
    detection = Detection(
        detection_id="f/0",
        class_index=1,
        class_name="scratch",
        score=0.75,
        box=(1, 2, 3, 4),
        areas=np.array([3, 9], np.int32),
    )
    values: dict[str, object] = {
        "frame_id": "f",
        "station": "line-1",
        "camera": "top",
        "part_id": "P-1",
        "verdict": Verdict.REJECT,
        "verdict_reason": "because",
        "detections": (detection,),
        "model": ModelIdentity(name="m", version="1.0.0", digest="sha256:0"),
        "timings": Timings(queue_us=1, decode_us=2, preprocess_us=3, inference_us=4, decide_us=5, total_us=15),
        "width": 64,
        "height": 48,
        "captured_unix_ns": 10,
        "captured_monotonic_ns": 11,
        "camera_sequence": 12,
        "mentored": True,
        "recipe": "bolts",
    }
    return Inspection(**{**values, **change})  # type: ignore[arg-type]


def test_an_inspection_on_the_wire_says_all_it_holds() -> None:
    message = inspection().to_message()
    unset = [
        field.name
        for field in inspection_pb2.InspectionResult.DESCRIPTOR.fields
        if not (len(getattr(message, field.name)) if field.is_repeated else getattr(message, field.name))
    ]
    assert unset == []
    assert message.verdict == inspection_pb2.VERDICT_REJECT
    assert list(message.detections[0].areas) == [3, 9]
    assert (message.detections[0].box.x1, message.detections[0].box.y2) == (1, 4)
    assert message.timings.total_us == 15


def test_a_rejection_or_a_fault_has_a_reason() -> None:
    with pytest.raises(ValueError, match="verdict_reason is empty"):
        inspection(verdict_reason="")
    with pytest.raises(ValueError, match="verdict_reason is empty"):
        inspection(verdict=Verdict.NO_VERDICT, verdict_reason="", detections=(), model=None)


def test_detections_name_their_model() -> None:
    with pytest.raises(ValueError, match="without a model"):
        inspection(model=None)
