"""The worst errors, on answers written by hand, and the crops around them."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.pixels import decode
from training.data.sample import ArrayPicture, Sample
from training.evaluate.predictor import Answer, at_thresholds
from training.table1.crops import caption_of, crop_of, window
from training.table1.errors import Error, worst_errors

CLASSES = ("scratch", "dent")
HERE, THERE, FAR = (10, 10, 30, 30), (50, 50, 70, 70), (80, 10, 95, 25)


def sample(*defects: tuple[tuple[int, int, int, int], int], name: str = "part") -> Sample:
    return Sample(
        name=name,
        picture=ArrayPicture(pixels=np.full((100, 100), 90, np.uint8)),
        boxes=as_boxes([box for box, _ in defects]),
        classes=np.array([kind for _, kind in defects], np.int32),
    )


def answer(*found: tuple[tuple[int, int, int, int], int, float]) -> Answer:
    ordered = sorted(found, key=lambda item: -item[2])
    everything = Found(
        boxes=as_boxes([box for box, _, _ in ordered]),
        scores=np.array([score for _, _, score in ordered], np.float32),
        classes=np.array([kind for _, kind, _ in ordered], np.int32),
        areas=tuple(np.array([number]) for number in range(len(ordered))),
    )
    return Answer(found=everything, deployed=at_thresholds(everything, np.array([0.5, 0.5], np.float32)))


def test_each_error_is_of_one_kind() -> None:
    errors = worst_errors(
        [
            (sample((HERE, 0), (THERE, 1)), answer((HERE, 0, 0.9), (THERE, 0, 0.8), (FAR, 1, 0.7))),
            (sample((HERE, 0)), answer((HERE, 0, 0.4))),
        ],
        CLASSES,
        count=5,
    )
    (wrong,) = errors.wrong_class
    assert (wrong.picture, wrong.said, wrong.true, wrong.score) == (0, "scratch", "dent", pytest.approx(0.8))
    (alarm,) = errors.false_alarms
    assert (alarm.box, alarm.said, alarm.true) == (FAR, "dent", "")
    # The dent was named, if wrongly, so nothing escaped there; the second part passed.
    (missed,) = errors.missed
    assert (missed.picture, missed.true, missed.silent) == (1, "scratch", True)
    assert missed.score == pytest.approx(0.4)


def test_parts_that_passed_come_first_and_then_what_was_seen_least() -> None:
    errors = worst_errors(
        [
            (sample((HERE, 0), (THERE, 0)), answer((THERE, 0, 0.9))),
            (sample((HERE, 0)), answer((HERE, 0, 0.45))),
            (sample((HERE, 0)), answer()),
        ],
        CLASSES,
        count=5,
    )
    assert [(item.picture, item.silent) for item in errors.missed] == [(2, True), (1, True), (0, False)]


def test_the_most_confident_alarms_come_first_also_on_healthy_parts() -> None:
    errors = worst_errors(
        [(sample(), answer((HERE, 0, 0.6))), (sample(), answer((HERE, 1, 0.95), (FAR, 0, 0.55)))], CLASSES, count=2
    )
    assert [item.score for item in errors.false_alarms] == pytest.approx([0.95, 0.6])


def test_a_bad_box_at_a_defect_is_no_alarm_about_nothing() -> None:
    # Overlap of (10..30) and (20..40): 100 / 700.
    errors = worst_errors([(sample((HERE, 0)), answer(((20, 20, 40, 40), 0, 0.9)))], CLASSES, count=5)
    assert errors.false_alarms == ()
    assert len(errors.missed) == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40.0, 40.0, 60.0, 60.0), (14, 14, 72)),
        ((0.0, 0.0, 10.0, 10.0), (0, 0, 72)),
        ((90.0, 90.0, 100.0, 100.0), (28, 28, 72)),
        ((0.0, 0.0, 100.0, 100.0), (0, 0, 100)),
        ((30.0, 40.0, 60.0, 60.0), (0, 5, 90)),
    ],
)
def test_a_crop_is_a_square_around_the_error_inside_the_picture(
    box: tuple[float, float, float, float], expected: tuple[int, int, int]
) -> None:
    assert window(box, 100, 100) == expected


def test_a_crop_shows_what_is_there_and_what_was_said() -> None:
    part = sample((HERE, 0), (THERE, 1))
    said = answer((THERE, 1, 0.9), (FAR, 0, 0.7))
    crop = crop_of(
        Error(picture=0, box=(80.0, 10.0, 95.0, 25.0), said="scratch", true="", score=0.7), part, said, CLASSES
    )
    assert decode(base64.b64decode(crop.picture.partition(",")[2])).shape[:2] == (crop.side, crop.side)
    kinds = sorted((box.kind, box.words) for box in crop.boxes)
    assert kinds == [("alarm", "scratch 0.70"), ("met", "dent"), ("missed", "scratch"), ("right", "dent 0.90")]
    alarm = next(box for box in crop.boxes if box.kind == "alarm")
    assert (alarm.x, alarm.y, alarm.width, alarm.height) == (52.0, 10.0, 15.0, 15.0)


def test_captions_say_what_went_wrong() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    assert caption_of(Error(picture=0, box=box, said="a", true="b", score=0.91)) == "b, called a at 0.91"
    assert caption_of(Error(picture=0, box=box, said="a", true="", score=0.91)) == "a at 0.91, where nothing is"
    assert caption_of(Error(picture=0, box=box, said="", true="b", score=0.0, silent=True)) == (
        "b: no trace of it, the part passed"
    )
