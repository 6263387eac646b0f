"""Which frames count for which model, and what is remembered of the one before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.inspection import Inspection, ModelIdentity, Timings, Verdict
from edge.models.probation import Advice, Move
from edge.models.settings import ProbationSettings
from edge.models.swap import Held, Lineup, State
from edge.models.watchman import Watchman
from lineside.reasons import ContractError, Reason

ONE, TWO, THREE = (f"sha256:{number:064x}" for number in (1, 2, 3))


@dataclasses.dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Hand:
    """What was asked for."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Move]] = []
        self.refuses: ContractError | None = None

    def __call__(self, digest: str, advice: Advice) -> None:
        self.done.append((digest, advice.move))
        if self.refuses is not None:
            raise self.refuses


def serving(digest: str, state: State) -> Lineup:
    return Lineup(held=(Held(digest=digest, state=state, changed_unix_ns=1),), serving=digest)


def inspection(digest: str, verdict: Verdict = Verdict.PASS, *, reason: str = "some", us: int = 1000) -> Inspection:
    return Inspection(
        frame_id="f",
        station="line-1",
        camera="top",
        part_id="",
        verdict=verdict,
        verdict_reason="" if verdict is Verdict.PASS else reason,
        detections=(),
        model=ModelIdentity(name="tiles", version="1.0.0", digest=digest),
        timings=Timings(preprocess_us=us // 2, inference_us=us // 2),
        width=1,
        height=1,
        captured_unix_ns=0,
        captured_monotonic_ns=0,
        camera_sequence=0,
        mentored=False,
    )


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchman(tmp_path: Path, hand: Hand, clock: Clock) -> Watchman:
    return Watchman(ProbationSettings(confirm_minutes=1), tmp_path / "baseline.json", hand, clock)


def test_only_its_own_frames_count_for_a_model(watchman: Watchman) -> None:
    watchman.follow(serving(ONE, State.CONFIRMED))
    for _ in range(3):
        watchman.saw(inspection(ONE, Verdict.REJECT))
    watchman.follow(serving(TWO, State.ACTIVE))
    watchman.saw(inspection(ONE))  # it was on its way at the switch
    watchman.saw(inspection(TWO))
    watchman.saw(inspection(TWO, Verdict.NO_VERDICT, reason=Reason.DEADLINE.value))  # the caller's haste
    watchman.saw(inspection(TWO, Verdict.NO_VERDICT, reason=Reason.PKG_NAN.value))
    watchman.saw(dataclasses.replace(inspection(TWO, Verdict.NO_VERDICT), model=None))  # no camera, no model
    report = watchman.report(TWO)
    assert report is not None
    assert (report.frames, report.errors, report.alarms) == (1, 1, 0)
    assert (report.baseline_frames, report.baseline_alarms) == (3, 3)
    assert watchman.report(ONE) is None


def test_a_model_that_was_confirmed_takes_its_frames_along(watchman: Watchman) -> None:
    watchman.follow(serving(ONE, State.ACTIVE))
    for _ in range(5):
        watchman.saw(inspection(ONE))
    watchman.follow(serving(ONE, State.CONFIRMED))
    watchman.saw(inspection(ONE, Verdict.REJECT))
    watchman.follow(serving(TWO, State.ACTIVE))
    report = watchman.report(TWO)
    assert report is not None
    assert (report.baseline_frames, report.baseline_alarms) == (6, 1)


def test_a_second_trial_is_compared_with_the_confirmed_model_not_with_the_first(watchman: Watchman) -> None:
    watchman.follow(serving(ONE, State.CONFIRMED))
    for _ in range(4):
        watchman.saw(inspection(ONE))
    watchman.follow(serving(TWO, State.ACTIVE))
    for _ in range(7):
        watchman.saw(inspection(TWO, Verdict.REJECT))
    watchman.follow(serving(THREE, State.ACTIVE))
    report = watchman.report(THREE)
    assert report is not None
    assert (report.frames, report.baseline_frames, report.baseline_alarms) == (0, 4, 0)


def test_a_confirmed_model_that_comes_back_is_not_a_stranger(watchman: Watchman) -> None:
    watchman.follow(serving(ONE, State.CONFIRMED))
    watchman.saw(inspection(ONE))
    watchman.follow(serving(TWO, State.ACTIVE))
    watchman.follow(serving(ONE, State.CONFIRMED))
    watchman.saw(inspection(ONE))
    watchman.follow(serving(THREE, State.ACTIVE))
    report = watchman.report(THREE)
    assert report is not None
    assert report.baseline_frames == 2


def test_what_is_decided_is_done_once_and_again_later_where_it_failed(
    watchman: Watchman, hand: Hand, clock: Clock
) -> None:
    def see_until(count: int, *, seconds: int = 0) -> None:
        while len(hand.done) < count:
            clock.now += seconds  # the hand may still be about to note when it failed
            watchman.saw(inspection(ONE))

    hand.refuses = ContractError(Reason.STORAGE_FULL, "full")
    watchman.follow(serving(ONE, State.ACTIVE))
    clock.now = 61
    see_until(1)
    see_until(2, seconds=100)
    watchman.close()
    for _ in range(10):
        watchman.saw(inspection(ONE))  # the station stops: nothing more is begun
    assert hand.done == [(ONE, Move.CONFIRM)] * 2


def test_a_model_that_is_far_slower_is_taken_back_once_the_switch_has_settled(
    watchman: Watchman, hand: Hand, clock: Clock
) -> None:
    watchman.follow(serving(ONE, State.CONFIRMED))
    for _ in range(150):
        watchman.saw(inspection(ONE, us=1000))
    watchman.follow(serving(TWO, State.ACTIVE))
    for _ in range(200):
        watchman.saw(inspection(TWO, us=5000))  # the old model is being put away
    clock.now = 5.0
    for _ in range(200):
        watchman.saw(inspection(TWO, us=1500))
    assert hand.done == []
    report = watchman.report(TWO)
    assert report is not None
    assert (report.baseline_p99_us, report.p99_us, report.seconds) == (1000, 5000, 5.0)
    while not hand.done:
        watchman.saw(inspection(TWO, us=5000))
    watchman.close()
    assert hand.done[0] == (TWO, Move.ROLL_BACK)


def test_a_torn_baseline_is_none(tmp_path: Path, hand: Hand, clock: Clock) -> None:
    for content in ("", "{", '{"digest": "x"', '{"digest": "x", "frames": 1, "alarms": 5, "p99_us": 0}'):
        (tmp_path / "baseline.json").write_text(content)
        watchman = Watchman(ProbationSettings(), tmp_path / "baseline.json", hand, clock)
        watchman.follow(serving(TWO, State.ACTIVE))
        report = watchman.report(TWO)
        assert report is not None
        assert report.baseline_frames == 0
        watchman.close()
