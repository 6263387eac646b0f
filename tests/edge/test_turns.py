"""Callers take turns at a few places, and whoever would be too late is told at once."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.gate import Gate
from edge.service.guard import Lane
from edge.turns import Turns
from lineside.reasons import ContractError, Reason


def filled(places: int, *waiting: str) -> Turns[str]:
    """So many places taken by "first", and then those who wait, in order."""
    turns: Turns[str] = Turns(places)
    for _ in range(places):
        assert turns.come("first", "in work")
    for number, caller in enumerate(waiting):
        assert not turns.come(caller, f"{caller}{number}")
    return turns


def test_one_who_sends_ahead_waits_behind_himself_and_not_before_the_others() -> None:
    turns = filled(1, "greedy", "greedy", "greedy", "polite", "other", "polite")
    order = [turns.leave(float(now), stayed=1.0) for now in range(7)]
    assert order == ["greedy0", "polite3", "other4", "greedy1", "polite5", "greedy2", None]
    assert (turns.working, turns.waiting) == (0, 0)


def test_how_long_a_wait_will_be_follows_from_how_often_places_become_free() -> None:
    turns = filled(2, *["a"] * 12)
    for number in range(10):
        turns.leave(number * 0.02, stayed=0.04)
    ahead = turns.ahead_of("a")
    assert ahead.pictures == 4
    assert ahead.seconds == pytest.approx(5 * 0.02)
    # Somebody new has his turn after one of the other's.
    assert turns.ahead_of("b").pictures == 3


def test_where_nobody_is_ahead_nobody_is_refused_however_slow_it_was_before() -> None:
    turns = filled(1, "a", "a")
    for number in range(3):
        turns.leave(float(number), stayed=1.0)
    assert turns.ahead_of("a").seconds == 0.0


def test_a_quicker_model_is_noticed_by_pictures_that_were_alone() -> None:
    turns = filled(2, *["a"] * 4)
    for number in range(6):
        turns.leave(float(number), stayed=2.0)
    for _ in range(2):
        turns.come("a", "x")
    turns.leave(100.0, stayed=0.01)
    assert turns.ahead_of("a").seconds == pytest.approx(2 * 0.01)


class TurnsMachine(RuleBasedStateMachine):
    """Nobody is forgotten, nobody is called twice, and places are as many as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns[int] = Turns(3)
        self.number = 0
        self.working: set[int] = set()
        self.waiting: dict[int, str] = {}

    @rule(caller=st.sampled_from("abc"))
    def come(self, caller: str) -> None:
        self.number += 1
        if self.turns.come(caller, self.number):
            self.working.add(self.number)
        else:
            self.waiting[self.number] = caller

    @precondition(lambda self: self.working)
    @rule(stayed=st.one_of(st.none(), st.floats(0.001, 1)))
    def leave(self, stayed: float | None) -> None:
        self.working.remove(min(self.working))
        called = self.turns.leave(float(self.number), stayed=stayed)
        if called is not None:
            caller = self.waiting.pop(called)
            assert all(number > called for number, name in self.waiting.items() if name == caller)
            self.working.add(called)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        caller = self.waiting.pop(number)
        assert self.turns.give_up(caller, number)
        assert not self.turns.give_up(caller, number)

    @invariant()
    def counts_agree(self) -> None:
        assert self.turns.working == len(self.working) <= 3
        assert self.turns.waiting == len(self.waiting)
        assert not self.waiting or len(self.working) == 3


TestTurns = TurnsMachine.TestCase
TestTurns.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def soon(seconds: float) -> int:
    return time.monotonic_ns() + int(seconds * 1e9)


def test_whoever_would_be_too_late_is_refused_before_anything_is_done_for_him() -> None:
    gate = Gate(1)
    for _ in range(2):
        with gate.turn("a"):
            time.sleep(0.05)
    with gate.turn("a"):
        gate._turns._interval = 0.05  # as a busy minute would have taught it
        before = time.monotonic()
        with (
            pytest.raises(ContractError, match="1 pictures are ahead, about 100 ms") as error,
            gate.turn("b", deadline_monotonic_ns=soon(0.02)),
        ):
            pass
        assert error.value.reason is Reason.QUEUE_FULL
        assert time.monotonic() - before < 0.02


def test_one_whose_time_is_over_while_he_waits_is_told_so_and_his_place_is_not_lost() -> None:
    gate = Gate(1)
    with gate.turn("a"):
        with pytest.raises(ContractError) as error, gate.turn("b", deadline_monotonic_ns=soon(0.02)):
            pass
        assert error.value.reason is Reason.DEADLINE
        assert (gate.working, gate.waiting) == (1, 0)
    with gate.turn("c"):
        assert gate.working == 1
    assert gate.working == 0


def test_a_fault_inside_gives_the_place_to_the_next() -> None:
    gate = Gate(1)
    entered = threading.Event()

    def wait() -> None:
        with gate.turn("b"):
            entered.set()

    thread = threading.Thread(target=wait)

    def fail() -> None:
        with gate.turn("a"):
            thread.start()
            while not gate.waiting:
                pass
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert entered.wait(10)
    thread.join(10)
    assert (gate.working, gate.waiting) == (0, 0)


def test_a_greedy_caller_cannot_shut_another_out_of_a_lane() -> None:
    lane = Lane("Inspect", 8, reserve=2)
    greedy = [lane.place("greedy") for _ in range(8)]
    for place in greedy:
        place.__enter__()
    assert lane.refuses("greedy")
    with lane.place("polite"):
        for place in greedy[:3]:
            place.__exit__(None, None, None)
        # There is room, and it is not his: he holds five of eight, and there are two of them.
        assert lane.running == 6
        with pytest.raises(ContractError, match="6 calls to Inspect are already running, 5 of them yours") as error:
            lane.place("greedy").__enter__()
        assert error.value.reason is Reason.QUEUE_FULL
        assert not lane.refuses("polite")
    assert not lane.refuses("greedy")
    for place in greedy[3:]:
        place.__exit__(None, None, None)
    assert lane.idle(0)
