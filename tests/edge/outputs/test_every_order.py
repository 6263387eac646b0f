"""Station, PLC and a line between them in every order of events: no part ever gets another part's PASS.

All states that a small world can reach are visited, breadth first: a few parts, messages that are late, lost or come
twice, views that are old, deadlines that pass, results that are withdrawn, restarts of either side.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import pytest
from support import plc as plc_program
from support.plc import Message, Plc, Scan, give_up

from edge.inspection import Verdict
from edge.outputs.handshake import (
    Able,
    Acknowledge,
    Counts,
    Event,
    Judged,
    Mode,
    Outcome,
    Phase,
    Rules,
    State,
    Tick,
    Trigger,
    step,
)
from edge.outputs.signals import Signals, VerdictCode, signals_of

RULES = Rules(mode=Mode.TRIGGERED, verdict_ns=100, ack_ns=100)
FIRST = 7
MOST_ON_THE_WAY = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """How often each trouble may still happen; and, never spent, what this world is like."""

    lost: int = 1
    twice: int = 1
    times_out: int = 1
    station_restarts: int = 1
    plc_restarts: int = 1
    part_ids: bool = False
    """The PLC sends them. Without them a station that restarts must not chance upon a number of before."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    station: State
    boot: int = 1
    photographed: int = 0
    """Number of the part whose picture the running inspection has; 0: none runs."""
    plc: Plc = dataclasses.field(default_factory=Plc)
    seen: Signals | None = None
    on_the_way: tuple[Message, ...] = ()
    part: int = 1
    """In place."""
    left: Left = Left()


def fresh_station(first: int) -> State:
    state, _ = step(State(next=first), Able(able=True), 0, RULES)
    return state


def apply(world: World, event: Event) -> World:
    """The station takes an event; an inspection that begins photographs the part in place."""
    now_ns = world.station.until_ns if isinstance(event, Tick) else 0
    state, job = step(world.station, event, now_ns, RULES)
    # Counts and exact times would make every state a new one.
    state = dataclasses.replace(state, counts=Counts(), until_ns=0 if state.phase is Phase.IDLE else 1)
    photographed = world.part if job is not None else world.photographed if state.running else 0
    return dataclasses.replace(world, station=state, photographed=photographed)


class StalePassError(AssertionError):
    pass


def scanned(world: World, result: Scan, parts: int) -> World | None:
    """The PLC's cycle has an effect; None: it would only repeat itself."""
    seen = world.seen
    if result.verdict is VerdictCode.PASS:
        assert seen is not None
        if seen.frame_id != str(world.part):
            raise StalePassError(f"part {world.part} was passed for what part {seen.frame_id} looks like: {world}")
    if len(world.on_the_way) + len(result.send) > MOST_ON_THE_WAY or (
        result.send and world.on_the_way[-1:] == result.send
    ):
        return None
    part = world.part + (result.verdict is not VerdictCode.NONE)
    return dataclasses.replace(
        world, plc=result.plc, on_the_way=world.on_the_way + result.send, part=min(part, parts + 1)
    )


def spend(world: World, trouble: str) -> World:
    left = dataclasses.replace(world.left, **{trouble: getattr(world.left, trouble) - 1})
    return dataclasses.replace(world, left=left)


def after(world: World, parts: int) -> Iterator[World]:
    """Every world that may come next."""
    state = world.station
    now = signals_of(state, mode=RULES.mode, boot=world.boot)
    if now != world.seen:
        yield dataclasses.replace(world, seen=now)
    if world.seen is not None:
        part_id = str(world.part) if world.left.part_ids else ""
        cycle = plc_program.scan(world.plc, world.seen, part=world.part <= parts, part_id=part_id)
        following = scanned(world, cycle, parts)
        if following is not None:
            yield following
    if world.on_the_way:
        message, rest = world.on_the_way[0], world.on_the_way[1:]
        arrived = apply(world, message)
        yield dataclasses.replace(arrived, on_the_way=rest)
        if world.left.twice:
            yield spend(arrived, "twice")  # it comes once more
        if world.left.lost:
            yield spend(dataclasses.replace(world, on_the_way=rest), "lost")
    if state.running:
        outcome = Outcome(verdict=Verdict.PASS, frame_id=str(world.photographed))
        yield apply(world, Judged(sequence=state.running, outcome=outcome))
    if state.phase is not Phase.IDLE and world.left.times_out:
        yield spend(apply(world, Tick()), "times_out")
    if world.left.station_restarts:
        for first in (40000, *((state.next, FIRST) if world.left.part_ids else ())):
            yield spend(
                dataclasses.replace(world, station=fresh_station(first), boot=world.boot + 1, photographed=0),
                "station_restarts",
            )
    if world.plc.waiting and world.left.times_out:
        following = scanned(world, give_up(world.plc), parts)
        if following is not None:
            yield spend(following, "times_out")
    if world.left.plc_restarts:
        # The part in place is another one afterwards: somebody has cleared the line.
        yield spend(dataclasses.replace(world, plc=Plc(), seen=None, part=world.part + 1), "plc_restarts")


def explore(parts: int, left: Left) -> tuple[int, set[VerdictCode]]:
    """How many states there are, and which verdicts the PLC took."""
    begin = World(station=fresh_station(FIRST), left=left)
    known, waiting, verdicts = {begin}, deque([begin]), set()
    while waiting:
        world = waiting.popleft()
        for following in after(world, parts):
            if following not in known:
                known.add(following)
                waiting.append(following)
                if following.part > world.part and following.seen is not None:
                    verdicts.add(following.seen.verdict)
    return len(known), verdicts


TROUBLES = {
    "messages lost, twice and late": Left(lost=2, times_out=2, station_restarts=0, plc_restarts=0),
    "the PLC restarts": Left(station_restarts=0),
    "the station restarts": Left(plc_restarts=0),
    "both restart": Left(twice=0),
    "both restart, and numbers come again": Left(lost=0, twice=0, part_ids=True),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_part_ever_gets_another_parts_pass(trouble: str) -> None:
    states, verdicts = explore(2 if "both" in trouble else 3, TROUBLES[trouble])
    assert states > 2000
    assert VerdictCode.PASS in verdicts


def test_the_search_finds_a_stale_pass_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PLC that uses a number twice after its time limit takes the old part's verdict for the new one."""
    careful = plc_program.scan

    def careless(plc: Plc, seen: Signals, *, part: bool, part_id: str = "") -> Scan:
        return careful(dataclasses.replace(plc, last_used=0), seen, part=part, part_id=part_id)

    monkeypatch.setattr(plc_program, "scan", careless)
    with pytest.raises(StalePassError):
        explore(2, Left(station_restarts=0, plc_restarts=0))


def test_every_trigger_that_arrives_is_answered_once_the_time_is_over() -> None:
    world = dataclasses.replace(World(station=fresh_station(FIRST)), on_the_way=())
    for message in (Trigger(sequence=FIRST, part_id="1"), Trigger(sequence=FIRST + 1, part_id="2")):
        world = apply(world, message)
    assert world.station.phase is Phase.SHOWING
    assert world.station.outcome is not None
    assert world.station.outcome.reason == "TRIGGER_WHILE_BUSY"
    world = apply(world, Acknowledge(sequence=FIRST + 1))
    assert world.station.phase is Phase.IDLE
