"""Importer of mentoring logs: what operators said, as label states of a network's areas.

A log keeps areas and the digest of the model that raised them. A network with the same head takes them exactly; any
other finds them anew from the boxes (`lineside.gestures.labels_of`). Everything that is read is used, or accounted for
with the reason why it teaches nothing (`training.data.account`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lineside.log_snapshot import LogSnapshot, read_snapshot
from lineside.mentoring_log import read_picture
from lineside.pixels import Pixels, decode
from lineside.records import RecordedFrame
from training.data.account import Ledger
from training.data.heard import leave_out
from training.data.lesson import mentored, only_spoken, teach
from training.data.lessons import Lessons, MentoringData, Wanted
from training.data.merging import merge
from training.data.two_persons import second_person
from training.models.config import DetectorConfig
from training.reliability.weighing import weigh

__all__ = ["MentoringData", "Wanted", "mentored", "only_spoken", "read_log", "read_logs", "teach"]


def read_log(
    root: Path, config: DetectorConfig, *, whole_frames: bool = True, after: int = 0, until: int | None = None
) -> MentoringData:
    """Reads everything that was said in one log, at one moment; the station may go on writing.

    Args:
        root: the log's folder.
        config: the network to be taught.
        whole_frames, after, until: as in `Wanted`.

    Raises:
        FileNotFoundError: there is no log.
        ContractError: RECORD_CORRUPT, the log cannot be read.
    """
    return read_logs((root,), config, Wanted(whole_frames=whole_frames, after=after, until=until))


def read_logs(roots: Sequence[Path], config: DetectorConfig, wanted: Wanted) -> MentoringData:
    """Reads several logs as one: copies, overlapping copies, other stations. Their order changes nothing.

    Args:
        roots: the logs' folders, at least one.
        config: the network to be taught.
        wanted: what is to be taught.

    Raises:
        FileNotFoundError: there is no log in a folder.
        ContractError: RECORD_CORRUPT, a log cannot be read.
        ValueError: no log was named, or a range of log sequences is asked of several.
    """
    if not roots:
        raise ValueError("no mentoring log was named; expected at least one folder")
    if len(roots) > 1 and (wanted.after or wanted.until is not None):
        raise ValueError(
            f"{len(roots)} logs and a range of log sequences: each log counts its own; name one log, or leave out by"
            " station and sequences"
        )
    snapshots = [read_snapshot(root) for root in roots]
    ledger = Ledger()
    told = leave_out(merge(snapshots, ledger, _picture), wanted.without, ledger)
    if wanted.two_persons:
        told = second_person(told, ledger)
    lessons = Lessons(config, wanted, ledger, weigh(told) if wanted.reliability else None)
    for item in told:
        lessons.add(item)
    return lessons.result(
        frames=sum(len(log.frames) + log.unjudged + _broken(log, "frame") for log in snapshots),
        answers=sum(len(log.events) + _broken(log, "answer") for log in snapshots),
        notes=[
            f"{log.root}: {log.missing} answers that the station once acknowledged are missing in this file"
            for log in sorted(snapshots, key=lambda log: str(log.root))
            if log.missing
        ],
    )


def _broken(log: LogSnapshot, kind: str) -> int:
    return sum(row.kind == kind for row in log.broken)


def _picture(log: LogSnapshot, frame: RecordedFrame) -> Pixels:
    return decode(read_picture(log.root, frame))
