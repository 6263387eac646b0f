"""The handshake's answers one by one, and laws that hold for any events in any order."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.inspection import Verdict
from edge.outputs.handshake import (
    LAST_SEQUENCE,
    Able,
    Acknowledge,
    Counts,
    Event,
    Followed,
    Job,
    Judged,
    Missed,
    Mode,
    Outcome,
    Phase,
    Rules,
    State,
    Stop,
    Tick,
    Trigger,
    next_sequence,
    skipped,
    step,
)
from edge.outputs.reasons import CODES, OTHER, code_of
from edge.outputs.signals import Status, VerdictCode, signals_of

TRIGGERED = Rules(mode=Mode.TRIGGERED, verdict_ns=100, ack_ns=1000)
FOLLOWING = Rules(mode=Mode.FOLLOWING, verdict_ns=100, ack_ns=1000)
PASS = Outcome(verdict=Verdict.PASS, frame_id="f", part_id="P-1", detections=0)
REJECT = Outcome(verdict=Verdict.REJECT, reason="recipe default: 1 found", frame_id="f", detections=1)


def run(state: State, *events: Event, at: int = 0, rules: Rules = TRIGGERED) -> tuple[State, list[Job]]:
    jobs = []
    for event in events:
        state, job = step(state, event, at, rules)
        jobs += [job] if job is not None else []
    return state, jobs


@pytest.fixture
def ready() -> State:
    return run(State(next=7), Able(able=True))[0]


def see(state: State, rules: Rules = TRIGGERED) -> tuple[int, int, str]:
    """Result's number, verdict, reason."""
    signals = signals_of(state, mode=rules.mode, boot=1)
    return signals.result_sequence, int(signals.verdict), signals.reason


def test_a_trigger_begins_an_inspection_its_verdict_is_shown_and_an_acknowledgement_takes_it_away(ready: State) -> None:
    state, jobs = run(ready, Trigger(sequence=7, part_id="P-1"), at=50)
    assert jobs == [Job(sequence=7, part_id="P-1", deadline_ns=150)]
    signals = signals_of(state, mode=Mode.TRIGGERED, boot=1)
    assert signals.status == Status.ONLINE | Status.BUSY
    assert (signals.accepted_sequence, signals.verdict) == (7, VerdictCode.NONE)
    state, _ = run(state, Judged(sequence=7, outcome=PASS), at=149)
    signals = signals_of(state, mode=Mode.TRIGGERED, boot=1)
    assert signals.status == Status.ONLINE | Status.RESULT_VALID | Status.PASS
    assert (signals.result_sequence, signals.verdict, signals.part_id) == (7, VerdictCode.PASS, "P-1")
    state, _ = run(state, Acknowledge(sequence=7))
    signals = signals_of(state, mode=Mode.TRIGGERED, boot=1)
    assert signals.status == Status.ONLINE | Status.READY
    assert (signals.result_sequence, signals.verdict, signals.next_sequence) == (0, VerdictCode.NONE, 8)
    assert state.counts == Counts(triggers=1, passed=1)


def test_a_trigger_that_comes_again_is_the_same_trigger(ready: State) -> None:
    again = Trigger(sequence=7)
    state, jobs = run(ready, again, again, Judged(sequence=7, outcome=REJECT), again, Acknowledge(sequence=7), again)
    assert len(jobs) == 1
    assert state.counts == Counts(triggers=1, rejected=1)


def test_an_acknowledgement_of_another_number_takes_nothing_away(ready: State) -> None:
    state, _ = run(ready, Trigger(sequence=7), Acknowledge(sequence=7), Judged(sequence=7, outcome=PASS))
    assert see(run(state, Acknowledge(sequence=6), Acknowledge(sequence=0))[0]) == (7, 1, "")


def test_a_verdict_at_the_deadline_is_too_late(ready: State) -> None:
    state, _ = run(ready, Trigger(sequence=7))
    assert see(run(state, Judged(sequence=7, outcome=PASS), at=99)[0]) == (7, 1, "")
    late, _ = run(state, Judged(sequence=7, outcome=PASS), at=100)
    assert see(late) == (7, 3, "DEADLINE")
    assert late.counts.late == 1


def test_a_verdict_that_comes_after_the_deadline_is_counted_and_never_shown(ready: State) -> None:
    state, _ = run(ready, Trigger(sequence=7))
    state, _ = run(state, Tick(), at=100)
    assert see(state) == (7, 3, "DEADLINE")
    state, _ = run(state, Judged(sequence=7, outcome=PASS), at=101)
    assert see(state) == (7, 3, "DEADLINE")
    assert state.counts == Counts(triggers=1, no_verdict=1, late=1)


