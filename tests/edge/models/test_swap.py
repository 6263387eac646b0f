"""The swap's table: whatever order events come in, the station knows who serves and can always go back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.models import swap
from edge.models.journal import lineup_bytes, parse_lineup
from edge.models.swap import TABLE, Event, Lineup, Policy, State
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

DIGESTS = tuple(f"sha256:{number:064x}" for number in range(5))
VERSIONS = dict(zip(DIGESTS, ("1.0.0", "1.1.0", "1.2.0", "2.0.0", "10.0.0"), strict=True))
PLAIN = Policy()


def ready(lineup: Lineup, digest: str, *, version: str | None = None, now: int = 1) -> Lineup:
    """Takes a package as far as WARMED."""
    lineup = swap.received(lineup, digest, now)
    lineup = swap.verified(lineup, digest, "tiles", version or VERSIONS[digest], now)
    lineup = swap.advanced(lineup, digest, Event.BUILT, now)
    return swap.advanced(lineup, digest, Event.WARMED, now)


def serving(lineup: Lineup, digest: str, **options: str) -> Lineup:
    return swap.activated(ready(lineup, digest, **options), digest, PLAIN, 2)


def state_of(lineup: Lineup, digest: str) -> State:
    return lineup.get(digest).state


def refused(lineup: Lineup, digest: str, now: int) -> Lineup:
    return swap.refused(lineup, digest, Reason.PKG_NAN, "NaN", now)


def verified(lineup: Lineup, digest: str, now: int) -> Lineup:
    return swap.verified(lineup, digest, "tiles", VERSIONS[digest], now)


MOVES = {
    "receive": swap.received,
    "verify": verified,
    "build": lambda lineup, digest, now: swap.advanced(lineup, digest, Event.BUILT, now),
    "warm": lambda lineup, digest, now: swap.advanced(lineup, digest, Event.WARMED, now),
    "replay": lambda lineup, digest, now: swap.advanced(lineup, digest, Event.REPLAYED, now),
    "shadow": lambda lineup, digest, now: swap.advanced(lineup, digest, Event.SHADOWED, now),
    "unload": lambda lineup, digest, now: swap.advanced(lineup, digest, Event.UNLOADED, now),
    "activate": lambda lineup, digest, now: swap.activated(lineup, digest, PLAIN, now),
    "confirm": swap.confirmed,
    "roll back": lambda lineup, _, now: swap.rolled_back(lineup, now),
    "refuse": refused,
    "stand down": lambda lineup, _, now: swap.stood_down(lineup, now),
    "restart": lambda lineup, _, now: swap.restarted(lineup, {item.digest for item in lineup.held}, now),
    "restart without it": lambda lineup, digest, now: swap.restarted(
        lineup, {item.digest for item in lineup.held} - {digest}, now
    ),
}
SERVED = {State.ACTIVE, State.CONFIRMED, State.RETIRED}


def check(lineup: Lineup) -> None:
    digests = [item.digest for item in lineup.held]
    assert len(set(digests)) == len(digests)
    assert [item.digest for item in lineup.held if item.state is State.ACTIVE] in ([], [lineup.serving])
    if lineup.serving is not None:
        assert state_of(lineup, lineup.serving) in (State.ACTIVE, State.CONFIRMED)
    assert lineup.serving not in lineup.trail
    assert len(set(lineup.trail)) == len(lineup.trail)
    for digest in lineup.trail:
        assert state_of(lineup, digest) in (State.RETIRED, State.CONFIRMED)
    assert sum(item.state is State.CONFIRMED for item in lineup.held) <= 1
    for item in lineup.held:
        assert (item.reason is not None) == (item.state is State.REFUSED)
        assert not (item.was_confirmed and item.state < State.ACTIVE)
    assert parse_lineup(lineup_bytes(lineup)) == lineup


class Station(RuleBasedStateMachine):
    """Any order of events on a station that asks for some of the optional steps, beside a model of what it promises."""

    @initialize(policy=st.builds(Policy, replay=st.booleans(), shadow=st.booleans()))
    def begin(self, policy: Policy) -> None:
        self.policy = policy
        self.lineup = Lineup()
        self.refusals: set[Reason] = set()
        self.now = 0
        self.taken: dict[str, set[Event]] = {}
        """Steps each package has taken since it was last received, unloaded, or started anew with the station."""

    def move(self, change: Callable[[Lineup, int], Lineup]) -> bool:
        """Whether it could be done; what cannot be done changes nothing and says why in the contract's words."""
        self.now += 1
        try:
            self.lineup = change(self.lineup, self.now)
        except ContractError as refusal:
            self.refusals.add(refusal.reason)
            return False
        return True

    @rule(digest=st.sampled_from(DIGESTS))
    def receive(self, digest: str) -> None:
        known = self.lineup.find(digest)
        assert self.move(lambda lineup, now: swap.received(lineup, digest, now))
        if known is None or known.state is State.REFUSED:
            self.taken[digest] = set()

    @rule(digest=st.sampled_from(DIGESTS))
    def verify(self, digest: str) -> None:
        self.move(lambda lineup, now: verified(lineup, digest, now))

    @rule(
        digest=st.sampled_from(DIGESTS),
        event=st.sampled_from([Event.BUILT, Event.WARMED, Event.REPLAYED, Event.SHADOWED]),
    )
    def advance(self, digest: str, event: Event) -> None:
        if self.move(lambda lineup, now: swap.advanced(lineup, digest, event, now)):
            self.taken[digest].add(event)

    @rule(digest=st.sampled_from(DIGESTS))
    def unload(self, digest: str) -> None:
        if self.move(lambda lineup, now: swap.advanced(lineup, digest, Event.UNLOADED, now)):
            self.taken[digest] -= {Event.WARMED, Event.REPLAYED, Event.SHADOWED}

    @rule(digest=st.sampled_from(DIGESTS))
    def activate(self, digest: str) -> None:
        before = self.lineup
        if not self.move(lambda lineup, now: swap.activated(lineup, digest, self.policy, now)):
            return
        assert self.lineup.serving == digest
        assert before.serving == digest or not before.frozen
        if before.get(digest).state not in SERVED and before.serving is not None:
            asked = {Event.BUILT, Event.WARMED}
            asked |= {Event.REPLAYED} if self.policy.replay else set()
            asked |= {Event.SHADOWED} if self.policy.shadow else set()
            assert asked <= self.taken[digest]

    @rule(digest=st.sampled_from(DIGESTS))
    def confirm(self, digest: str) -> None:
        if self.move(lambda lineup, now: swap.confirmed(lineup, digest, now)):
            assert state_of(self.lineup, digest) is State.CONFIRMED

    @rule(message=st.sampled_from(["", "too slow"]))
    def roll_back(self, message: str) -> None:
        trail = self.lineup.trail
        done = self.move(lambda lineup, now: swap.rolled_back(lineup, now, message))
        assert done == bool(trail)  # there is always a way back where there was one, frozen or not
        if done:
            assert self.lineup.serving == trail[-1]

    @rule(digest=st.sampled_from(DIGESTS))
    def refuse(self, digest: str) -> None:
        self.move(lambda lineup, now: refused(lineup, digest, now))

    @rule()
    def freeze(self) -> None:
        self.move(lambda lineup, _: swap.frozen(lineup, "audit"))

    @rule()
    def thaw(self) -> None:
        self.move(lambda lineup, _: swap.thawed(lineup, self.policy))

    @rule(lost=st.sets(st.sampled_from(DIGESTS), max_size=1))
    def start_again(self, lost: set[str]) -> None:
        before = self.lineup
        self.move(lambda lineup, now: swap.restarted(lineup, {item.digest for item in lineup.held} - lost, now))
        self.taken = {digest: events & {Event.BUILT} for digest, events in self.taken.items()}
        if before.serving not in lost:
            assert self.lineup.serving == before.serving
        assert self.lineup.frozen == before.frozen
        assert not [item for item in self.lineup.held if item.state in (State.WARMED, State.REPLAYED, State.SHADOW)]

    @invariant()
    def it_is_in_order(self) -> None:
        check(self.lineup)
        assert self.refusals <= {Reason.PKG_STATE, Reason.MODEL_UNKNOWN, Reason.PKG_ROLLBACK, Reason.FROZEN}


