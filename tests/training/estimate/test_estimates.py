"""Weights, precision, recall, parts and thresholds by hand-computed numbers, limits and laws."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.judged import COMPLETE, CONFIRM, HEALTHY, REJECT, frame, say

from lineside.records import FeedbackEvent, Gesture
from lineside.replay.figures import wilson
from training.estimate.intervals import total_of
from training.estimate.judged import JudgedFrame
from training.estimate.parts import factory_words, parts_of
from training.estimate.precision import (
    Precision,
    agreement_of,
    answered_weights,
    error_from,
    precision_of,
)
from training.estimate.recall import Audit, Recall, audit_advice, recall_of, searches_of
from training.estimate.thresholds import advice_for
from training.estimate.weights import Unit, response_weights

MISSED = say(Gesture.MISSED, class_name="dent", place=6)


def precision(frames: list[JudgedFrame], **options: object) -> Precision:
    return precision_of(frames, answered_weights(frames), **options)  # type: ignore[arg-type]


def recall(frames: list[JudgedFrame], **options: object) -> Recall:
    return recall_of(frames, answered_weights(frames), searches_of(frames), **options)  # type: ignore[arg-type]


def many(count: int, *said: FeedbackEvent, **changes: object) -> list[JudgedFrame]:
    """Frames of different parts."""
    start = changes.pop("start", 0)
    return [frame(*said, part=f"{start}-{number}", **changes) for number in range(count)]


# Weights.


def test_judged_frames_stand_for_those_kept_with_them() -> None:
    units = [Unit("a", 10, True), Unit("a", 10, False), Unit("a", 1, True), Unit("b", 5, True)]
    # Of weight 10 one of two is judged: it stands for 20.
    assert response_weights(units) == pytest.approx([20, 0, 1, 5])


def test_a_stratum_without_a_judged_one_is_spread_over_its_kind() -> None:
    units = [Unit("a", 10, False), Unit("a", 1, True), Unit("a", 1, True), Unit("b", 2, False)]
    assert response_weights(units) == pytest.approx([0, 6, 6, 0])


def test_a_weight_below_one_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"weight is 0\.5"):
        response_weights([Unit("a", 0.5, True)])
    with pytest.raises(ValueError, match="above 0, at most 1"):
        frame(probability=1.5)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from((1.0, 4.0, 20.0)), st.booleans()), max_size=20))
def test_weights_of_a_kind_add_up_to_what_was_kept(values: list[tuple[str, float, bool]]) -> None:
    units = [Unit(*value) for value in values]
    weights = response_weights(units)
    for kind in "ab":
        mine = [(unit, weight) for unit, weight in zip(units, weights, strict=True) if unit.kind == kind]
        if any(unit.judged for unit, _ in mine):
            assert sum(weight for _, weight in mine) == pytest.approx(sum(unit.weight for unit, _ in mine))


# Precision.


def test_with_all_probabilities_1_it_is_the_plain_share_with_wilsons_interval() -> None:
    found = precision([*many(16, CONFIRM), *many(4, REJECT, start=1)])
    assert (found.right, found.wrong, found.open) == (16, 4, 0)
    assert found.share.point == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx(wilson(0.8, 20))


def test_a_frame_kept_with_one_in_ten_counts_ten_times() -> None:
    # 8 right of weight 1, 2 wrong of weight 10: 8 / 28.
    found = precision([*many(8, CONFIRM), *many(2, REJECT, start=1, probability=0.1)])
    assert found.share.point == pytest.approx(8 / 28)


def test_open_answers_widen_the_limits_and_leave_the_point() -> None:
    sure = [*many(16, CONFIRM), *many(4, REJECT, start=1)]
    plain, wider = precision(sure), precision([*sure, *many(5, say(Gesture.UNSURE), start=2)])
    assert wider.share.point == plain.share.point
    # All five wrong: 16 of 25; all right: 21 of 25.
    assert wider.low == pytest.approx(wilson(16 / 25, 25)[0])
    assert wider.high == pytest.approx(wilson(21 / 25, 25)[1])
    assert wider.open == 5


def test_of_a_class_only_its_own_detections_count() -> None:
    frames = many(5, CONFIRM, say(Gesture.REJECT, 1), detections=(("dent", 0.9), ("scratch", 0.7)))
    assert precision(frames, class_name="dent").share.point == 1
    assert precision(frames, class_name="scratch").share.point == 0
    assert precision(frames).share.point == pytest.approx(0.5)


def test_nobody_said_anything_is_not_a_number() -> None:
    found = precision(many(3))
    assert found.untouched == 3
    assert math.isnan(found.share.point)
    assert math.isnan(found.low)


def test_known_errors_are_undone() -> None:
    # 77 of 100 clicks say "right": with 10 % wrong, (0.77 - 0.1) / 0.8 = 0.8375.
    frames = [*many(77, CONFIRM), *many(23, REJECT, start=1)]
    found = precision(frames, error=0.1)
    assert found.share.point == pytest.approx(0.8375)
    assert found.share.low == pytest.approx((wilson(0.77, 100)[0] - 0.1) / 0.8)
    # What a word about the whole frame denies is no click: 77 clicks of 100 answers, (0.77 - 0.1 * 0.77) / 0.8.
    flagged = [*many(77, CONFIRM), *many(23, HEALTHY, start=1)]
    assert precision(flagged, error=0.1).share.point == pytest.approx(0.77 * 0.9 / 0.8)
    with pytest.raises(ValueError, match=r"0 to below 0\.5"):
        precision(frames, error=0.5)


def test_two_peoples_disagreement_tells_how_often_one_errs() -> None:
    again = say(Gesture.CONFIRM, operator="bob")
    against = say(Gesture.REJECT, operator="bob")
    frames = [*many(82, CONFIRM, again), *many(18, CONFIRM, against, start=1), *many(7, CONFIRM, start=2)]
    assert agreement_of(frames) == (100, 18)
    # 2 * 0.1 * 0.9 = 0.18.
    assert error_from(100, 18) == pytest.approx(0.1)
    assert math.isnan(error_from(0, 0))
    with pytest.raises(ValueError, match="such answers say nothing"):
        error_from(10, 5)


# Recall.


def test_recall_is_the_found_over_the_found_and_the_missed_each_with_its_weight() -> None:
    frames = [
        *many(30, CONFIRM, COMPLETE),
        *many(2, MISSED, COMPLETE, start=1, detections=(), probability=0.2),
        *many(40, HEALTHY, start=2, detections=(), probability=0.2),
    ]
    # 30 found; 2 missed on frames that stand for 5: 30 / 40.
    found = recall(frames)
    assert found.point == pytest.approx(0.75)
    assert (found.found, found.missed) == (30, 2)
    # Two seen may be 0.24 to 8.8 (one more is counted in): 1.2 to 44 on the line.
    assert found.low == pytest.approx(30 / 74, abs=0.04)
    assert found.high == pytest.approx(30 / 31.2, abs=0.02)
    assert (found.low, found.high) == found.interval


def test_nothing_missed_among_few_searched_frames_is_no_proof() -> None:
    frames = [*many(30, CONFIRM, COMPLETE), *many(10, HEALTHY, start=1, detections=(), probability=0.1)]
    found = recall(frames)
    assert found.point == 1
    assert found.high == 1
    # Up to 3.7 of weight 10 may be on the line: 30 / 67, and the 30 are not sure either.
    assert found.low == pytest.approx(30 / 67, abs=0.05)


def test_nothing_found_is_no_proof_that_nothing_is_ever_found() -> None:
    frames = [*many(30, REJECT, COMPLETE), *many(30, MISSED, COMPLETE, start=1, detections=())]
    found = recall(frames)
    assert found.point == found.low == 0
    # Up to 3.7 found ones against 20 to 43 missed ones.
    assert found.high == pytest.approx(3.7 / 34, abs=0.03)


def test_without_an_audit_nothing_is_said_about_misses() -> None:
    frames = many(100, CONFIRM, COMPLETE)
    found, searches = recall(frames), searches_of(frames)
    assert searches.audit is Audit.NONE
    assert (found.low, found.high) == (0, 1)
    assert math.isnan(found.point)
    advice = audit_advice(found.found, searches)
    # 3.7 / p = 100 / 9.
    assert "nothing can be said about misses" in advice
    assert "p = 0.33" in advice


def test_frames_with_detections_that_nobody_searched_leave_no_lower_limit() -> None:
    frames = [*many(30, CONFIRM), *many(20, MISSED, COMPLETE, start=1, detections=(), probability=0.5)]
    found = recall(frames)
    assert found.low == 0
    assert math.isnan(found.point)
    assert found.high < 0.7
    assert "no lower limit" in audit_advice(found.found, searches_of(frames))


def test_a_defect_under_a_wrong_name_is_missed_by_its_own_class() -> None:
    named = say(Gesture.WRONG_CLASS, class_name="scratch")
    frames = [
        *many(6, CONFIRM, COMPLETE),
        *many(2, named, COMPLETE, start=1),
        *many(9, HEALTHY, start=2, detections=()),
    ]
    assert recall(frames, class_name="dent").point == 1
    assert recall(frames, class_name="scratch").point == 0
    assert recall(frames).point == pytest.approx(6 / 8)


def test_open_answers_count_against_recall_below_and_for_it_above() -> None:
    sure = [
        *many(30, CONFIRM, COMPLETE),
        *many(3, MISSED, COMPLETE, start=1, detections=()),
        *many(20, HEALTHY, start=2, detections=()),
    ]
    plain, wider = recall(sure), recall([*sure, *many(6, say(Gesture.UNSURE), COMPLETE, start=3)])
    assert wider.low < plain.low
    assert wider.high > plain.high
    assert wider.point == pytest.approx(plain.point)
    assert wider.open == 6


def test_overlooked_defects_are_added_in() -> None:
    frames = [*many(30, CONFIRM, COMPLETE), *many(10, MISSED, COMPLETE, start=1, detections=())]
    assert recall(frames, overlooked=0.5).point == pytest.approx(30 / 50)


# Parts.


def test_escapes_and_false_rejects_are_per_1000_parts_inspected() -> None:
    frames = [
        *many(60, CONFIRM, COMPLETE),
        *many(40, HEALTHY, start=1),
        *many(1, MISSED, COMPLETE, start=2, detections=(), probability=0.05),
        *many(44, HEALTHY, start=3, detections=(), probability=0.05),
    ]
    words = factory_words(parts_of(frames))
    # 60 + 40 + 45 * 20 = 1000 parts, of which 1 * 20 escape and 40 are rejected for nothing.
    assert words.inspected is not None
    assert words.inspected.point == pytest.approx(1000)
    assert words.escapes.point == pytest.approx(20)
    assert words.false_rejects.point == pytest.approx(40)
    assert words.false_among_rejected.point == pytest.approx(0.4)
    assert words.escapes.low < 5
    assert 100 < words.escapes.high < 200
    assert 25 < words.false_rejects.low < 40 < words.false_rejects.high < 65


def test_a_known_number_of_parts_narrows_the_rates_and_speaks_without_an_audit() -> None:
    frames = [*many(60, CONFIRM), *many(40, REJECT, start=1)]
    assert factory_words(parts_of(frames)).inspected is None
    words = factory_words(parts_of(frames), inspected=2000)
    assert words.false_rejects.point == pytest.approx(20)
    counted = total_of(((str(number), 1.0) for number in range(40)), largest=1.0)
    assert (words.false_rejects.low, words.false_rejects.high) == pytest.approx((counted.low / 2, counted.high / 2))
    assert math.isnan(words.escapes.point)
    with pytest.raises(ValueError, match="the log alone has 100"):
        factory_words(parts_of(frames), inspected=99)


def test_no_false_reject_seen_is_no_proof_that_there_are_none() -> None:
    words = factory_words(parts_of(many(60, CONFIRM)), inspected=1000)
    # None among 60 rejected ones of weight 1: up to 3.7 in 1000.
    assert words.false_rejects.point == words.false_rejects.low == 0
    assert words.false_rejects.high == pytest.approx(3.69, rel=0.01)


def test_the_frames_of_a_part_belong_together() -> None:
    frames = [frame(CONFIRM, COMPLETE, part="1"), frame(HEALTHY, detections=(), part="1"), frame(HEALTHY, part="2")]
    parts = parts_of(frames)
    assert [(part.rejected, part.truth.value, part.frames) for part in parts] == [
        (True, "defective", 2),
        (True, "sound", 1),
    ]


def test_an_escape_shows_where_the_part_passed_and_was_searched() -> None:
    escape = [frame(MISSED, COMPLETE, detections=())]
    by_chance = [frame(MISSED, detections=())]
    let_pass = [frame(CONFIRM, COMPLETE, verdict="PASS")]
    unsure = [frame(say(Gesture.UNSURE), COMPLETE)]
    assert [parts_of(group)[0].truth.value for group in (escape, by_chance, let_pass, unsure)] == [
        "defective",
        "open",
        "defective",
        "open",
    ]


def test_with_several_frames_a_part_an_escape_may_show_on_any_of_them() -> None:
    def line(part_of: int) -> list[JudgedFrame]:
        frames = [*many(40, HEALTHY, detections=()), *many(4, MISSED, COMPLETE, start=1, detections=())]
        return [dataclasses.replace(item, part=str(place // part_of)) for place, item in enumerate(frames)]

    one, two = (factory_words(parts_of(line(count))) for count in (1, 2))
    assert two.frames_per_part == 2
    assert two.escapes.high > one.escapes.high


def test_wrong_clicks_are_undone_among_the_rejected_parts() -> None:
    # 62 of 100 parts seem defective; with 10 % wrong clicks (0.62 - 0.1) / 0.8 = 0.65 are.
    clicked = [*many(62, CONFIRM), *many(38, REJECT, start=1)]
    words = factory_words(parts_of(clicked), inspected=1000, error=0.1)
    assert words.false_among_rejected.point == pytest.approx(0.35)
    assert words.false_rejects.point == pytest.approx(35)
    # Called healthy with one press, the 38 are no clicks: (0.62 - 0.062) / 0.8 are defective.
    flagged = [*many(62, CONFIRM), *many(38, HEALTHY, start=1)]
    among = factory_words(parts_of(flagged), inspected=1000, error=0.1).false_among_rejected
    assert among.point == pytest.approx(1 - 0.558 / 0.8)
    assert among.low < among.point < among.high


# Thresholds.


def test_the_advised_threshold_surely_gives_the_precision_and_says_what_it_keeps() -> None:
    frames = [
        *many(40, CONFIRM, detections=(("dent", 0.9),)),
        *many(10, CONFIRM, start=1, detections=(("dent", 0.6),)),
        *many(20, REJECT, start=2, detections=(("dent", 0.6),)),
    ]
    advice = advice_for("dent", frames, answered_weights(frames), deployed=0.5)
    low, high = advice.steps
    assert (low.threshold, low.precision.point, low.kept.point) == pytest.approx((0.6, 50 / 70, 1))
    assert (high.threshold, high.precision.point, high.kept.point) == pytest.approx((0.9, 1, 0.8))
    # 40 of 40 is surely more than 0.9 (Wilson: 0.912) and not surely more than 0.95.
    assert advice.for_precision[0.9] is high
    assert advice.for_precision[0.95] is None
    assert advice.shown_from == 0.6


def test_few_answers_give_no_advice() -> None:
    frames = many(9, CONFIRM)
    advice = advice_for("dent", frames, answered_weights(frames))
    assert all(step is None for step in advice.for_precision.values())
    assert math.isnan(advice_for("scratch", frames, answered_weights(frames)).shown_from)


# Laws over all of them.

WORDS = ((), (CONFIRM,), (REJECT,), (say(Gesture.UNSURE),), (CONFIRM, COMPLETE), (HEALTHY,), (MISSED, COMPLETE))
FRAMES = st.lists(
    st.tuples(st.sampled_from(WORDS), st.booleans(), st.sampled_from((1.0, 0.5, 0.05)), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(FRAMES, st.sampled_from((0.0, 0.1)))
def test_every_figure_lies_between_its_limits(
    values: list[tuple[tuple[FeedbackEvent, ...], bool, float, int]], error: float
) -> None:
    frames = [
        frame(*said, part=str(part), probability=probability, detections=(("dent", 0.9),) if raised else ())
        for said, raised, probability, part in values
    ]
    found, back = precision(frames, error=error), recall(frames, overlooked=error)
    words = factory_words(parts_of(frames), error=error)
    share = found.share
    if share.effective:
        assert 0 <= found.low <= share.low <= share.point <= share.high <= found.high <= 1
    assert 0 <= back.low <= back.high <= 1
    if not math.isnan(back.point):
        assert back.low <= back.point * (1 + 1e-9)
        assert back.point <= back.high * (1 + 1e-9)
    for rate in (words.escapes, words.false_rejects):
        assert 0 <= rate.low <= rate.high <= 1000
        if not math.isnan(rate.point):
            assert rate.low <= rate.point * (1 + 1e-9)
            assert rate.point <= rate.high * (1 + 1e-9)


def test_two_logs_alike_give_the_same_points_and_narrower_limits() -> None:
    log = [
        *many(12, CONFIRM, COMPLETE),
        *many(4, REJECT, COMPLETE, start=1, probability=0.5),
        *many(2, MISSED, COMPLETE, start=2, detections=(), probability=0.1),
        *many(20, HEALTHY, start=3, detections=(), probability=0.1),
    ]
    both = [*log, *(dataclasses.replace(item, part=f"again {item.part}") for item in log)]
    for figure in (
        lambda frames: precision(frames).share,
        recall,
        lambda frames: factory_words(parts_of(frames)).escapes,
    ):
        one, two = figure(log), figure(both)
        assert two.point == pytest.approx(one.point)
        assert two.high - two.low < one.high - one.low
