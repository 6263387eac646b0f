"""What would silence a class has to be said by two; everything else is left as it is."""

from __future__ import annotations

import numpy as np

from lineside.records import FeedbackEvent, Gesture, RecordedDetection
from training.data.account import Ledger
from training.data.merging import Told
from training.data.two_persons import LEAST, second_person


def told(number: int, *said: tuple[Gesture, str], class_name: str = "dent", whole: bool = False) -> Told:
    frame_id = f"frame-{number}"
    events = tuple(
        FeedbackEvent(
            log_sequence=number * 10 + place,
            key=f"key-{class_name}-{number}-{place}",
            frame_id=frame_id,
            detection_id=None if whole else f"{frame_id}/0",
            gesture=gesture,
            class_name=None,
            box=None,
            missed_index=0,
            revision=1,
            operator=operator,
            seconds=1.0,
            client_unix_ns=0,
            received_unix_ns=0,
        )
        for place, (gesture, operator) in enumerate(said)
    )
    detection = RecordedDetection(
        detection_id=f"{frame_id}/0",
        class_index=0,
        class_name=class_name,
        score=0.8,
        box=(0, 0, 4, 4),
        areas=np.array([0], np.int32),
    )
    return Told(frame_id=frame_id, frame=None, detections=(detection,), events=events)


REJECT, CONFIRM = (Gesture.REJECT, "ada"), (Gesture.CONFIRM, "bob")


def test_a_lone_operators_denials_that_would_silence_a_class_are_left_out_and_accounted_for() -> None:
    ledger = Ledger()
    frames = [told(number, REJECT) for number in range(LEAST)]
    result = second_person(frames, ledger)
    assert all(item.events == () and len(item.left_out) == 1 for item in result)
    assert ledger.count("answers", read=LEAST).skipped == {"would silence dent: a second person has to agree": LEAST}


def test_with_a_second_person_they_count() -> None:
    frames = [told(number, REJECT, (Gesture.REJECT, "bob")) for number in range(LEAST)]
    assert second_person(frames, Ledger()) == frames


def test_a_class_that_is_confirmed_as_well_is_not_silenced() -> None:
    frames = [told(number, REJECT) for number in range(LEAST)]
    frames += [told(number, CONFIRM) for number in range(LEAST, LEAST + 5)]
    assert second_person(frames, Ledger()) == frames


def test_few_denials_silence_nothing_and_other_classes_are_left_alone() -> None:
    few = [told(number, REJECT) for number in range(LEAST - 1)]
    assert second_person(few, Ledger()) == few
    other = told(99, REJECT, class_name="scratch")
    result = second_person([*few, told(50, REJECT), other], Ledger())
    assert result[-1] == other
    assert result[0].events == ()


def test_a_frame_called_healthy_by_one_person_denies_as_a_reject_does() -> None:
    frames = [told(number, (Gesture.FRAME_HEALTHY, "ada"), whole=True) for number in range(LEAST)]
    assert all(item.events == () for item in second_person(frames, Ledger()))
    both = [
        told(number, (Gesture.FRAME_HEALTHY, "ada"), (Gesture.FRAME_HEALTHY, "bob"), whole=True)
        for number in range(LEAST)
    ]
    assert second_person(both, Ledger()) == both
