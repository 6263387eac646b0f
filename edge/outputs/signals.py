"""What a PLC sees of a handshake: one value, the same for every protocol. Pure.

A verdict is there only while it may be taken: outside that time it is NONE, never the last one.
"""

from __future__ import annotations

import dataclasses
import enum

from edge.inspection import Verdict
from edge.outputs.handshake import Counts, Mode, Phase, State
from edge.outputs.reasons import code_of


class VerdictCode(enum.IntEnum):
    """The verdict as a number."""

    NONE = 0
    PASS = 1
    REJECT = 2
    NO_VERDICT = 3


class Status(enum.IntFlag):
    """The status word."""

    ONLINE = 1 << 0
    """The station runs and is not stopping."""
    READY = 1 << 1
    """A trigger would begin an inspection now."""
    BUSY = 1 << 2
    """The accepted number is being inspected."""
    RESULT_VALID = 1 << 3
    """A result waits to be acknowledged."""
    PASS = 1 << 4
    """Only together with RESULT_VALID, exactly one of the three."""
    REJECT = 1 << 5
    NO_VERDICT = 1 << 6
    SEQUENCE_GAP = 1 << 7
    """The accepted number was not the expected one: triggers or results were lost, or somebody began to count anew."""
    FOLLOWING = 1 << 8
    """Results come without triggers of this output."""


_VERDICTS = {
    Verdict.PASS: (VerdictCode.PASS, Status.PASS),
    Verdict.REJECT: (VerdictCode.REJECT, Status.REJECT),
    Verdict.NO_VERDICT: (VerdictCode.NO_VERDICT, Status.NO_VERDICT),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything a protocol maps."""

    status: Status
    next_sequence: int
    """To trigger with."""
    accepted_sequence: int
    """0: none."""
    result_sequence: int
    """0: no result is shown."""
    verdict: VerdictCode
    reason: str
    """REJECT: the rule that fired; NO_VERDICT: a word of `edge.outputs.reasons`; else empty."""
    reason_code: int
    """Of a NO_VERDICT; else 0."""
    part_id: str
    """Of the result, else of the accepted number."""
    detections: int
    frame_id: str
    model_digest: str
    judged_unix_ns: int
    boot: int
    """1 to 65535, another one after each start of the station."""
    counts: Counts
    why_not_ready: str
    """In words, where the camera or the model is missing."""

    @property
    def result_valid(self) -> bool:
        """A result waits to be acknowledged."""
        return Status.RESULT_VALID in self.status

    @property
    def busy(self) -> bool:
        """The accepted number is being inspected."""
        return Status.BUSY in self.status

    @property
    def ready(self) -> bool:
        """A trigger would begin an inspection now."""
        return Status.READY in self.status


def signals_of(state: State, *, mode: Mode, boot: int) -> Signals:
    """The signals of a state."""
    status = Status(0) if state.stopping else Status.ONLINE
    following = mode is Mode.FOLLOWING
    if state.ready and not following:
        status |= Status.READY
    if state.phase is Phase.BUSY:
        status |= Status.BUSY
    if state.gap:
        status |= Status.SEQUENCE_GAP
    if following:
        status |= Status.FOLLOWING
    outcome, code = state.outcome, VerdictCode.NONE
    if outcome is not None:
        code, bit = _VERDICTS[outcome.verdict]
        status |= Status.RESULT_VALID | bit
    return Signals(
        status=status,
        next_sequence=state.next,
        accepted_sequence=state.accepted,
        result_sequence=0 if outcome is None else state.accepted,
        verdict=code,
        reason="" if outcome is None else outcome.reason,
        reason_code=code_of(outcome.reason) if outcome is not None and code is VerdictCode.NO_VERDICT else 0,
        part_id=state.part_id if outcome is None or not outcome.part_id else outcome.part_id,
        detections=0 if outcome is None else outcome.detections,
        frame_id="" if outcome is None else outcome.frame_id,
        model_digest="" if outcome is None else outcome.model_digest,
        judged_unix_ns=0 if outcome is None else outcome.judged_unix_ns,
        boot=boot,
        counts=state.counts,
        why_not_ready=state.why_not,
    )
