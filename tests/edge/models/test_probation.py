"""When a station takes a new model back: never for three unlucky parts, always for a model that is clearly worse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.models import probation
from edge.models.probation import Baseline, Move, Seen, at_least, decide, look_at, slow_from_us
from edge.models.recent import Recent
from edge.models.settings import ProbationSettings

SETTINGS = ProbationSettings()
BEFORE = Baseline(frames=1000, alarms=50, p99_us=10_000)
LATENCY_LOOK = 124
LOOKS = [frames for frames in range(1, 5000) if look_at(frames) is not None]


def counts(frames: int, *, errors: int = 0, alarms: int = 0, slow: int = 0) -> Seen:
    return Seen(frames=frames, errors=errors, alarms=alarms, timed=frames, slow=slow, in_a_row=frames)


@pytest.mark.parametrize(
    ("hits", "trials", "chance"), [(0, 5, 0.3), (1, 5, 0.3), (3, 5, 0.3), (5, 5, 0.3), (4, 40, 0.5), (30, 40, 0.5)]
)
def test_the_tail_is_the_binomial_one(hits: int, trials: int, chance: float) -> None:
    exact = sum(
        math.comb(trials, number) * chance**number * (1 - chance) ** (trials - number)
        for number in range(hits, trials + 1)
    )
    assert at_least(hits, trials, chance) == pytest.approx(exact, rel=1e-12)


def test_tails_far_out_are_neither_zero_nor_slow() -> None:
    # 1 % of 100,000 is 1,000; twice as many is some 32 standard deviations away.
    assert 0 < at_least(2000, 100_000, 0.01) < 1e-100
    assert at_least(1, 100_000, 0.01) == pytest.approx(1.0)


def test_looks_come_at_growing_numbers_of_frames_and_spend_the_risk_once() -> None:
    assert LOOKS[:6] == [20, 25, 32, 40, 50, 63]
    assert [look_at(frames) for frames in LOOKS] == list(range(1, len(LOOKS) + 1))
    assert sum(6 / (math.pi * look) ** 2 for look in range(1, 100_000)) < 1


def test_three_errors_are_enough_and_two_are_not() -> None:
    assert decide(counts(100, errors=2), BEFORE, SETTINGS, 60).move is Move.GO_ON
    advice = decide(counts(0, errors=3), Baseline(), SETTINGS, 1)
    assert advice.move is Move.ROLL_BACK
    assert "3 frames could not be answered" in advice.why


def test_a_model_that_rejects_everything_is_taken_back_after_a_few_frames() -> None:
    assert decide(counts(19, alarms=19), BEFORE, SETTINGS, 9).move is Move.GO_ON
    advice = decide(counts(20, alarms=20), BEFORE, SETTINGS, 9)
    assert advice.move is Move.ROLL_BACK
    assert "20 of 20 frames are rejected (100.0%)" in advice.why
    assert "50 of 1000 (5.0%): more than 2 times as often" in advice.why


def test_a_model_that_rejects_nothing_any_more_is_taken_back_where_that_is_asked_for() -> None:
    frames = LOOKS[next(place for place, number in enumerate(LOOKS) if number > 1000)]
    silent = counts(frames)
    before = Baseline(frames=1000, alarms=200)
    assert "less than 0.1 times as often" in decide(silent, before, SETTINGS, 60).why
    never = ProbationSettings(least_alarm_ratio=0)
    assert decide(silent, before, never, 60).move is Move.GO_ON


def test_three_unlucky_parts_take_nothing_back() -> None:
    assert decide(counts(20, alarms=3), BEFORE, SETTINGS, 9).move is Move.GO_ON
    assert decide(counts(LATENCY_LOOK, slow=3), BEFORE, SETTINGS, 9).move is Move.GO_ON


def test_a_slow_model_is_taken_back() -> None:
    assert slow_from_us(BEFORE, SETTINGS) == 20_000
    advice = decide(counts(LATENCY_LOOK, slow=20), BEFORE, SETTINGS, 9)
    assert advice.move is Move.ROLL_BACK
    assert f"20 of {LATENCY_LOOK} frames took longer than 20.0 ms" in advice.why
    # One slow second in a few frames says nothing about a percentile.
    assert decide(counts(80, slow=80), BEFORE, SETTINGS, 9).move is Move.GO_ON


def test_without_a_model_before_it_only_errors_speak_against_one() -> None:
    assert slow_from_us(Baseline(), SETTINGS) == 0
    assert decide(counts(1000, alarms=1000), Baseline(), SETTINGS, 60).move is Move.GO_ON


def test_a_station_that_does_not_watch_takes_nothing_back() -> None:
    blind = ProbationSettings(watch=False)
    assert decide(counts(20, errors=100, alarms=20), BEFORE, blind, 9).move is Move.GO_ON


def test_it_is_confirmed_by_itself_when_frames_and_minutes_are_over() -> None:
    settings = ProbationSettings(confirm_frames=100, confirm_minutes=10)
    assert decide(counts(99), Baseline(), settings, 601).move is Move.GO_ON
    assert decide(counts(100), Baseline(), settings, 599).move is Move.GO_ON
    assert decide(counts(100), Baseline(), settings, 600).move is Move.CONFIRM
    # An error begins the row anew.
    after_error = counts(99).with_error().with_frame(alarm=False, slow=False)
    assert after_error.frames == 100
    assert decide(after_error, Baseline(), settings, 601).move is Move.GO_ON


def test_by_default_only_a_person_confirms() -> None:
    assert decide(counts(10_000_000), Baseline(), SETTINGS, 1e9).move is Move.GO_ON


frames_seen = st.sampled_from(LOOKS)
baselines = st.integers(0, 2000).flatmap(
    lambda frames: st.builds(
        Baseline, frames=st.just(frames), alarms=st.integers(0, frames), p99_us=st.sampled_from([0, 5_000])
    )
)


@hypothesis_settings(max_examples=100, deadline=None)
@given(frames=frames_seen, baseline=baselines, data=st.data())
def test_more_alarms_never_save_a_model_that_has_too_many(frames: int, baseline: Baseline, data: st.DataObject) -> None:
    settings = ProbationSettings(least_alarm_ratio=0)
    fewer = data.draw(st.integers(0, frames))
    more = data.draw(st.integers(fewer, frames))
    first = decide(counts(frames, alarms=fewer), baseline, settings, 1)
    second = decide(counts(frames, alarms=more), baseline, settings, 1)
    assert not (first.move is Move.ROLL_BACK and second.move is Move.GO_ON)


@hypothesis_settings(max_examples=100, deadline=None)
@given(frames=frames_seen, baseline=baselines, alarms=st.integers(0, 5000), slow=st.integers(0, 5000))
def test_a_model_that_keeps_every_limit_is_never_taken_back(
    frames: int, baseline: Baseline, alarms: int, slow: int
) -> None:
    """Its rates as seen are within the band: no test may find against it."""
    alarms, slow = min(alarms, frames), min(slow, frames)
    rate, before = alarms / frames, baseline.alarms / max(1, baseline.frames)
    assume(SETTINGS.least_alarm_ratio * before <= rate <= SETTINGS.most_alarm_ratio * before or not baseline.frames)
    assume(slow / frames <= probation.SLOW_SHARE or not baseline.p99_us)
    assert decide(counts(frames, alarms=alarms, slow=slow), baseline, SETTINGS, 1).move is Move.GO_ON


@hypothesis_settings(max_examples=100, deadline=None)
@given(seen=st.builds(Seen, frames=st.integers(0, 500), errors=st.integers(0, 2)), seconds=st.floats(0, 1e6))
def test_time_alone_takes_no_model_back(seen: Seen, seconds: float) -> None:
    assert decide(seen, BEFORE, SETTINGS, 0) == decide(seen, BEFORE, SETTINGS, seconds)


def taken_back_at(rate: float, generator: np.random.Generator, *, before: float, frames: int) -> int | None:
    """Frame at which a model with this alarm rate is taken back; None: never, up to `frames`."""
    baseline = Baseline(frames=1000, alarms=int(generator.binomial(1000, before)))
    alarms = np.cumsum(generator.random(frames) < rate)
    for number in LOOKS:
        if number > frames:
            return None
        if decide(counts(number, alarms=int(alarms[number - 1])), baseline, SETTINGS, 1).move is Move.ROLL_BACK:
            return number
    return None


def test_over_a_whole_probation_good_models_stay_and_bad_ones_go() -> None:
    generator = np.random.default_rng(11)
    # Exactly at the limit, which is the hardest: the risk is 0.001, so one in 200 would be a lot.
    at_the_limit = [taken_back_at(0.1, generator, before=0.05, frames=3000) for _ in range(200)]
    assert sum(place is not None for place in at_the_limit) <= 1
    bad = [taken_back_at(0.4, generator, before=0.05, frames=3000) for _ in range(50)]
    assert all(place is not None and place <= 124 for place in bad)


def test_the_window_forgets_the_oldest_and_knows_no_percentile_of_a_few() -> None:
    recent = Recent(100)
    for number in range(1, 100):
        recent.add(number, alarm=number == 1)
    assert recent.baseline() == Baseline(frames=99, alarms=1, p99_us=0)
    recent.add(100, alarm=True)
    assert recent.baseline() == Baseline(frames=100, alarms=2, p99_us=99)
    recent.add(101, alarm=False)
    assert recent.baseline() == Baseline(frames=100, alarms=1, p99_us=100)
