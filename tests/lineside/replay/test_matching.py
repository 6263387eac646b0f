"""Which detection answers which judged box: by hand, and as laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.records import BoxTuple
from lineside.replay.matching import CandidateDetection, Match, match, overlaps


def said(name: str, box: BoxTuple, score: float = 0.9) -> CandidateDetection:
    return CandidateDetection(class_name=name, score=score, box=box)


def answer(box: BoxTuple, name: str, detections: list[CandidateDetection], *, poor: bool = False) -> Match:
    row = overlaps([box], [item.box for item in detections], poor=[poor])[0]
    return match(row, detections, name)


JUDGED = (0.0, 0.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("box", "overlap", "found"),
    [
        ((0, 0, 10, 10), 1.0, True),
        ((5, 0, 15, 10), 50 / 150, True),  # 0.3333, just above 0.33
        ((0, 5.1, 10, 15.1), 49 / 151, False),  # 0.3245, just below
        ((0, 0, 20, 10), 0.5, True),
        ((20, 20, 30, 30), 0.0, False),
    ],
)
def test_a_place_is_the_same_from_a_third_of_overlap(box: BoxTuple, overlap: float, found: bool) -> None:
    seen = answer(JUDGED, "dent", [said("dent", box)])
    assert seen.nearest == pytest.approx(overlap)
    assert (seen.by is not None) is found


def test_the_class_asked_for_goes_before_a_better_overlap_of_another() -> None:
    detections = [said("scratch", JUDGED), said("dent", (0, 0, 10, 6))]
    assert answer(JUDGED, "dent", detections) == Match(by=1, other=0, nearest=1.0)


def test_two_clicks_on_one_defect_share_the_one_box_that_answers_them() -> None:
    whole = [said("dent", (0, 0, 20, 10))]
    assert answer((0, 0, 10, 10), "dent", whole).by == 0
    assert answer((10, 0, 20, 10), "dent", whole).by == 0


def test_a_better_box_answers_one_that_was_called_poor() -> None:
    tight = [said("dent", (4, 4, 6, 6))]  # 4 of 100 square pixels: no third of the poor box, but all inside it
    assert answer(JUDGED, "dent", tight).by is None
    assert answer(JUDGED, "dent", tight, poor=True).by == 0


sides = st.integers(0, 30)
boxes = st.builds(
    lambda x, y, w, h: (float(x), float(y), float(x + w + 1), float(y + h + 1)), sides, sides, sides, sides
)
detections_of = st.lists(
    st.builds(said, st.sampled_from(["dent", "scratch"]), boxes, st.floats(0.5, 1.0, width=32)), max_size=6
)


@settings(deadline=None)
@given(boxes, detections_of, st.booleans())
def test_one_more_detection_never_makes_a_defect_lost(
    box: BoxTuple, detections: list[CandidateDetection], poor: bool
) -> None:
    for count in range(len(detections)):
        before = answer(box, "dent", detections[:count], poor=poor)
        after = answer(box, "dent", detections[: count + 1], poor=poor)
        assert not (before.by is not None and after.by is None)
        assert after.nearest >= before.nearest


@settings(deadline=None)
@given(boxes, detections_of, st.randoms(use_true_random=False))
def test_the_order_of_detections_decides_nothing(
    box: BoxTuple, detections: list[CandidateDetection], random: object
) -> None:
    mixed = list(detections)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    first, second = answer(box, "dent", detections), answer(box, "dent", mixed)
    assert first.nearest == second.nearest
    for mine, other in ((first.by, second.by), (first.other, second.other)):
        assert (None if mine is None else detections[mine]) == (None if other is None else mixed[other])


@settings(deadline=None)
@given(boxes, detections_of)
def test_who_answers_is_there_and_of_the_class(box: BoxTuple, detections: list[CandidateDetection]) -> None:
    row = overlaps([box], [item.box for item in detections])[0]
    seen = match(row, detections, "dent")
    fits = [index for index, item in enumerate(detections) if item.class_name == "dent" and row[index] >= 0.33]
    assert (seen.by in fits) if fits else seen.by is None
    if seen.by is not None:
        assert row[seen.by] == max(row[index] for index in fits)


@settings(deadline=None)
@given(boxes)
def test_a_model_that_repeats_itself_answers_everything(box: BoxTuple) -> None:
    assert answer(box, "dent", [said("dent", box)]) == Match(by=0, other=None, nearest=1.0)


def test_nothing_judged_and_nothing_said_are_empty_tables() -> None:
    assert overlaps([], [JUDGED]).shape == (0, 1)
    assert overlaps([JUDGED], []).shape == (1, 0)
    assert overlaps([], []).dtype == np.float32