def test_a_trigger_while_busy_has_no_verdict_and_the_verdict_it_displaced_is_never_shown(ready: State) -> None:
    state, jobs = run(ready, Trigger(sequence=7), Trigger(sequence=8, part_id="P-8"))
    assert len(jobs) == 1
    assert see(state) == (8, 3, "TRIGGER_WHILE_BUSY")
    assert not state.ready
    state, _ = run(state, Judged(sequence=7, outcome=PASS))
    assert see(state) == (8, 3, "TRIGGER_WHILE_BUSY")
    state, jobs = run(state, Acknowledge(sequence=8), Trigger(sequence=9))
    assert [job.sequence for job in jobs] == [9]
    assert state.counts == Counts(triggers=3, no_verdict=1, late=1, refused=1)


def test_a_lost_acknowledgement_does_not_stop_the_line(ready: State) -> None:
    state, jobs = run(ready, Trigger(sequence=7), Judged(sequence=7, outcome=PASS), Trigger(sequence=8))
    assert [job.sequence for job in jobs] == [7, 8]
    assert see(state) == (0, 0, "")
    assert state.counts.unacknowledged == 1


def test_a_result_nobody_acknowledges_is_withdrawn(ready: State) -> None:
    state, _ = run(ready, Trigger(sequence=7), Judged(sequence=7, outcome=PASS))
    assert see(run(state, Tick(), at=999)[0]) == (7, 1, "")
    state, _ = run(state, Tick(), at=1000)
    signals = signals_of(state, mode=Mode.TRIGGERED, boot=1)
    # What a PLC that still waits for 7 can tell: it was taken, nothing is at work, and there is no result.
    assert (signals.accepted_sequence, signals.busy, signals.result_valid) == (7, False, False)
    assert state.counts.unacknowledged == 1


def test_numbers_that_were_left_out_are_told(ready: State) -> None:
    state, _ = run(ready, Trigger(sequence=7), Judged(sequence=7, outcome=PASS), Trigger(sequence=10))
    assert Status.SEQUENCE_GAP in signals_of(state, mode=Mode.TRIGGERED, boot=1).status
    assert state.counts.skipped == 2
    state, _ = run(state, Judged(sequence=10, outcome=PASS), Trigger(sequence=11))
    assert Status.SEQUENCE_GAP not in signals_of(state, mode=Mode.TRIGGERED, boot=1).status


def test_after_a_start_of_the_station_only_the_announced_number_or_a_zero_before_is_trusted() -> None:
    state, jobs = run(State(next=500), Able(able=True), Trigger(sequence=41))
    assert (jobs, see(state)) == ([], (41, 3, "STATION_RESTARTED"))
    # One more of before, right behind it.
    assert see(run(state, Trigger(sequence=42))[0]) == (42, 3, "STATION_RESTARTED")
    for numbers in ((500,), (0, 1)):
        taken, jobs = run(state, *(Trigger(sequence=number) for number in numbers))
        assert [job.sequence for job in jobs] == [numbers[-1]]
        assert taken.phase is Phase.BUSY


def test_a_plc_that_starts_anew_gets_no_result_of_before(ready: State) -> None:
    for so_far in ((), (Judged(sequence=7, outcome=PASS),)):
        state, _ = run(ready, Trigger(sequence=7), *so_far, Trigger(sequence=0))
        signals = signals_of(state, mode=Mode.TRIGGERED, boot=1)
        assert (signals.accepted_sequence, signals.result_valid, signals.busy) == (0, False, False)
        assert see(run(state, Judged(sequence=7, outcome=PASS))[0]) == (0, 0, "")


def test_ready_says_whether_camera_and_model_are_there(ready: State) -> None:
    assert ready.ready
    state, _ = run(ready, Able(able=False, why="no model"))
    assert not state.ready
    # A trigger is tried all the same: the camera's own refusal is the better answer.
    assert len(run(state, Trigger(sequence=7))[1]) == 1


def test_a_station_that_stops_answers_what_is_at_work_and_takes_nothing_new(ready: State) -> None:
    state, jobs = run(ready, Trigger(sequence=7), Stop())
    assert see(state) == (7, 3, "DRAINING")
    assert Status.ONLINE not in signals_of(state, mode=Mode.TRIGGERED, boot=1).status
    state, jobs = run(state, Judged(sequence=7, outcome=PASS), Trigger(sequence=8))
    assert (jobs, see(state)) == ([], (8, 3, "DRAINING"))


def test_following_numbers_every_inspection_and_tells_of_those_it_never_heard_of() -> None:
    state, jobs = run(State(next=7), Followed(outcome=PASS), Followed(outcome=REJECT), rules=FOLLOWING)
    assert (jobs, see(state, FOLLOWING)) == ([], (8, 2, REJECT.reason))
    assert state.counts == Counts(passed=1, rejected=1, unacknowledged=1)
    state, _ = run(state, Missed(count=3), Followed(outcome=PASS), rules=FOLLOWING)
    assert see(state, FOLLOWING) == (12, 1, "")
    assert Status.SEQUENCE_GAP in signals_of(state, mode=Mode.FOLLOWING, boot=1).status
    state, _ = run(state, Followed(outcome=PASS), Trigger(sequence=40), rules=FOLLOWING)
    assert see(state, FOLLOWING) == (13, 1, "")
    assert signals_of(state, mode=Mode.FOLLOWING, boot=1).status == (
        Status.ONLINE | Status.FOLLOWING | Status.RESULT_VALID | Status.PASS
    )
    assert state.counts.refused == 1
    assert state.counts.skipped == 3


