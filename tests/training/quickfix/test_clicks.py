"""What operators said, as the model to be mended sees it: rejections as examples, defects as what must be found."""

from __future__ import annotations

import collections

import numpy as np
import torch
from support.lessons import SIDE, tiny

from lineside.fold import fold
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from training.models.detector import Detector
from training.quickfix.clicks import Clicks, Judged, gather

BOXES = ((8.0, 8.0, 20.0, 20.0), (40.0, 8.0, 52.0, 20.0), (8.0, 40.0, 20.0, 52.0))


def say(number: int | None, gesture: Gesture, sequence: int, **more: object) -> FeedbackEvent:
    values: dict[str, object] = {
        "log_sequence": sequence,
        "key": str(sequence),
        "frame_id": "a",
        "detection_id": None if number is None else f"a/{number}",
        "gesture": gesture,
        "class_name": None,
        "box": None,
        "missed_index": 0,
        "revision": sequence,
        "operator": "ada",
        "seconds": 1.5,
        "client_unix_ns": 0,
        "received_unix_ns": 0,
    }
    return FeedbackEvent(**{**values, **more})  # type: ignore[arg-type]


def record(*said: FeedbackEvent, class_name: str = "dark", part: str = "p1") -> MentoringRecord:
    """A frame with three detections, of areas 10, 20 and 30."""
    return MentoringRecord(
        frame=RecordedFrame(
            frame_id="a",
            boot_id="boot",
            station="line",
            camera="top",
            part_id=part,
            camera_sequence=0,
            width=SIDE,
            height=SIDE,
            captured_unix_ns=0,
            captured_monotonic_ns=0,
            image_sha256="0" * 64,
            image_suffix="png",
            image_bytes=0,
            model_digest="",
            verdict="REJECT",
            verdict_reason="",
            selected_because="any_detection",
            selection_probability=1.0,
            recorded_unix_ns=0,
        ),
        detections=tuple(
            RecordedDetection(
                detection_id=f"a/{number}",
                class_index=0,
                class_name=class_name,
                score=0.9,
                box=box,
                areas=np.array([10 * number + 10], np.int32),
            )
            for number, box in enumerate(BOXES)
        ),
        judgements=fold(said),
    )


def look(*records: MentoringRecord, known: bool = True) -> Clicks:
    torch.manual_seed(0)
    network = Detector(tiny()).eval()
    pixels = np.full((SIDE, SIDE), 128, np.uint8)
    head = network.head if known else None
    return gather([Judged(item, pixels, head) for item in records], network)


def test_a_rejection_is_an_example_and_a_confirmed_defect_must_be_found() -> None:
    clicks = look(record(say(0, Gesture.REJECT, 1), say(1, Gesture.CONFIRM, 2)))
    (example,) = clicks.rejections
    assert (example.frame, example.areas.tolist(), example.events) == (0, [10], (1,))
    assert example.box.tolist() == list(BOXES[0])
    assert example.feature.shape == (16,)
    (frame,) = clicks.frames
    assert frame.boxes.tolist() == [list(BOXES[1])]
    assert frame.classes.tolist() == [0]
    assert (frame.part, frame.events) == ("p1", (2,))


def test_a_defect_of_another_class_and_a_drawn_one_must_be_found_as_what_they_are() -> None:
    drawn = (30.0, 30.0, 40.0, 40.0)
    clicks = look(
        record(
            say(0, Gesture.WRONG_CLASS, 1, class_name="bright"),
            say(1, Gesture.WRONG_CLASS, 2),
            say(None, Gesture.MISSED, 3, class_name="bright", box=drawn, missed_index=1),
        )
    )
    (frame,) = clicks.frames
    assert sorted(map(tuple, frame.boxes.tolist())) == sorted([BOXES[0], drawn])
    assert frame.classes.tolist() == [1, 1]
    assert clicks.rejections == ()


def test_a_frame_called_healthy_rejects_what_nobody_answered_and_not_what_somebody_confirmed() -> None:
    clicks = look(record(say(1, Gesture.CONFIRM, 1), say(None, Gesture.FRAME_HEALTHY, 2)))
    assert sorted(example.areas.tolist() for example in clicks.rejections) == [[10], [30]]
    assert {example.events for example in clicks.rejections} == {(2,)}


def test_what_operators_disagree_about_is_neither() -> None:
    clicks = look(record(say(0, Gesture.REJECT, 1), say(0, Gesture.CONFIRM, 2, operator="bob")))
    assert clicks.rejections == ()
    assert len(clicks.frames[0].boxes) == 0
    assert clicks.skipped == ("1 x operators disagree",)


def test_areas_of_another_head_are_found_anew_from_the_box() -> None:
    (example,) = look(record(say(0, Gesture.REJECT, 1)), known=False).rejections
    assert example.areas.tolist() != [10]
    head = tiny().head_for(SIDE, SIDE)
    middles = (head.boxes()[example.areas, :2] + head.boxes()[example.areas, 2:]) / 2
    assert (np.abs(middles - 14.0) < 12).all()


def test_a_class_the_model_does_not_know_is_said() -> None:
    clicks = look(record(say(0, Gesture.CONFIRM, 1), class_name="crack"))
    assert clicks.skipped == ("1 x class 'crack' is not one of the model's",)


def test_the_newest_word_comes_last_whatever_the_order_of_the_frames() -> None:
    late, early = record(say(0, Gesture.REJECT, 9)), record(say(0, Gesture.REJECT, 3))
    assert [example.events for example in look(late, early).rejections] == [(3,), (9,)]


def test_what_was_left_out_before_is_told_as_well() -> None:
    network = Detector(tiny()).eval()
    assert gather([], network, skipped=collections.Counter({"gone": 2})).skipped == ("2 x gone",)
