"""A log's judged frames for other tools: pictures, masks of what is known, the tool's own file, and the records.

OUT/images/NAME        pictures as the station keeps them; raw ones as PNG, which every tool reads
OUT/known/NAME.png     what is known: 0 nothing, 128 of some classes, 255 of all
OUT/lineside.json      the records, whole (`lineside.log.document`)
OUT/...                the tool's file (`lineside.log.formats`)
"""

from __future__ import annotations

import collections
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import json_format

from lineside.fold import fold
from lineside.log.document import Document, Entry, write_document
from lineside.log.formats import FORMATS
from lineside.log.formats.shown import MASKS, PICTURES, Shown
from lineside.log.known import Knowledge, knowledge_of
from lineside.log.pseudonyms import Rename, renamed
from lineside.log.rows import model_rows
from lineside.log_snapshot import LogSnapshot, read_snapshot
from lineside.mentoring_log import read_picture
from lineside.reasons import ContractError
from lineside.records import FeedbackEvent, MentoringRecord
from lineside.v1 import model_pb2

_RAW = frozenset({"pgm", "ppm"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    whole: int
    """Frames that are wholly known."""
    partial: int
    boxes: int
    left_out: tuple[str, ...]
    """Why frames or answers are not there: how many, and why."""


def export_log(root: Path, out: Path, kind: str, *, rename: Rename, whole_only: bool = False) -> Exported:
    """Writes the folder, whole or not at all; the station may go on writing its log.

    Args:
        root: the log's folder.
        out: a folder that is not there.
        kind: of `FORMATS`.
        rename: what is written for an operator's name.
        whole_only: leave out frames that are partly known.

    Raises:
        FileNotFoundError: there is no log.
        FileExistsError: `out` is there.
        ContractError: RECORD_CORRUPT, the log cannot be read.
        ValueError: there is no such format, or nobody has judged anything.
    """
    if kind not in FORMATS:
        raise ValueError(f"there is no format {kind!r}; there are {', '.join(FORMATS)}")
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a folder that is not")
    log = read_snapshot(root)
    notes = collections.Counter(f"the {row.kind} is damaged: {row.why}" for row in log.broken)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch) / "export"
        for name in (PICTURES, MASKS):
            (folder / name).mkdir(parents=True)
        entries, shown = _frames(log, folder, rename, whole_only=whole_only, notes=notes)
        if not entries:
            why = "; ".join(f"{count} x {reason}" for reason, count in notes.items()) or "nobody has judged any"
            raise ValueError(f"no frame of {root} can be exported: {why}")
        classes = class_names(log, shown)
        write_document(folder, Document(classes=classes, entries=tuple(entries), models=_models(root, entries)))
        FORMATS[kind].write(folder, shown, classes)
        folder.chmod(0o755)
        shutil.move(folder, out)
    whole = sum(item.knowledge.settled for item in shown)
    return Exported(
        whole=whole,
        partial=len(shown) - whole,
        boxes=sum(len(item.knowledge.defects) for item in shown),
        left_out=tuple(f"{count} x {reason}" for reason, count in sorted(notes.items())),
    )


def _frames(
    log: LogSnapshot, folder: Path, rename: Rename, *, whole_only: bool, notes: collections.Counter[str]
) -> tuple[list[Entry], list[Shown]]:
    said: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
    for event in log.events:
        said[event.frame_id].append(renamed(event, rename))
    exclusive = _exclusive(log.root)
    entries, shown = [], []
    for frame_id, frame in log.frames.items():
        events = tuple(said[frame_id])
        detections = log.detections.get(frame_id, ())
        record = MentoringRecord(frame=frame, detections=detections, judgements=fold(events))
        knowledge = knowledge_of(record, exclusive=exclusive.get(frame.model_digest, False))
        if whole_only and not knowledge.settled:
            notes["the frame is partly known"] += 1
            continue
        try:
            data = read_picture(log.root, frame)
        except ContractError as error:
            notes[f"{error.reason.value}: the picture cannot be read"] += 1
            continue
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", frame_id)
        name = f"{stem}.{'png' if frame.image_suffix in _RAW else frame.image_suffix}"
        _write_pictures(folder, name, stem, data, frame.image_suffix, knowledge)
        entries.append(
            Entry(name=name, frame=frame, detections=detections, events=events, exclusive=knowledge.exclusive)
        )
        shown.append(Shown(name=name, part_id=frame.part_id, knowledge=knowledge))
    return entries, shown


def _write_pictures(folder: Path, name: str, stem: str, data: bytes, suffix: str, knowledge: Knowledge) -> None:
    from lineside.pixels import decode, encode_png

    (folder / PICTURES / name).write_bytes(encode_png(decode(data)) if suffix in _RAW else data)
    (folder / MASKS / f"{stem}.png").write_bytes(encode_png(knowledge.mask()))


def class_names(log: LogSnapshot, shown: Sequence[Shown]) -> tuple[str, ...]:
    """Classes of all models in the log, in the newest model's order, then whatever else people named."""
    names: dict[str, None] = {}
    for row in reversed(model_rows(log.root)):
        manifest = _manifest(row["manifest"])
        if manifest is not None:
            names.update(dict.fromkeys(item.name for item in manifest.classes))
    raised = {item.class_name for found in log.detections.values() for item in found}
    drawn = {defect.class_name for item in shown for defect in item.knowledge.defects}
    names.update(dict.fromkeys(sorted(raised | drawn)))
    return tuple(names)


def _exclusive(root: Path) -> dict[str, bool]:
    known = {}
    for row in model_rows(root):
        manifest = _manifest(row["manifest"])
        known[row["digest"]] = manifest is not None and manifest.decode.exclusive_classes
    return known


def _manifest(text: str) -> model_pb2.PackageManifest | None:
    try:
        return json_format.Parse(text, model_pb2.PackageManifest())
    except json_format.ParseError:
        return None


def _models(root: Path, entries: Sequence[Entry]) -> tuple[dict[str, object], ...]:
    used = {entry.frame.model_digest for entry in entries}
    return tuple(row for row in model_rows(root) if row["digest"] in used)
