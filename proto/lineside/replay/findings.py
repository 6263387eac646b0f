"""What a person should look at, one finding per line, escapes first. Pure."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from lineside.records import BoxTuple
from lineside.replay.figures import is_harmful
from lineside.replay.judging import DENIALS, Answer, FrameResult, Result, Truth


class Group(enum.Enum):
    """Kinds of findings, the gravest first."""

    ESCAPE = "escape"
    RENAMED = "other class"
    FIRES = "still fires"
    ALARM = "alarm"
    FLIP = "verdict"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing seen on one part."""

    group: Group
    frame: FrameResult
    class_name: str
    """Empty for verdicts and alarms."""
    text: str
    box: BoxTuple | None
    """The judged box, frame pixels."""
    by: tuple[int, ...]
    """The candidate's detections it is about."""


def findings_of(frames: Sequence[FrameResult]) -> tuple[Finding, ...]:
    """Everything found, by group, then by part; changed verdicts last, the wrong ones first among them."""
    found = [finding for frame in frames for result in frame.results if (finding := _finding(frame, result))]
    found += [
        Finding(group=Group.FLIP, frame=frame, class_name="", text=_flip(frame), box=None, by=())
        for frame in frames
        if frame.flipped
    ]
    order = list(Group)
    gravity = {Truth.DEFECTIVE: 0, Truth.SOUND: 1, Truth.OPEN: 2}

    def key(finding: Finding) -> tuple[object, ...]:
        flip = (not is_harmful(finding.frame), gravity[finding.frame.truth]) if finding.group is Group.FLIP else ()
        return (order.index(finding.group), flip, finding.frame.part, finding.frame.frame_id, finding.class_name)

    return tuple(sorted(found, key=key))


def _finding(frame: FrameResult, result: Result) -> Finding | None:
    item = result.expectation
    said = ", ".join(f"{frame.said[place].class_name} {frame.said[place].score:.2f}" for place in result.by)
    if result.answer is Answer.LOST:
        group = Group.ESCAPE
        near = f"; nearest detection overlaps by {result.nearest:.2f}" if result.nearest > 0 else ""
        text = f"{item.class_name} ({item.kind.value}) not found{near}"
    elif result.answer is Answer.RENAMED:
        group, text = Group.RENAMED, f"{item.class_name} ({item.kind.value}) found as {said}"
    elif result.answer is Answer.FIRES and item.kind in DENIALS:
        group, text = Group.FIRES, f"{item.class_name} ({item.kind.value}) fires again as {said}"
    elif result.answer is Answer.FIRES:
        group, text = Group.ALARM, f"{said} on a frame called {item.kind.value.removeprefix('frame ')}"
    else:
        return None
    return Finding(group=group, frame=frame, class_name=item.class_name, text=text, box=item.box, by=result.by)


def _flip(frame: FrameResult) -> str:
    if frame.truth is Truth.OPEN:
        known = "whether the part is sound is not known"
    else:
        known = f"the part is {frame.truth.value}: {'worse' if is_harmful(frame) else 'better'}"
    return f"{frame.before} becomes {frame.after}; {known}"
