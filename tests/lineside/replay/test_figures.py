"""Shares and their intervals against numbers computed by hand, and totals that add up whatever happened."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.replay.figures import Tally, Unused, share_of, tally_of, wilson
from lineside.replay.gate import decide
from lineside.replay.judging import DISPUTED, Answer, Expectation, FrameResult, Kind, Result, Truth
from lineside.replay.policy import Policy


def test_wilsons_interval_is_the_textbooks() -> None:
    # 8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416 = 0.71674;
    # half 1.96 / 1.38416 * sqrt(0.016 + 0.009604) = 0.22658
    low, high = wilson(0.8, 10, z=1.96)
    assert (low, high) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(1.0, 20) == (pytest.approx(20 / (20 + 1.959964**2)), 1.0)
    assert wilson(0.0, 20)[0] == 0.0
    assert all(math.isnan(bound) for bound in wilson(math.nan, 0))


def test_weights_correct_a_biased_log() -> None:
    """90 frames were kept for sure, with 9 lost; of the rest every tenth was kept, and 5 of 10 are lost.

    Raw: 14 of 100. The line made 90 + 10 / 0.1 = 190 such defects and 9 + 5 / 0.1 = 59 of them are lost: 31 %.
    Effective frames: 190^2 / (90 * 1 + 10 * 100) = 36100 / 1090. Variance of the total: 5 * 0.9 / 0.01 = 450.
    """
    kept = [(1.0, int(number < 9), 1) for number in range(90)] + [(10.0, int(number < 5), 1) for number in range(10)]
    share = share_of(kept)
    assert (share.hits, share.total, share.raw) == (14, 100, pytest.approx(0.14))
    assert (share.weighted_hits, share.weighted_total) == (pytest.approx(59), pytest.approx(190))
    assert share.weighted == pytest.approx(59 / 190)
    assert share.effective == pytest.approx(36100 / 1090)
    assert share.weighted_hits_error == pytest.approx(math.sqrt(450))
    assert (share.weighted_low, share.weighted_high) == pytest.approx(wilson(59 / 190, 36100 / 1090))


def test_a_log_kept_whole_has_the_raw_share_in_both_columns() -> None:
    share = share_of([(1.0, 1, 1), (1.0, 0, 1), (1.0, 1, 1), (1.0, 1, 1)])
    assert share.weighted == share.raw == 0.75
    assert (share.low, share.high) == pytest.approx((share.weighted_low, share.weighted_high))
    assert share.weighted_hits_error == 0.0


def test_nothing_to_count_is_no_share() -> None:
    share = share_of([(1.0, 0, 0)])
    assert math.isnan(share.raw)
    assert math.isnan(share.weighted)


def a_frame(results: list[tuple[Kind, Answer, str]], *, part: str, probability: float, aside: int) -> FrameResult:
    return FrameResult(
        frame_id="f",
        part_id=part,
        camera="top",
        weight=1 / probability,
        results=tuple(
            Result(
                expectation=Expectation(kind=kind, class_name=name, box=None, poor_box=False, last_event=7),
                answer=answer,
                by=(),
                nearest=0.0,
            )
            for kind, answer, name in results
        ),
        said=(),
        judged_boxes=(),
        set_aside=(DISPUTED,) * aside,
        before="REJECT",
        after="PASS",
        truth=Truth.OPEN,
    )


on_defects = st.tuples(
    st.sampled_from([Kind.CONFIRMED, Kind.NAMED, Kind.DRAWN]),
    st.sampled_from([Answer.FOUND, Answer.RENAMED, Answer.LOST]),
    st.sampled_from(["dent", "scratch"]),
)
on_others = st.tuples(
    st.sampled_from([Kind.REJECTED, Kind.NOT_THAT_CLASS, Kind.HEALTHY, Kind.COMPLETE]),
    st.sampled_from([Answer.SILENT, Answer.FIRES]),
    st.sampled_from(["dent", "scratch"]),
)
frames_of = st.lists(
    st.builds(
        lambda results, part, probability, aside: a_frame(results, part=part, probability=probability, aside=aside),
        st.lists(st.one_of(on_defects, on_others), max_size=4),
        st.sampled_from(["A", "B", ""]),
        st.floats(0.01, 1.0),
        st.integers(0, 2),
    ),
    max_size=8,
)
unused_of = st.lists(
    st.builds(
        lambda reason, count: Unused(frame_id="f", part="A", reason=reason, judgements=(reason,) * count),
        st.sampled_from(["RECORD_CORRUPT", "taken back"]),
        st.integers(0, 3),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(frames_of, unused_of, unused_of)
def test_totals_add_up_and_shares_stay_shares(
    frames: list[FrameResult], skipped: list[Unused], unanswered: list[Unused]
) -> None:
    tally = tally_of(frames, skipped=skipped, unanswered=unanswered)
    assert tally.records == tally.used + sum(tally.skipped.values()) + sum(tally.unanswered.values())
    assert tally.judgements == sum(tally.answered.values()) + sum(tally.set_aside.values())
    given_judgements = sum(len(frame.results) + len(frame.set_aside) for frame in frames)
    assert tally.judgements == given_judgements + sum(len(item.judgements) for item in [*skipped, *unanswered])
    assert tally.found.total + tally.firing.total + tally.sound_firing.total == sum(tally.answered.values())
    assert sum(share.total for share in tally.found_by_class.values()) == tally.found.total
    assert sum(share.hits for share in tally.firing_by_class.values()) == tally.firing.hits
    assert tally.escapes.hits == sum(tally.escaped_parts.values())
    assert tally.found.hits + tally.escapes.hits <= tally.found.total
    assert sum(tally.flips.values()) == len(frames)
    for share in (tally.found, tally.escapes, tally.firing, tally.sound_firing):
        if share.total:
            assert 0 <= share.low <= share.raw <= share.high <= 1
            assert 0 <= share.weighted_low <= share.weighted + 1e-12
            assert share.weighted <= share.weighted_high + 1e-12
            assert share.effective <= share.total + 1e-9


def tally(*results: tuple[Kind, Answer, str], probability: float = 1.0) -> Tally:
    return tally_of(
        [
            a_frame([item], part=f"part-{number}", probability=probability, aside=0)
            for number, item in enumerate(results)
        ]
    )


def test_each_limit_refuses_by_its_own_name() -> None:
    lost, renamed = (Kind.CONFIRMED, Answer.LOST, "dent"), (Kind.CONFIRMED, Answer.RENAMED, "dent")
    fires, alarm = (Kind.REJECTED, Answer.FIRES, "dent"), (Kind.HEALTHY, Answer.FIRES, "")
    free = Policy(least_records=1, least_found_share=0.0)

    def limits(seen: Tally, policy: Policy = free) -> list[str]:
        return [refusal.limit for refusal in decide(seen, policy).refusals]

    assert limits(tally(lost)) == ["most_escapes"]
    assert limits(tally(renamed)) == []
    assert limits(tally(renamed), Policy(least_records=1)) == ["least_found_share"]
    assert limits(tally(renamed), Policy(least_records=1, least_found_share_by_class={"dent": 0.0})) == []
    assert limits(tally(fires)) == ["most_firing_share"]
    assert limits(tally(alarm)) == ["most_sound_firing_share"]
    assert limits(tally((Kind.CONFIRMED, Answer.FOUND, "dent")), Policy(least_records=2)) == ["least_records"]
    failed = tally_of([], unanswered=[Unused(frame_id="f", part="A", reason="NaN", judgements=())])
    assert limits(failed)[0] == "answers"


def test_a_limit_on_shares_looks_at_the_line_unless_told_otherwise() -> None:
    """One of two rejected fires; it was an audited frame that stands for nine others: 1/11 or 10/11 against 1/2."""
    frames = [
        a_frame([(Kind.REJECTED, Answer.FIRES, "dent")], part="A", probability=0.1, aside=0),
        a_frame([(Kind.REJECTED, Answer.SILENT, "dent")], part="B", probability=1.0, aside=0),
    ]
    seen = tally_of(frames)
    assert seen.firing.weighted == pytest.approx(10 / 11)
    assert decide(seen, Policy(least_records=1, shares="raw")).passed
    assert [item.limit for item in decide(seen, Policy(least_records=1)).refusals] == ["most_firing_share"]


def test_long_lists_of_parts_are_cut_in_words_and_whole_in_the_value() -> None:
    refusal = decide(tally(*[(Kind.DRAWN, Answer.LOST, "dent")] * 30), Policy(least_found_share=0.0)).refusals[0]
    assert len(refusal.parts) == 30
    assert refusal.text.endswith("and 10 more")