def test_following_shows_no_verdict_that_came_too_late() -> None:
    state, _ = run(State(next=7), Followed(outcome=PASS, age_ns=100), rules=FOLLOWING)
    assert see(state, FOLLOWING) == (7, 3, "DEADLINE")
    assert state.counts.late == 1


def test_numbers_go_from_65535_to_1() -> None:
    assert (next_sequence(1), next_sequence(LAST_SEQUENCE)) == (2, 1)
    assert skipped(65535, 1) == 1
    assert skipped(5, 5) == 0
    assert skipped(5, 4) == 0  # backwards: somebody counts anew
    state, _ = run(State(next=65534), Followed(outcome=PASS), Missed(count=2), Followed(outcome=PASS), rules=FOLLOWING)
    assert state.accepted == 2


@pytest.mark.parametrize("sequence", [-1, 65536])
def test_a_number_that_fits_no_register_is_refused_at_birth(sequence: int) -> None:
    for event in (Trigger, Acknowledge):
        with pytest.raises(ValueError, match="expected 0 to 65535"):
            event(sequence=sequence)


def test_every_reason_has_a_number_of_its_own() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert OTHER not in CODES.values()
    assert code_of("TRIGGER_WHILE_BUSY") == 2
    assert code_of("SOMETHING_NEW") == OTHER


SEQUENCES = st.sampled_from([0, 1, 2, 3, 65534, 65535])
OUTCOMES = st.builds(
    lambda verdict, number: Outcome(
        verdict=verdict, reason="" if verdict is Verdict.PASS else "NO_MODEL", frame_id=str(number)
    ),
    st.sampled_from(Verdict),
    st.integers(0, 99),
)
EVENTS = st.one_of(
    st.builds(Trigger, sequence=SEQUENCES, part_id=st.sampled_from(["", "A", "B"])),
    st.builds(Acknowledge, sequence=SEQUENCES),
    st.builds(Judged, sequence=SEQUENCES, outcome=OUTCOMES),
    st.builds(Followed, outcome=OUTCOMES, age_ns=st.integers(0, 200)),
    st.builds(Missed, count=st.integers(1, 3)),
    st.builds(Able, able=st.booleans()),
    st.just(Tick()),
    st.just(Stop()),
)


@settings(max_examples=200, deadline=None)
@given(
    mode=st.sampled_from(Mode),
    first=st.sampled_from([1, 2, 65535]),
    happenings=st.lists(st.tuples(EVENTS, st.integers(0, 150)), max_size=30),
)
def test_whatever_happens_the_laws_hold(mode: Mode, first: int, happenings: list[tuple[Event, int]]) -> None:
    rules = Rules(mode=mode, verdict_ns=100, ack_ns=300)
    state, now = State(next=first), 0
    begun: list[Job] = []
    for event, passed in happenings:
        now += passed
        before = state
        state, job = step(state, event, now, rules)
        signals = signals_of(state, mode=mode, boot=1)
        # One inspection at a time, and only for a trigger of a PLC that may.
        if job is not None:
            assert isinstance(event, Trigger)
            assert mode is Mode.TRIGGERED
            assert before.running == 0
            begun.append(job)
        # A verdict is there exactly while it may be taken, and belongs to the number beside it.
        assert signals.result_valid == (signals.verdict is not VerdictCode.NONE) == (signals.result_sequence != 0)
        verdict_bits = signals.status & (Status.PASS | Status.REJECT | Status.NO_VERDICT)
        assert int(verdict_bits).bit_count() == int(signals.result_valid)
        assert not (signals.busy and signals.result_valid)
        assert not (signals.ready and (signals.busy or signals.result_valid or state.running))
        # PASS begins to be shown only when a PASS comes, in time, for the number that is waited for.
        if state.outcome is not before.outcome and signals.verdict is VerdictCode.PASS:
            if mode is Mode.TRIGGERED:
                assert isinstance(event, Judged)
                assert event.sequence == begun[-1].sequence == signals.result_sequence
                assert now < begun[-1].deadline_ns
            else:
                assert isinstance(event, Followed)
                assert event.age_ns < 100
            assert event.outcome.verdict is Verdict.PASS
            assert event.outcome.frame_id == signals.frame_id
        # Every number taken has one answer, or is being worked on, or was given up by the PLC itself.
        counts = state.counts
        answers = counts.passed + counts.rejected + counts.no_verdict
        if mode is Mode.TRIGGERED:
            assert answers <= counts.triggers
        for field in dataclasses.fields(Counts):
            assert getattr(counts, field.name) >= getattr(before.counts, field.name)


@given(first=st.integers(1, LAST_SEQUENCE), count=st.integers(0, 40))
def test_skipped_counts_what_lies_between(first: int, count: int) -> None:
    number = first
    for _ in range(count):
        number = next_sequence(number)
    assert skipped(first, number) == count
