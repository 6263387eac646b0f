"""Goes through a mentoring log with a candidate: reads, asks, and hands everything to what decides."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from export.replay.candidate import Candidate, NoAnswer
from export.replay.figures import Tally, Unused, tally_of
from export.replay.gate import Decision, decide
from export.replay.judging import Expectations, FrameResult, expectations_of, judge
from export.replay.policy import Policy
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package
from lineside.pixels import decode
from lineside.reasons import ContractError, Reason
from lineside.records import MentoringRecord

_LOGGER = logging.getLogger(__name__)

TAKEN_BACK = "every word about it was taken back"
NOT_ASKED = "all that was said is disputed, unsure or contradictory"

OnProgress = Callable[[int, int], None]
"""Records done, and how many there are."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """A candidate's answers for a log, and the gate's word."""

    package: Package
    thresholds: Mapping[str, float]
    """In force, by class."""
    changed: Mapping[str, float]
    """Those of them that are not the package's own."""
    policy: Policy
    frames: tuple[FrameResult, ...]
    skipped: tuple[Unused, ...]
    unanswered: tuple[Unused, ...]
    tally: Tally
    decision: Decision


def replay(
    package: Package,
    log: Path,
    policy: Policy,
    *,
    thresholds: Mapping[str, float] | None = None,
    threads: int = 1,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Replay:
    """Runs a candidate over every judged record of a log; changes neither.

    Args:
        package: the candidate.
        log: folder of the mentoring log; the station may go on writing to it.
        policy: the gate's limits.
        thresholds: scores by class name to try instead of the package's.
        threads: of ONNX Runtime.
        on_progress: told after each record.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, the log's database cannot be read; PKG_*, the candidate cannot be loaded.
        ValueError: the policy has a limit for a class that neither candidate nor log knows.
    """
    candidate = Candidate(package, thresholds=thresholds, threads=threads)
    frames: list[FrameResult] = []
    skipped: list[Unused] = []
    unanswered: list[Unused] = []
    with _reading(log) as reader:
        _check_classes(policy, package, reader)
        total = len({event.frame_id for event in reader.feedback()})
        for done, record in enumerate(reader.records(judged_only=True), 1):
            expectations = expectations_of(record)
            if not expectations.asked:
                reason = NOT_ASKED if record.judgements else TAKEN_BACK
                skipped.append(_unused(record, expectations, reason))
            else:
                try:
                    frames.append(_answer(candidate, reader, record, expectations, policy))
                except ContractError as error:
                    skipped.append(_unused(record, expectations, error.reason.name, str(error)))
                except NoAnswer as error:
                    unanswered.append(_unused(record, expectations, str(error)))
            on_progress(done, max(done, total))
    tally = tally_of(
        frames,
        skipped=skipped,
        unanswered=unanswered,
        last_trained=package.manifest.lineage.last_log_sequence,
    )
    decision = decide(tally, policy)
    own = {item.name: float(item.threshold) for item in package.manifest.classes}
    _LOGGER.info("replayed %d of %d records, passed: %s", tally.used, tally.records, decision.passed)
    return Replay(
        package=package,
        thresholds=candidate.thresholds,
        changed={name: score for name, score in candidate.thresholds.items() if score != own[name]},
        policy=policy,
        frames=tuple(frames),
        skipped=tuple(skipped),
        unanswered=tuple(unanswered),
        tally=tally,
        decision=decision,
    )


@contextlib.contextmanager
def _reading(log: Path) -> Iterator[MentoringLogReader]:
    try:
        with MentoringLogReader(log) as reader:
            yield reader
    except sqlite3.DatabaseError as error:
        raise ContractError(Reason.RECORD_CORRUPT, f"the log's database cannot be read: {error}") from error


def _answer(
    candidate: Candidate,
    reader: MentoringLogReader,
    record: MentoringRecord,
    expectations: Expectations,
    policy: Policy,
) -> FrameResult:
    frame = record.frame
    pixels = decode(reader.image(frame))
    if (pixels.shape[1], pixels.shape[0]) != (frame.width, frame.height):
        raise ContractError(
            Reason.RECORD_CORRUPT,
            f"the picture of frame {frame.frame_id} is {pixels.shape[1]}x{pixels.shape[0]},"
            f" the record says {frame.width}x{frame.height}",
        )
    return judge(record, expectations, candidate.answer(pixels), least_overlap=policy.least_overlap)


def _unused(record: MentoringRecord, expectations: Expectations, reason: str, detail: str = "") -> Unused:
    return Unused(
        frame_id=record.frame.frame_id,
        part=record.frame.part_id or f"frame {record.frame.frame_id}",
        reason=reason,
        judgements=(*expectations.set_aside, *[reason] * len(expectations.asked)),
        detail=detail,
    )


def _check_classes(policy: Policy, package: Package, reader: MentoringLogReader) -> None:
    known = set(package.class_names)
    for manifest in reader.manifests().values():
        known.update(item.name for item in manifest.classes)
    unknown = sorted(set(policy.least_found_share_by_class) - known)
    if unknown:
        raise ValueError(
            f"least_found_share_by_class names {', '.join(unknown)};"
            f" the classes of candidate and log are {', '.join(sorted(known))}"
        )
