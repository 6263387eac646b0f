"""A package against a mentoring log, as an engineer asks for it before he deploys."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

from export.replay.candidate import Candidate
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package
from lineside.replay.effect import Effect, effect_of
from lineside.replay.figures import Tally, Unused
from lineside.replay.gate import Decision
from lineside.replay.judging import FrameResult
from lineside.replay.policy import Policy
from lineside.replay.run import OnProgress, Replayed, reading, replay_records

_LOGGER = logging.getLogger(__name__)


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
    own: Replayed | None = None
    """The same with the package's own thresholds, where others were tried."""

    @property
    def effect(self) -> Effect | None:
        """What the tried thresholds change; None: none were tried."""
        return None if self.own is None else effect_of(self.own.frames, self.frames)


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
        thresholds: scores by class name to try instead of the package's; the log is then gone through twice, so that
            their effect can be told.
        threads: of ONNX Runtime.
        on_progress: told after each record.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, the log's database cannot be read; PKG_*, the candidate cannot be loaded.
        ValueError: the policy has a limit for a class that neither candidate nor log knows.
    """
    candidate = Candidate(package, thresholds=thresholds, threads=threads)
    own = {item.name: float(item.threshold) for item in package.manifest.classes}
    changed = {name: score for name, score in candidate.thresholds.items() if score != own[name]}
    passes = 2 if changed else 1
    with reading(log) as reader:
        _check_classes(policy, package, reader)

        def go_through(who: Candidate, number: int) -> Replayed:
            return replay_records(
                reader,
                who.answer,
                policy,
                last_trained=package.manifest.lineage.last_log_sequence,
                on_progress=lambda done, total: on_progress(number * total + done, passes * total),
            )

        replayed = go_through(candidate, 0)
        as_it_is = go_through(Candidate(package, threads=threads), 1) if changed else None
    tally, decision = replayed.tally, replayed.decision
    _LOGGER.info("replayed %d of %d records, passed: %s", tally.used, tally.records, decision.passed)
    return Replay(
        package=package,
        thresholds=candidate.thresholds,
        changed=changed,
        policy=policy,
        frames=replayed.frames,
        skipped=replayed.skipped,
        unanswered=replayed.unanswered,
        tally=tally,
        decision=decision,
        own=as_it_is,
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