TestStation = Station.TestCase
TestStation.settings = hypothesis_settings(max_examples=60, stateful_step_count=50, deadline=None)


@hypothesis_settings(max_examples=200, deadline=None)
@given(moves=st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.sampled_from(DIGESTS)), max_size=60))
def test_any_order_of_events_leaves_a_lineup_in_order(moves: list[tuple[str, str]]) -> None:
    lineup = Lineup()
    reasons: set[Reason] = set()
    for now, (move, digest) in enumerate(moves, start=1):
        floors = dict(lineup.floors)
        known = lineup.find(digest)
        try:
            after = MOVES[move](lineup, digest, now)
        except ContractError as error:
            reasons.add(error.reason)
            continue
        check(after)
        # Nobody serves who has not been through every step.
        if after.serving != lineup.serving and after.serving is not None:
            assert lineup.get(after.serving).state in SERVED | {State.WARMED, State.REPLAYED, State.SHADOW}
        # A refused package comes back only by being received again.
        if known is not None and known.state is State.REFUSED and after.find(digest) is not None:
            assert state_of(after, digest) is (State.RECEIVED if move == "receive" else State.REFUSED)
        # What was confirmed stays the floor.
        for name, version in floors.items():
            assert swap.version_key(dict(after.floors)[name]) >= swap.version_key(version)
        lineup = after
    assert reasons <= {Reason.PKG_STATE, Reason.MODEL_UNKNOWN, Reason.PKG_ROLLBACK}


