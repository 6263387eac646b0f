"""The handshake with a PLC: trigger, busy, result valid, acknowledge, by sequence number. Pure: no clock, no socket.

A trigger is a *new number*, an acknowledgement names the number it answers. An edge of a bit can be missed between two
polls, a message can come twice; a number can be repeated as often as anybody likes and means the same. Every number
that was accepted gets exactly one answer, and no answer is ever shown for another number:

- What cannot be judged in time is NO_VERDICT, DEADLINE; the verdict that comes afterwards is counted and dropped.
- A trigger while the station is at work on another is NO_VERDICT, TRIGGER_WHILE_BUSY: its part has passed the camera.
- After a start of the station a number may belong to a part of before, until the PLC has taken up the announced number
  or has written 0: NO_VERDICT, STATION_RESTARTED.
- A result nobody acknowledges is withdrawn after a while: the PLC then sees its number accepted, and no result.
- Numbers that were skipped are told with the next result.

docs/line_outputs.md has the same for whoever programs the PLC.
"""

from __future__ import annotations

import dataclasses
import enum
import time

from edge.inspection import Inspection, Verdict
from edge.outputs.reasons import DEADLINE, DRAINING, STATION_RESTARTED, TRIGGER_WHILE_BUSY
from lineside.v1 import inspection_pb2

LAST_SEQUENCE = 65535
"""Numbers are 1 to 65535, then 1 again: what fits a register of any PLC. 0 is no number."""
_HALF = LAST_SEQUENCE // 2


def next_sequence(sequence: int) -> int:
    """The number after this one."""
    return sequence % LAST_SEQUENCE + 1


def skipped(expected: int, sequence: int) -> int:
    """How many numbers lie between the one expected and the one seen; 0 where somebody has begun to count anew."""
    ahead = (sequence - expected) % LAST_SEQUENCE
    return ahead if ahead <= _HALF else 0


class Mode(enum.Enum):
    """Who begins an inspection."""

    TRIGGERED = "triggered"
    """The PLC, through this output."""
    FOLLOWING = "following"
    """Anybody else: free run, a sensor wired to the camera, a line PC. Each inspection becomes a result."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What does not change while the station runs; times in nanoseconds."""

    mode: Mode
    verdict_ns: int
    """From the trigger, or from the picture, to the latest verdict that counts."""
    ack_ns: int
    """How long a result is shown to a PLC that does not acknowledge it."""

    def __post_init__(self) -> None:
        if self.verdict_ns <= 0 or self.ack_ns <= 0:
            raise ValueError(f"verdict_ns is {self.verdict_ns} and ack_ns {self.ack_ns}, expected both above 0")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a PLC is told of one inspection."""

    verdict: Verdict
    reason: str = ""
    """NO_VERDICT: a word of `edge.outputs.reasons`; REJECT: the rule that fired; PASS: empty."""
    part_id: str = ""
    detections: int = 0
    frame_id: str = ""
    """Empty: there was no picture."""
    model_digest: str = ""
    judged_unix_ns: int = 0

    def __post_init__(self) -> None:
        if self.verdict is not Verdict.PASS and not self.reason:
            raise ValueError(f"reason is empty, expected one for {self.verdict.value}")

    @staticmethod
    def of(inspection: Inspection) -> Outcome:
        """Of the station's own answer."""
        return Outcome(
            verdict=inspection.verdict,
            reason=inspection.verdict_reason,
            part_id=inspection.part_id,
            detections=len(inspection.detections),
            frame_id=inspection.frame_id,
            model_digest="" if inspection.model is None else inspection.model.digest,
            judged_unix_ns=time.time_ns(),
        )

    @staticmethod
    def of_event(event: inspection_pb2.StationEvent) -> Outcome:
        """Of an event that holds an inspection."""
        result = event.inspection
        return Outcome(
            verdict=_VERDICTS[result.verdict],
            reason=result.verdict_reason,
            part_id=result.part_id,
            detections=len(result.detections),
            frame_id=result.frame_id,
            model_digest=result.model.digest,
            judged_unix_ns=event.unix_ns,
        )


