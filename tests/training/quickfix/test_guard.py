"""The check before anything is written: counts by hand, limits, and examples that share no part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.pixels import Pixels
from training.data.sample import ArrayPicture, Dataset, Sample
from training.quickfix.clicks import Frame, Rejection
from training.quickfix.guard import Check, Counts, Limits, count, kept_back

DEFECT, PATTERN, ELSEWHERE = (0.0, 0.0, 10.0, 10.0), (30.0, 30.0, 40.0, 40.0), (50.0, 5.0, 60.0, 15.0)


def picture(number: int) -> Pixels:
    """Told from others by its first pixel."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[0, 0] = number
    return pixels


def answering(boxes: dict[int, list[tuple[float, ...]]]) -> Callable[[Pixels], Found]:
    """A model that raises these boxes of class 0, by picture."""

    def deployed(pixels: Pixels) -> Found:
        found = as_boxes(boxes.get(int(pixels[0, 0]), []))
        return Found(
            boxes=found,
            scores=np.linspace(0.9, 0.8, len(found), dtype=np.float32),
            classes=np.zeros(len(found), np.int32),
            areas=tuple(np.array([place], np.int32) for place in range(len(found))),
        )

    return deployed


def frame(number: int, *, confirmed: bool = False, part: str = "") -> Frame:
    return Frame(
        frame_id=f"frame-{number}",
        part=part or f"part-{number}",
        image_sha256="0" * 64,
        pixels=picture(number),
        picture=picture(number)[..., None],
        boxes=as_boxes([DEFECT] if confirmed else []),
        classes=np.zeros(int(confirmed), np.int32),
        events=(),
    )


def rejection(place: int, event: int = 1) -> Rejection:
    return Rejection(
        frame=place,
        class_name="dark",
        areas=np.array([3], np.int32),
        box=np.array(PATTERN, np.float32),
        feature=np.zeros(4, np.float32),
        score=0.9,
        events=(event,),
    )


def held_out() -> Dataset:
    samples = tuple(
        Sample(
            name=str(number),
            picture=ArrayPicture(pixels=picture(number)),
            boxes=as_boxes([DEFECT]),
            classes=np.zeros(1, np.int32),
        )
        for number in (100, 101)
    )
    return Dataset(name="original", classes=("dark",), samples=samples)


def test_everything_is_counted_as_a_station_would_raise_it() -> None:
    frames = [frame(1, confirmed=True), frame(2), frame(3), frame(4)]
    model = answering(
        {
            # A confirmed defect found, the pattern beside it raised again although a little moved.
            1: [DEFECT, (33.0, 31.0, 43.0, 41.0)],
            2: [ELSEWHERE],
            # Nobody asks about frame 4: it shows neither a defect nor a kept-back example.
            4: [PATTERN],
            100: [DEFECT],
            101: [ELSEWHERE],
        }
    )
    found = count(model, held_out(), frames, [rejection(0), rejection(1), rejection(2)])
    assert found == Counts(original=2, original_found=1, confirmed=1, confirmed_found=1, examples=3, firing=1, alarms=1)


def test_a_confirmed_defect_under_the_pattern_is_not_taken_for_the_pattern() -> None:
    item = frame(1, confirmed=True)
    over = Rejection(
        frame=0,
        class_name="dark",
        areas=np.array([3], np.int32),
        box=np.array(DEFECT, np.float32),
        feature=np.zeros(4, np.float32),
        score=0.9,
        events=(1,),
    )
    assert count(answering({1: [DEFECT]}), held_out(), [item], [over]).firing == 0


def counts(found: int, confirmed: int, firing: int) -> Counts:
    return Counts(
        original=80, original_found=found, confirmed=20, confirmed_found=confirmed, examples=5, firing=firing, alarms=0
    )


def test_recall_falls_over_original_and_confirmed_defects_together() -> None:
    check = Check(before=counts(78, 20, 5), after=counts(76, 19, 1))
    # (2 + 1) of 80 + 20 defects are lost; 4 of 5 examples fell silent.
    assert check.recall_fall == pytest.approx(0.03)
    assert check.silenced == pytest.approx(0.8)


def test_exactly_the_limits_pass() -> None:
    assert Check(before=counts(78, 20, 5), after=counts(77, 20, 1)).failures(Limits()) == ()


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (counts(78, 20, 2), "2 of 5 kept-back examples still fire: 60% fell silent, expected 80%"),
        (counts(76, 20, 0), "recall falls by 0.020"),
        (counts(78, 18, 0), "confirmed 20 to 18 of 20"),
    ],
)
def test_what_does_not_pass_says_what_was_reached(after: Counts, message: str) -> None:
    (reason,) = Check(before=counts(78, 20, 5), after=after).failures(Limits())
    assert message in reason


def test_defects_that_are_found_now_make_up_for_lost_ones_and_never_raise_an_error() -> None:
    check = Check(before=counts(70, 20, 5), after=counts(75, 18, 0))
    assert check.recall_fall == pytest.approx(-0.03)
    assert check.failures(Limits()) == ()


def test_without_an_example_that_fired_nothing_was_shown() -> None:
    assert Check(before=counts(78, 20, 0), after=counts(78, 20, 0)).failures(Limits())


@given(st.lists(st.integers(0, 12), min_size=10, max_size=40))
def test_no_part_teaches_and_checks(parts: list[int]) -> None:
    frames = [frame(number, part=f"part-{part}") for number, part in enumerate(parts)]
    rejections = [rejection(place) for place in range(len(parts))]
    if len(set(parts)) < 4:
        with pytest.raises(ValueError, match="expected at least 4"):
            kept_back(rejections, frames)
        return
    taught, checked = kept_back(rejections, frames)
    assert sorted(taught + checked) == list(range(len(parts)))
    assert taught
    assert checked
    assert not {parts[place] for place in taught} & {parts[place] for place in checked}


def test_of_twenty_parts_five_are_kept_back() -> None:
    frames = [frame(number) for number in range(20)]
    _, checked = kept_back([rejection(place) for place in range(20)], frames)
    assert checked == [3, 7, 11, 15, 19]
