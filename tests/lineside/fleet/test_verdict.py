"""What figures say of a new model: wait, go on, alarm; by hand-computed numbers."""

from __future__ import annotations

import math

import pytest

from lineside.binomial import at_least
from lineside.fleet.plan import Limits
from lineside.fleet.verdict import Word, before_serving, too_many_alarms, while_serving
from lineside.v1 import model_pb2, swap_pb2

NEW, OLD = "sha256:new", "sha256:old"
LIMITS = Limits(frames=100, seconds=10)


def answer(state: str, *, serving: bool = False, old_serves: bool = True, **fields: object) -> model_pb2.ListResponse:
    new = model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name="tiles", version="1.1.0", digest=NEW),
        state=model_pb2.ModelState.Value(f"MODEL_STATE_{state}"),
        serving=serving,
        **fields,  # type: ignore[arg-type]
    )
    old = model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name="tiles", version="1.0.0", digest=OLD), serving=old_serves and not serving
    )
    return model_pb2.ListResponse(models=[new, old])


def trial(frames: int = 100, seconds: float = 10.0, **counts: int) -> swap_pb2.ProbationReport:
    return swap_pb2.ProbationReport(frames=frames, seconds=seconds, **counts)


@pytest.mark.parametrize(
    ("said", "word", "text"),
    [
        (answer("WARMED", ready=True), Word.GO_ON, "ready"),
        (answer("WARMED"), Word.WAIT, "WARMED"),
        (answer("WARMED", replay=swap_pb2.ReplayReport(done=3, total=9)), Word.WAIT, "replay: 3 of 9"),
        (answer("SHADOW", shadow=swap_pb2.ShadowReport(frames=3, wanted=9)), Word.WAIT, "shadow: 3 of 9"),
        (answer("REFUSED", reason="GATE_FAILED", message="3 escape"), Word.ALARM, "GATE_FAILED: 3 escape"),
        (answer("ACTIVE", serving=True), Word.GO_ON, "already"),
        (answer("RETIRED"), Word.GO_ON, "before"),
        (model_pb2.ListResponse(), Word.ALARM, "does not hold"),
    ],
)
def test_before_it_serves(said: model_pb2.ListResponse, word: Word, text: str) -> None:
    found = before_serving(said, NEW, LIMITS)
    assert found.word is word
    assert text in found.text


@pytest.mark.parametrize(
    ("shadow", "word"),
    [
        ({"frames": 19}, Word.WAIT),
        ({"frames": 20, "pass_to_reject": 1, "reject_to_pass": 1}, Word.GO_ON),
        ({"frames": 20, "pass_to_reject": 2, "reject_to_pass": 1}, Word.ALARM),
        ({"frames": 5, "failed": 1}, Word.ALARM),
    ],
)
def test_a_shadow_the_desk_asks_for_has_the_desks_limits(shadow: dict[str, int], word: Word) -> None:
    limits = Limits(shadow_frames=20, most_flips=0.1)
    said = answer("SHADOW", ready=True, shadow=swap_pb2.ShadowReport(**shadow))
    assert before_serving(said, NEW, limits).word is word


def test_where_nothing_serves_no_shadow_is_waited_for() -> None:
    assert (
        before_serving(answer("BUILT", ready=True, old_serves=False), NEW, Limits(shadow_frames=20)).word is Word.GO_ON
    )


@pytest.mark.parametrize(
    ("said", "word", "text"),
    [
        (answer("ACTIVE", serving=True, probation=trial()), Word.GO_ON, "100 frames, 0 rejected"),
        (answer("ACTIVE", serving=True, probation=trial(99)), Word.WAIT, "99 of 100 frames"),
        (answer("ACTIVE", serving=True, probation=trial(100, 9.9)), Word.WAIT, "10 of 10 s"),
        (answer("ACTIVE", serving=True, probation=trial(5, errors=1)), Word.ALARM, "1 frames not answered"),
        (answer("CONFIRMED", serving=True), Word.GO_ON, "confirmed"),
        (
            answer("RETIRED", message="taken back by the station: worse"),
            Word.ALARM,
            "tiles 1.0.0 serves there now: taken",
        ),
        (answer("RETIRED"), Word.ALARM, "somebody let another model serve"),
        (answer("REFUSED", reason="PKG_NAN", old_serves=False), Word.ALARM, "nothing serves there now"),
        (model_pb2.ListResponse(), Word.ALARM, "does not hold"),
    ],
)
def test_while_it_serves(said: model_pb2.ListResponse, word: Word, text: str) -> None:
    found = while_serving(said, NEW, LIMITS)
    assert found.word is word
    assert text in found.text


def test_progress_grows_with_frames_and_ends_with_the_seconds_asked_for() -> None:
    def progress(frames: int, seconds: float) -> int:
        said = answer("ACTIVE", serving=True, probation=trial(frames, seconds))
        return while_serving(said, NEW, LIMITS).progress

    assert progress(3, 4.0) < progress(4, 4.0) < progress(4, 5.0)
    # On an idle line nothing moves any more once the seconds are over.
    assert progress(4, 60.0) == progress(4, 90.0)


def test_alarms_are_compared_by_an_exact_test() -> None:
    # 12 of 100 against 10 of 1000 with a ratio of 2: k of 22 with p = 200 / 1200. The terms by the textbook.
    exact = sum(math.comb(22, k) * (1 / 6) ** k * (5 / 6) ** (22 - k) for k in range(12, 23))
    assert at_least(12, 22, 1 / 6) == pytest.approx(exact, rel=1e-12)
    assert exact < 0.01
    counts = {"alarms": 12, "baseline_alarms": 10, "baseline_frames": 1000}
    assert too_many_alarms(trial(**counts), LIMITS)
    assert not too_many_alarms(trial(**{**counts, "alarms": 2}), LIMITS)  # 2 % is twice 1 % exactly
    assert not too_many_alarms(trial(**counts), Limits(most_alarm_ratio=0))
    assert not too_many_alarms(trial(alarms=100), LIMITS)  # nothing to compare with
    said = answer("ACTIVE", serving=True, probation=trial(**counts))
    assert while_serving(said, NEW, LIMITS).word is Word.ALARM
