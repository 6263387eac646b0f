"""The result as one HTML file with pictures, escapes first; it needs no network and runs no script.

A crop is stored once and shown twice, before and after; boxes are drawn over it as SVG, in frame pixels.
"""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import cv2
import jinja2
import numpy as np

from export.replay.run import Replay
from lineside.mentoring_log import MentoringLogReader
from lineside.pixels import Pixels, decode, encode_png
from lineside.reasons import ContractError
from lineside.records import BoxTuple
from lineside.replay.findings import Finding, findings_of
from lineside.replay.matching import CandidateDetection
from lineside.replay.references import by_reference

TEMPLATE = "report.html.j2"
MOST_PICTURES = 200
"""So many findings get a picture; the rest are listed."""
MOST_REFERENCES = 100
"""Lines of the table by part reference, the worst first; replay.json has all of them."""
_LEAST_SIDE = 96
"""Frame pixels a crop shows at least in each direction, so that a person sees where he is."""
_LONGEST_SIDE = 480
"""Pixels of a stored crop; larger ones are shrunk."""

Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2, whole frame pixels."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of a frame: `area` in frame pixels, and its picture as a data URI."""

    area: Rectangle
    uri: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A finding as the page shows it. `crop` is None where there is no picture."""

    finding: Finding
    crop: Crop | None
    before: tuple[CandidateDetection, ...]
    after: tuple[CandidateDetection, ...]


def page_of(replay: Replay, log: Path, *, most_pictures: int = MOST_PICTURES, part_pattern: str = "") -> str:
    """The page.

    Args:
        replay: the result.
        log: folder of the log the pictures are read from, one frame at a time.
        most_pictures: findings beyond get none.
        part_pattern: as for `by_reference`.

    Raises:
        FileNotFoundError, ContractError: the log cannot be opened any more. A picture that cannot be read is left out.
    """
    findings = findings_of(replay.frames)
    with MentoringLogReader(log) as reader:
        entries = [
            _entry(finding, reader if number < most_pictures else None) for number, finding in enumerate(findings)
        ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: "–" if share != share else f"{share:.1%}"
    return environment.get_template(TEMPLATE).render(
        replay=replay,
        tally=replay.tally,
        effect=replay.effect,
        references=by_reference(replay.frames, part_pattern),
        most_references=MOST_REFERENCES,
        entries=entries,
        pictures=min(len(entries), most_pictures),
    )


def area_around(boxes: list[BoxTuple], width: int, height: int) -> Rectangle:
    """The part of a frame to show: the boxes with half as much again around them; without any, the whole frame."""
    if not boxes:
        return 0, 0, width, height
    x1, y1 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x2, y2 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    spans = []
    for low, high, limit in ((x1, x2, width), (y1, y2, height)):
        half = max(_LEAST_SIDE, 2 * (high - low)) / 2
        middle = (low + high) / 2
        start = int(np.clip(middle - half, 0, max(0, limit - 1)))
        spans.append((start, max(start + 1, int(np.clip(middle + half, 1, limit)))))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _entry(finding: Finding, reader: MentoringLogReader | None) -> Entry:
    frame = finding.frame
    boxes = [frame.said[place].box for place in finding.by]
    if finding.box is not None:
        boxes.append(finding.box)
    crop = None if reader is None else _crop(reader, finding, boxes)
    return Entry(finding=finding, crop=crop, before=frame.judged_boxes, after=frame.said)


def _crop(reader: MentoringLogReader, finding: Finding, boxes: list[BoxTuple]) -> Crop | None:
    record = reader.record(finding.frame.frame_id)
    if record is None:
        return None
    try:
        pixels = decode(reader.image(record.frame))
    except ContractError:
        return None
    x1, y1, x2, y2 = area = area_around(boxes, pixels.shape[1], pixels.shape[0])
    data = encode_png(_shrunk(np.ascontiguousarray(pixels[y1:y2, x1:x2])))
    return Crop(area=area, uri="data:image/png;base64," + base64.b64encode(data).decode("ascii"))


def _shrunk(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    factor = _LONGEST_SIDE / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
