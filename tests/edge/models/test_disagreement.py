"""What a shadow counts: by hand for a few frames, and by laws for any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.inspection import Detection, Verdict
from edge.models.disagreement import ClassCount, Disagreement, Standing, count_of, report_of, standing_of
from edge.models.settings import ShadowSettings

PASS, REJECT = Verdict.PASS, Verdict.REJECT


def found(name: str, *place: float) -> Detection:
    x, y, side = place
    return Detection(
        detection_id="frame/0",
        class_index=0,
        class_name=name,
        score=0.9,
        box=(x, y, x + side, y + side),
        areas=np.array([0], np.int32),
    )


def verdict(detections: list[Detection]) -> Verdict:
    return REJECT if detections else PASS


def seen(*frames: tuple[list[Detection], list[Detection]]) -> Disagreement:
    counted = Disagreement()
    for serving, candidate in frames:
        counted = counted.with_frame(serving, verdict(serving), candidate, verdict(candidate))
    return counted


def test_the_same_place_is_an_overlap_of_a_third_and_the_same_class() -> None:
    # Two squares of 10 shifted by 5: intersection 50, union 150: 1/3, a little above 0.33.
    assert count_of([found("dent", 0, 0, 10)], [found("dent", 5, 0, 10)]) == ClassCount(both=1)
    # Shifted by 6: 40 of 160.
    assert count_of([found("dent", 0, 0, 10)], [found("dent", 6, 0, 10)]) == ClassCount(
        only_serving=1, only_candidate=1
    )
    counted = seen(([found("dent", 0, 0, 10)], [found("scratch", 0, 0, 10)]))
    assert dict(counted.classes) == {"dent": ClassCount(only_serving=1), "scratch": ClassCount(only_candidate=1)}
    assert (counted.pass_to_reject, counted.reject_to_pass) == (0, 0)  # both reject the part


def test_frames_flips_and_classes_add_up() -> None:
    dent, far = found("dent", 0, 0, 10), found("dent", 100, 0, 10)
    counted = seen(([], []), ([dent], []), ([], [dent]), ([dent, far], [dent]), ([dent], [dent, far]))
    assert (counted.frames, counted.reject_to_pass, counted.pass_to_reject) == (5, 1, 1)
    assert dict(counted.classes) == {"dent": ClassCount(both=2, only_serving=2, only_candidate=2)}
    report = report_of(counted.with_drop().with_failure("NaN"), ShadowSettings(frames=7))
    assert (report.frames, report.wanted, report.dropped, report.failed) == (5, 7, 1, 1)
    assert (report.classes[0].both, report.classes[0].only_serving, report.classes[0].only_candidate) == (2, 2, 2)


def test_nothing_is_judged_before_there_are_enough_frames_but_failures() -> None:
    dent = found("dent", 0, 0, 10)
    limits = ShadowSettings(frames=3, most_reject_to_pass=0.5)
    lost = seen(([dent], []), ([dent], []))
    assert standing_of(lost, limits) == (Standing.WAITING, ("it has answered 2 of 3 live frames",))
    assert standing_of(lost.with_frame([dent], REJECT, [dent], REJECT), limits)[0] is Standing.FAILED
    assert standing_of(lost.with_failure("NaN"), limits)[1] == ("it failed on 1 live frames, 0 allowed: NaN",)


def test_where_no_shadow_is_asked_for_only_failures_speak_against_one() -> None:
    counted = seen(([], [found("dent", 0, 0, 10)]))
    assert standing_of(counted, ShadowSettings()) == (Standing.PASSED, ())
    assert standing_of(counted.with_failure("NaN"), ShadowSettings())[0] is Standing.FAILED


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"most_reject_to_pass": 0.24}, "1 of 4 frames (25.0%) go from REJECT to PASS, 24.0% allowed"),
        ({"most_pass_to_reject": 0.24}, "1 of 4 frames (25.0%) go from PASS to REJECT, 24.0% allowed"),
        ({"most_lost": 0.4}, "50.0% of the dent detections are lost, 40.0% allowed"),
        ({"most_new": 0.4}, "50.0% of its dent detections are new, 40.0% allowed"),
    ],
)
def test_each_limit_is_held_by_itself_and_said_in_words(limits: dict[str, float], word: str) -> None:
    dent = found("dent", 0, 0, 10)
    counted = seen(([], []), ([dent], []), ([], [dent]), ([dent], [dent]))
    wide = {"frames": 4, "most_reject_to_pass": 1.0, "most_pass_to_reject": 1.0}
    assert standing_of(counted, ShadowSettings(**wide)) == (Standing.PASSED, ())
    assert standing_of(counted, ShadowSettings(**{**wide, **limits})) == (Standing.FAILED, (word,))


places = st.lists(st.builds(found, st.sampled_from(["dent", "scratch"]), *[st.integers(1, 40)] * 3), max_size=6)


@hypothesis_settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.tuples(places, places), max_size=5))
def test_every_detection_is_counted_once_and_a_model_agrees_with_itself(
    frames: list[tuple[list[Detection], list[Detection]]],
) -> None:
    counted = seen(*frames)
    for name in ("dent", "scratch"):
        count = counted.classes.get(name, ClassCount())
        assert count.both + count.only_serving == sum(item.class_name == name for pair in frames for item in pair[0])
        raised = sum(item.class_name == name for pair in frames for item in pair[1])
        assert 0 <= count.only_candidate <= raised
    itself = seen(*((serving, serving) for serving, _ in frames))
    assert (itself.pass_to_reject, itself.reject_to_pass) == (0, 0)
    assert all(count.lost == count.new == 0 for count in itself.classes.values())