@hypothesis_settings(max_examples=200, deadline=None)
@given(state=st.sampled_from(State), event=st.sampled_from(Event))
def test_what_the_table_does_not_hold_is_refused_by_name(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert swap.next_state(state, event) is TABLE[state, event]
        return
    with pytest.raises(ContractError, match=state.name) as caught:
        swap.next_state(state, event)
    assert caught.value.reason is Reason.PKG_STATE


def test_states_are_the_contracts_numbers() -> None:
    named = {name.removeprefix("MODEL_STATE_"): number for name, number in model_pb2.ModelState.items()}
    assert {state.name: state.value for state in State} == {
        name: number for name, number in named.items() if name != "UNSPECIFIED"
    }


def test_a_policy_that_asks_for_replay_and_shadow_gets_both_before_anyone_serves() -> None:
    policy = Policy(replay=True, shadow=True)
    old, new = DIGESTS[:2]
    lineup = ready(serving(Lineup(), old), new)
    steps = []
    while (step := policy.next_step(state_of(lineup, new))) is not Event.ACTIVATED:
        steps.append(step)
        with pytest.raises(ContractError, match="has to come first"):
            swap.activated(lineup, new, policy, 3)
        lineup = swap.advanced(lineup, new, step, 3)
    assert steps == [Event.REPLAYED, Event.SHADOWED]
    assert swap.activated(lineup, new, policy, 4).serving == new


def test_the_first_model_of_a_station_has_nothing_to_be_compared_with() -> None:
    policy = Policy(replay=True, shadow=True)
    lineup = swap.activated(ready(Lineup(), DIGESTS[0]), DIGESTS[0], policy, 3)
    assert lineup.serving == DIGESTS[0]


def test_a_freeze_stops_activations_and_nothing_else() -> None:
    one, two, three = DIGESTS[:3]
    lineup = swap.frozen(ready(serving(serving(Lineup(), one), two), three), "audit week")
    with pytest.raises(ContractError, match="audit week") as caught:
        swap.activated(lineup, three, PLAIN, 5)
    assert caught.value.reason is Reason.FROZEN
    assert swap.activated(lineup, two, PLAIN, 5) == lineup  # it serves already
    assert swap.rolled_back(lineup, 6).serving == one
    assert swap.confirmed(lineup, two, 6).get(two).state is State.CONFIRMED
    assert swap.activated(swap.thawed(lineup, PLAIN), three, PLAIN, 7).serving == three


def test_a_freeze_of_the_owner_is_lifted_by_nobody_else() -> None:
    lineup = ready(Lineup(), DIGESTS[0])
    owner = Policy(frozen=True)
    for action in (
        lambda: swap.activated(lineup, DIGESTS[0], owner, 3),
        lambda: swap.thawed(swap.frozen(lineup, "mine"), owner),
    ):
        with pytest.raises(ContractError, match=r"models\.frozen in station\.toml") as caught:
            action()
        assert caught.value.reason is Reason.FROZEN


def test_what_the_station_says_when_it_takes_a_model_back_stays_until_the_model_moves_again() -> None:
    one, two = DIGESTS[:2]
    lineup = swap.rolled_back(serving(serving(Lineup(), one), two), 5, "too slow")
    assert (lineup.get(two).message, lineup.get(two).reason) == ("too slow", None)
    assert swap.activated(lineup, two, PLAIN, 6).get(two).message == ""


def test_the_replaced_confirmed_model_steps_down_only_when_its_successor_is_confirmed() -> None:
    one, two = DIGESTS[:2]
    lineup = serving(swap.confirmed(serving(Lineup(), one), one, 3), two)
    assert (state_of(lineup, one), state_of(lineup, two)) == (State.CONFIRMED, State.ACTIVE)
    lineup = swap.confirmed(lineup, two, 4)
    assert (state_of(lineup, one), state_of(lineup, two)) == (State.RETIRED, State.CONFIRMED)


def test_a_rollback_gives_a_confirmed_model_its_place_and_its_state_back() -> None:
    one, two = DIGESTS[:2]
    lineup = swap.rolled_back(serving(swap.confirmed(serving(Lineup(), one), one, 3), two), 5)
    assert (lineup.serving, lineup.trail) == (one, ())
    assert (state_of(lineup, one), state_of(lineup, two)) == (State.CONFIRMED, State.RETIRED)


def test_a_rollback_to_a_model_that_was_on_probation_puts_it_there_again() -> None:
    one, two = DIGESTS[:2]
    lineup = swap.rolled_back(serving(serving(Lineup(), one), two), 5)
    assert state_of(lineup, one) is State.ACTIVE


def test_rollbacks_go_back_one_model_at_a_time_until_there_is_none() -> None:
    lineup = Lineup()
    for digest in DIGESTS[:3]:
        lineup = serving(lineup, digest)
    for digest in reversed(DIGESTS[:2]):
        lineup = swap.rolled_back(lineup, 9)
        assert lineup.serving == digest
    with pytest.raises(ContractError, match="no earlier model"):
        swap.rolled_back(lineup, 9)


def test_a_version_below_the_confirmed_one_is_refused_and_an_equal_one_is_not() -> None:
    one, two, three = DIGESTS[:3]
    lineup = swap.confirmed(serving(Lineup(), two, version="1.10.0"), two, 3)
    with pytest.raises(ContractError, match=r"1\.9\.9 of tiles is older than 1\.10\.0") as caught:
        ready(lineup, one, version="1.9.9")
    assert caught.value.reason is Reason.PKG_ROLLBACK
    assert serving(lineup, three, version="1.10.0").serving == three


def test_a_package_that_was_ready_before_a_newer_one_was_confirmed_cannot_serve_any_more() -> None:
    one, two = DIGESTS[:2]
    lineup = ready(Lineup(), one)
    lineup = swap.confirmed(serving(lineup, two), two, 3)
    with pytest.raises(ContractError) as caught:
        swap.activated(lineup, one, PLAIN, 4)
    assert caught.value.reason is Reason.PKG_ROLLBACK


def test_after_a_start_the_trial_goes_on_and_nothing_else_is_loaded() -> None:
    one, two, three, four = DIGESTS[:4]
    lineup = serving(swap.confirmed(serving(Lineup(), one), one, 3), two)
    lineup = swap.received(ready(lineup, three), four, 4)
    lineup = swap.restarted(lineup, {one, two, three}, 9)
    assert (lineup.serving, lineup.trail) == (two, (one,))
    assert state_of(lineup, three) is State.BUILT
    assert lineup.find(four) is None


def test_after_a_start_without_its_files_the_trial_is_undone() -> None:
    one, two = DIGESTS[:2]
    lineup = swap.restarted(serving(serving(Lineup(), one), two), {one}, 9)
    assert lineup.serving is None
    assert swap.rolled_back(lineup, 10).serving == one


def test_only_the_newest_refusals_are_remembered() -> None:
    lineup = Lineup()
    for number in range(swap.MAXIMUM_REFUSALS + 5):
        digest = f"sha256:{number:064x}"
        lineup = refused(swap.received(lineup, digest, number), digest, number)
    assert len(lineup.held) == swap.MAXIMUM_REFUSALS
    assert lineup.find(f"sha256:{4:064x}") is None
    assert lineup.find(f"sha256:{5:064x}") is not None


def test_pruning_spares_who_serves_and_where_a_rollback_goes() -> None:
    lineup = Lineup()
    for digest in DIGESTS[:2]:
        lineup = serving(lineup, digest)
    for digest in DIGESTS[2:]:
        lineup = ready(lineup, digest, now=10)
    assert swap.superfluous(lineup, keep=2) == DIGESTS[2:]
    assert swap.superfluous(lineup, keep=4) == DIGESTS[2:3]
    assert swap.superfluous(lineup, keep=5) == ()
