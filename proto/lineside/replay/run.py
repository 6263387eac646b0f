"""Goes through a mentoring log with whatever answers for the candidate, and hands everything to what decides."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from lineside.mentoring_log import MentoringLogReader
from lineside.pixels import Pixels, decode
from lineside.reasons import ContractError, Reason
from lineside.records import MentoringRecord
from lineside.replay.figures import Tally, Unused, tally_of
from lineside.replay.gate import Decision, decide
from lineside.replay.judging import Expectations, FrameResult, expectations_of, judge
from lineside.replay.matching import CandidateDetection
from lineside.replay.policy import Policy

TAKEN_BACK = "every word about it was taken back"
NOT_ASKED = "all that was said is disputed, unsure or contradictory"

OnProgress = Callable[[int, int], None]
"""Records done, and how many there are."""
Answer = Callable[[Pixels], tuple[CandidateDetection, ...]]
"""The candidate: detections at or above its thresholds, boxes in frame pixels. Raises NoAnswer."""


class NoAnswer(Exception):  # noqa: N818
    """The candidate cannot answer for a frame; the text says why, the same for the same trouble."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replayed:
    """A candidate's answers for a log, and the gate's word. `records` = frames + skipped + unanswered."""

    frames: tuple[FrameResult, ...]
    skipped: tuple[Unused, ...]
    unanswered: tuple[Unused, ...]
    tally: Tally
    decision: Decision


@contextlib.contextmanager
def reading(log: Path) -> Iterator[MentoringLogReader]:
    """A reader of the log.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, its database cannot be read.
    """
    try:
        with MentoringLogReader(log) as reader:
            yield reader
    except sqlite3.DatabaseError as error:
        raise ContractError(Reason.RECORD_CORRUPT, f"the log's database cannot be read: {error}") from error


def replay_records(
    reader: MentoringLogReader,
    answer: Answer,
    policy: Policy,
    *,
    last_trained: int = 0,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Replayed:
    """Asks a candidate about every judged record of a log.

    Args:
        reader: of the log; the station may go on writing to it.
        answer: the candidate.
        policy: the gate's limits.
        last_trained: last log sequence the candidate was trained on; 0: none.
        on_progress: told after each record. What it raises ends the replay.

    Raises:
        ContractError: RECORD_CORRUPT, the log's database cannot be read. A damaged picture is only counted.
    """
    frames: list[FrameResult] = []
    skipped: list[Unused] = []
    unanswered: list[Unused] = []
    total = len({event.frame_id for event in reader.feedback()})
    for done, record in enumerate(reader.records(judged_only=True), 1):
        expectations = expectations_of(record)
        if not expectations.asked:
            skipped.append(_unused(record, expectations, NOT_ASKED if record.judgements else TAKEN_BACK))
        else:
            try:
                pixels = _picture(reader, record)
                frames.append(judge(record, expectations, answer(pixels), least_overlap=policy.least_overlap))
            except ContractError as error:
                skipped.append(_unused(record, expectations, error.reason.name, str(error)))
            except NoAnswer as error:
                unanswered.append(_unused(record, expectations, str(error)))
        on_progress(done, max(done, total))
    tally = tally_of(frames, skipped=skipped, unanswered=unanswered, last_trained=last_trained)
    return Replayed(
        frames=tuple(frames),
        skipped=tuple(skipped),
        unanswered=tuple(unanswered),
        tally=tally,
        decision=decide(tally, policy),
    )


def _picture(reader: MentoringLogReader, record: MentoringRecord) -> Pixels:
    frame = record.frame
    pixels = decode(reader.image(frame))
    if (pixels.shape[1], pixels.shape[0]) != (frame.width, frame.height):
        raise ContractError(
            Reason.RECORD_CORRUPT,
            f"the picture of frame {frame.frame_id} is {pixels.shape[1]}x{pixels.shape[0]},"
            f" the record says {frame.width}x{frame.height}",
        )
    return pixels


def _unused(record: MentoringRecord, expectations: Expectations, reason: str, detail: str = "") -> Unused:
    return Unused(
        frame_id=record.frame.frame_id,
        part=record.frame.part_id or f"frame {record.frame.frame_id}",
        reason=reason,
        judgements=(*expectations.set_aside, *[reason] * len(expectations.asked)),
        detail=detail,
    )