_VERDICTS: dict[int, Verdict] = {
    inspection_pb2.VERDICT_PASS: Verdict.PASS,
    inspection_pb2.VERDICT_REJECT: Verdict.REJECT,
    inspection_pb2.VERDICT_NO_VERDICT: Verdict.NO_VERDICT,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The PLC shows a number. The same as before: nothing new. 0: it starts anew and waits for nothing."""

    sequence: int
    part_id: str = ""

    def __post_init__(self) -> None:
        _check(self.sequence)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The PLC has taken the result with this number."""

    sequence: int

    def __post_init__(self) -> None:
        _check(self.sequence)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The inspection that a Job asked for has ended, well or not."""

    sequence: int
    outcome: Outcome


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Somebody else's inspection has ended. `age_ns`: since its picture was taken."""

    outcome: Outcome
    age_ns: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """So many inspections, at least 1, were decided whose outcome never came here."""

    count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Able:
    """Whether the camera and a model are there; `why` not."""

    able: bool
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """The station is stopping."""


Event = Trigger | Acknowledge | Judged | Followed | Missed | Able | Tick | Stop


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An inspection to begin now; its end is told with `Judged`."""

    sequence: int
    part_id: str
    deadline_ns: int
    """On the clock whose readings `step` is given."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Since the station's start."""

    triggers: int = 0
    """Numbers accepted."""
    passed: int = 0
    rejected: int = 0
    no_verdict: int = 0
    late: int = 0
    """Verdicts that came when nobody waited for them any longer; never shown."""
    refused: int = 0
    """Triggers while at work, and triggers to an output that follows."""
    skipped: int = 0
    """Numbers the PLC has used and the station never saw, or inspections this output never heard of."""
    unacknowledged: int = 0
    """Results that made room for another, or were withdrawn, without an acknowledgement."""


class Phase(enum.Enum):
    """Where the handshake stands."""

    IDLE = "idle"
    BUSY = "busy"
    SHOWING = "showing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The handshake of one camera over one output."""

    next: int
    """The number to trigger with, or that the next result will have."""
    phase: Phase = Phase.IDLE
    accepted: int = 0
    """The last number that was taken; 0: none, or the PLC has started anew."""
    part_id: str = ""
    gap: bool = False
    """The last number taken was not the expected one."""
    fresh: bool = True
    """Since the station's start the PLC has neither taken up `next` nor written 0."""
    running: int = 0
    """Number of the inspection under way, waited for or not; 0: none."""
    until_ns: int = 0
    """BUSY: the deadline; SHOWING: when the result is withdrawn."""
    outcome: Outcome | None = None
    """SHOWING: the result of `accepted`."""
    able: bool = False
    why_not: str = ""
    stopping: bool = False
    counts: Counts = Counts()

    def __post_init__(self) -> None:
        _check(self.next)
        if self.next == 0:
            raise ValueError("next is 0, expected a number of 1 to 65535")
        if (self.phase is Phase.SHOWING) != (self.outcome is not None):
            raise ValueError(f"phase is {self.phase.value}, and a result is there exactly while one is shown")

    @property
    def ready(self) -> bool:
        """A trigger would begin an inspection now."""
        return self.phase is Phase.IDLE and not self.running and self.able and not self.stopping

    @property
    def wakes_ns(self) -> int | None:
        """When the next Tick matters; None: not at all."""
        return None if self.phase is Phase.IDLE else self.until_ns


def step(state: State, event: Event, now_ns: int, rules: Rules) -> tuple[State, Job | None]:
    """What follows from an event.

    Args:
        state: before.
        event: what has happened.
        now_ns: on a clock that only grows.
        rules: of this handshake.

    Returns:
        The state afterwards, and an inspection to begin, or None.
    """
    match event:
        case Trigger(sequence=0):
            return _start_anew(state), None
        case Trigger():
            return _trigger(state, event, now_ns, rules)
        case Acknowledge():
            if state.phase is Phase.SHOWING and event.sequence == state.accepted:
                return _idle(state), None
            return state, None
        case Judged():
            return _judged(state, event, now_ns, rules), None
        case Followed():
            return _followed(state, event, now_ns, rules), None
        case Missed():
            return _missed(state, event, rules), None
        case Able():
            return dataclasses.replace(state, able=event.able, why_not=event.why), None
        case Tick():
            return _tick(state, now_ns, rules), None
        case Stop():
            stopped = dataclasses.replace(state, stopping=True)
            if state.phase is Phase.BUSY:
                stopped = _no_verdict(stopped, DRAINING, now_ns, rules)
            return stopped, None


def _start_anew(state: State) -> State:
    """The PLC begins again: what is shown or at work was for a part of before."""
    return dataclasses.replace(_forget(state), accepted=0, part_id="", gap=False, fresh=False)


def _trigger(state: State, event: Trigger, now_ns: int, rules: Rules) -> tuple[State, Job | None]:
    if rules.mode is Mode.FOLLOWING:
        return _count(state, refused=1), None
    if event.sequence == state.accepted:
        return state, None
    gap = event.sequence != state.next
    unknown = state.fresh and gap
    state = dataclasses.replace(
        _count(_forget(state), triggers=1, skipped=0 if unknown else skipped(state.next, event.sequence)),
        accepted=event.sequence,
        part_id=event.part_id,
        next=state.next if unknown else next_sequence(event.sequence),
        gap=gap,
        fresh=unknown,
    )
    if unknown:
        return _no_verdict(state, STATION_RESTARTED, now_ns, rules), None
    if state.stopping:
        return _no_verdict(state, DRAINING, now_ns, rules), None
    if state.running:
        return _count(_no_verdict(state, TRIGGER_WHILE_BUSY, now_ns, rules), refused=1), None
    deadline_ns = now_ns + rules.verdict_ns
    state = dataclasses.replace(state, phase=Phase.BUSY, running=event.sequence, until_ns=deadline_ns)
    return state, Job(sequence=event.sequence, part_id=event.part_id, deadline_ns=deadline_ns)


def _judged(state: State, event: Judged, now_ns: int, rules: Rules) -> State:
    if event.sequence != state.running:
        return state
    waited_for = state.phase is Phase.BUSY and state.accepted == event.sequence
    in_time = waited_for and now_ns < state.until_ns
    state = dataclasses.replace(state, running=0)
    if in_time:
        return _show(state, event.outcome, now_ns, rules)
    if event.outcome.verdict is not Verdict.NO_VERDICT:
        state = _count(state, late=1)
    return _no_verdict(state, DEADLINE, now_ns, rules) if waited_for else state


def _followed(state: State, event: Followed, now_ns: int, rules: Rules) -> State:
    if rules.mode is Mode.TRIGGERED:
        return state
    outcome, late = event.outcome, 0
    if event.age_ns >= rules.verdict_ns and outcome.verdict is not Verdict.NO_VERDICT:
        outcome, late = _without(outcome, DEADLINE), 1
    state = _count(_forget(state), late=late)
    # The gap that Missed left is shown with the first result after it.
    gap = state.gap and state.accepted != _before(state.next)
    state = dataclasses.replace(
        state, accepted=state.next, next=next_sequence(state.next), part_id=outcome.part_id, gap=gap, fresh=False
    )
    return _show(state, outcome, now_ns, rules)


def _missed(state: State, event: Missed, rules: Rules) -> State:
    if rules.mode is Mode.TRIGGERED:
        return state
    number = (state.next - 1 + event.count) % LAST_SEQUENCE + 1
    return _count(dataclasses.replace(state, next=number, gap=True), skipped=event.count)


def _tick(state: State, now_ns: int, rules: Rules) -> State:
    if state.phase is Phase.IDLE or now_ns < state.until_ns:
        return state
    if state.phase is Phase.BUSY:
        return _no_verdict(state, DEADLINE, now_ns, rules)
    return _forget(state)


def _show(state: State, outcome: Outcome, now_ns: int, rules: Rules) -> State:
    counted = {Verdict.PASS: "passed", Verdict.REJECT: "rejected", Verdict.NO_VERDICT: "no_verdict"}
    state = _count(state, **{counted[outcome.verdict]: 1})
    return dataclasses.replace(state, phase=Phase.SHOWING, outcome=outcome, until_ns=now_ns + rules.ack_ns)


def _no_verdict(state: State, reason: str, now_ns: int, rules: Rules) -> State:
    return _show(state, Outcome(verdict=Verdict.NO_VERDICT, reason=reason, part_id=state.part_id), now_ns, rules)


def _without(outcome: Outcome, reason: str) -> Outcome:
    return dataclasses.replace(outcome, verdict=Verdict.NO_VERDICT, reason=reason, detections=0)


def _forget(state: State) -> State:
    """Makes room: a result that is shown has not been acknowledged; an inspection under way goes on unheard."""
    return _idle(_count(state, unacknowledged=1) if state.phase is Phase.SHOWING else state)


def _idle(state: State) -> State:
    return dataclasses.replace(state, phase=Phase.IDLE, outcome=None, until_ns=0)


def _count(state: State, **more: int) -> State:
    counts = {name: getattr(state.counts, name) + number for name, number in more.items()}
    return dataclasses.replace(state, counts=dataclasses.replace(state.counts, **counts))


def _before(sequence: int) -> int:
    return sequence - 1 if sequence > 1 else LAST_SEQUENCE


def _check(sequence: int) -> None:
    if not 0 <= sequence <= LAST_SEQUENCE:
        raise ValueError(f"sequence is {sequence}, expected 0 to {LAST_SEQUENCE}")
