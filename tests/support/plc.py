"""What a well-made PLC program does with the handshake: docs/line_outputs.md in Python, one scan at a time, pure.

Inspects parts one after the other: trigger, wait, take the verdict, acknowledge. Whatever goes wrong, its part has
NO_VERDICT.
"""

from __future__ import annotations

import dataclasses

from edge.outputs.handshake import Acknowledge, Trigger, next_sequence
from edge.outputs.signals import Signals, VerdictCode

Message = Trigger | Acknowledge


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plc:
    """The PLC's memory; all of it is gone when it restarts."""

    started: bool = False
    """The station has been seen without a number since this PLC told it so."""
    waiting: int = 0
    """The number it waits for; 0: none."""
    last_used: int = 0
    boot: int = 0
    """Of the station when it was triggered."""
    part_id: str = ""
    """Sent with the trigger; empty: this PLC has none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one scan comes to."""

    plc: Plc
    send: tuple[Message, ...] = ()
    verdict: VerdictCode = VerdictCode.NONE
    """Of the part in place; NONE: not yet."""


def scan(plc: Plc, seen: Signals, *, part: bool, part_id: str = "") -> Scan:
    """One cycle.

    Args:
        plc: its memory.
        seen: the station's signals as last read; they may be old.
        part: one is in place.
        part_id: of that part; empty: this PLC knows none.
    """
    if not plc.started:
        if seen.accepted_sequence:
            return Scan(plc=plc, send=(Trigger(sequence=0),))
        plc = dataclasses.replace(plc, started=True)
    if plc.waiting:
        return _waiting(plc, seen)
    if seen.result_valid:
        return Scan(plc=plc, send=(Acknowledge(sequence=seen.result_sequence),))
    if not seen.ready or not part:
        return Scan(plc=plc)
    # It counts by itself, because a trigger that was given up may still be on its way; the station says where to begin.
    known = plc.last_used and plc.boot == seen.boot
    number = next_sequence(plc.last_used) if known else seen.next_sequence
    triggered = dataclasses.replace(plc, waiting=number, last_used=number, boot=seen.boot, part_id=part_id)
    return Scan(plc=triggered, send=(Trigger(sequence=number, part_id=part_id),))


def _waiting(plc: Plc, seen: Signals) -> Scan:
    done = dataclasses.replace(plc, waiting=0)
    if seen.boot != plc.boot:
        return Scan(plc=done, verdict=VerdictCode.NO_VERDICT)
    if seen.result_valid and seen.result_sequence == plc.waiting:
        mine = not plc.part_id or seen.part_id == plc.part_id
        verdict = seen.verdict if mine else VerdictCode.NO_VERDICT
        return Scan(plc=done, verdict=verdict, send=(Acknowledge(sequence=plc.waiting),))
    if seen.accepted_sequence == plc.waiting and not seen.busy and not seen.result_valid:  # withdrawn
        return Scan(plc=done, verdict=VerdictCode.NO_VERDICT)
    return Scan(plc=plc)


def give_up(plc: Plc) -> Scan:
    """The PLC's own time limit has passed, or the line to the station is dead."""
    if not plc.waiting:
        return Scan(plc=plc)
    return Scan(plc=dataclasses.replace(plc, waiting=0), verdict=VerdictCode.NO_VERDICT)
