"""Another tool's files as a mentoring log that training takes beside any other.

An export of ours comes back with everything that was in it, and with what was changed there as answers of whoever
changed it. A set that others made becomes frames that nobody's model has seen: each box is a missed defect, drawn by
hand; that a picture shows nothing else is only said where the caller says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

from lineside.fold import fold
from lineside.ids import new_frame_id
from lineside.log.changes import changes_of, events_of
from lineside.log.document import Entry, read_document
from lineside.log.formats import FORMATS
from lineside.log.formats.shown import Marked
from lineside.log.known import Knowledge, knowledge_of
from lineside.log.new_log import NewLog, new_log
from lineside.pixels import decode, encode_lossless, encoding_of
from lineside.records import FeedbackEvent, MentoringRecord, RecordedFrame

STATION = "import"
"""Of frames that no station has seen."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came in."""

    frames: int
    answers: int
    """That were in the export already."""
    new: int
    """Of whoever edited it."""
    left_out: tuple[str, ...]


def import_log(folder: Path, out: Path, kind: str, *, operator: str, complete: bool = False) -> Imported:
    """Writes a new log, whole or not at all.

    Args:
        folder: of the other tool's files.
        out: the log's folder; must not be there.
        kind: of `FORMATS`.
        operator: whose the changes are.
        complete: pictures of a set that others made show all defects they have; without a box they are healthy.

    Raises:
        FileNotFoundError, ValueError: the files are not what they should be.
        FileExistsError: `out` is there.
    """
    if kind not in FORMATS:
        raise ValueError(f"there is no format {kind!r}; there are {', '.join(FORMATS)}")
    marked = FORMATS[kind].read(folder)
    document = read_document(folder)
    now = time.time_ns()
    left_out: list[str] = []
    with new_log(out) as log:
        for model in document.models if document else ():
            log.model(model)
        if document is None:
            counts = _foreign(log, marked, operator, now, complete=complete, left_out=left_out)
        else:
            counts = _returned(
                log, folder, {item.name: item for item in marked}, document.entries, operator, now, left_out
            )
        if not counts[0]:
            raise ValueError(f"nothing of {folder} can be imported: {'; '.join(left_out) or 'it holds no picture'}")
    frames, answers, new = counts
    return Imported(frames=frames, answers=answers, new=new, left_out=tuple(left_out))


def _returned(
    log: NewLog,
    folder: Path,
    marked: dict[str, Marked],
    entries: tuple[Entry, ...],
    operator: str,
    now: int,
    left_out: list[str],
) -> tuple[int, int, int]:
    """An export of ours. Frames that the file no longer names come back as they were."""
    frames = answers = new = 0
    # After the station's own numbers, of which this log holds those that were exported.
    number = max((event.log_sequence for entry in entries for event in entry.events), default=0) + 1
    for entry in entries:
        mark = marked.get(entry.name)
        data = _original(folder, entry, mark)
        if data is None:
            left_out.append(f"{entry.name}: the picture is gone, or another one than was exported")
            continue
        log.frame(entry.frame, entry.detections)
        log.picture(entry.frame, data)
        added: list[FeedbackEvent] = []
        if mark is not None:
            record = MentoringRecord(frame=entry.frame, detections=entry.detections, judgements=fold(entry.events))
            before = knowledge_of(record, exclusive=entry.exclusive)
            added = events_of(
                entry.frame.frame_id,
                list(changes_of(before, mark)),
                operator=operator,
                now_unix_ns=now,
                first_sequence=number,
                earlier=entry.events,
                detections=entry.detections,
            )
        for event in (*entry.events, *added):
            log.event(event)
        number += len(added)
        frames, answers, new = frames + 1, answers + len(entry.events), new + len(added)
    return frames, answers, new


def _original(folder: Path, entry: Entry, mark: Marked | None) -> bytes | None:
    """The picture's bytes as the station kept them; None: they cannot be had."""
    paths = [mark.picture] if mark is not None and mark.picture is not None else list(folder.rglob(entry.name))
    for path in paths:
        data = path.read_bytes()
        if encoding_of(data) == "png" and entry.frame.image_suffix in ("pgm", "ppm"):
            data = encode_lossless(decode(data))
        if hashlib.sha256(data).hexdigest() == entry.frame.image_sha256:
            return data
    return None


def _foreign(
    log: NewLog, marked: list[Marked], operator: str, now: int, *, complete: bool, left_out: list[str]
) -> tuple[int, int, int]:
    frames = new = 0
    for number, mark in enumerate(marked):
        if mark.picture is None:
            left_out.append(f"{mark.name}: there is no such picture")
            continue
        if not mark.boxes and not complete:
            left_out.append(f"{mark.name}: it has no box, and nobody says that it is healthy (--complete does)")
            continue
        data = mark.picture.read_bytes()
        frame = _frame(mark, data, number)
        nothing = Knowledge(
            width=frame.width,
            height=frame.height,
            whole=None,
            defects=(),
            denied=(),
            unsettled=(),
            contradicted=(),
            exclusive=False,
        )
        said = list(changes_of(nothing, dataclasses.replace(mark, whole=complete)))
        events = events_of(
            frame.frame_id, said, operator=operator, now_unix_ns=now, first_sequence=new + 1, earlier=(), detections=()
        )
        log.frame(frame, ())
        log.picture(frame, data)
        for event in events:
            log.event(event)
        frames, new = frames + 1, new + len(events)
    return frames, 0, new


def _frame(mark: Marked, data: bytes, number: int) -> RecordedFrame:
    suffix = encoding_of(data)
    if suffix is None:
        raise ValueError(f"{mark.name} is no picture that can be read")
    height, width = decode(data).shape[:2]
    sha256 = hashlib.sha256(data).hexdigest()
    return RecordedFrame(
        # The same picture under the same name is the same frame, whenever it is imported.
        frame_id=new_frame_id(0, hashlib.sha256(f"{mark.name}\n{sha256}".encode()).digest()[:10]),
        boot_id=STATION,
        station=STATION,
        camera=STATION,
        part_id=mark.part_id,
        camera_sequence=number,
        width=width,
        height=height,
        captured_unix_ns=0,
        captured_monotonic_ns=0,
        image_sha256=sha256,
        image_suffix=suffix,
        image_bytes=len(data),
        model_digest="",
        verdict="NO_VERDICT",
        verdict_reason="imported",
        selected_because=STATION,
        selection_probability=1.0,
        recorded_unix_ns=number + 1,
    )
