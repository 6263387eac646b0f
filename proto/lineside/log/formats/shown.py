"""What a format writes and reads, as values that all formats share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from lineside.log.known import Knowledge
from lineside.records import BoxTuple

PICTURES = "images"
"""Folder of the pictures in an export; YOLO's layout asks for sub-folders, so it moves them."""
MASKS = "known"
"""Folder of the masks: grey PNGs of the pictures' names, values of `lineside.log.known`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One frame, to be written."""

    name: str
    """Of its picture's file."""
    part_id: str
    knowledge: Knowledge


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MarkedBox:
    """A box that a file says is a defect, in frame pixels."""

    class_name: str
    box: BoxTuple
    reference: str | None
    """`lineside.log.known.Defect.reference`, where the format keeps it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """One frame, as a file says it is now."""

    name: str
    """Of its picture's file."""
    picture: Path | None
    """The file; None: it is not where it should be."""
    whole: bool
    """Whether the file says that it is wholly known."""
    boxes: tuple[MarkedBox, ...]
    part_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How to write and read one."""

    write: Callable[[Path, Sequence[Shown], Sequence[str]], None]
    """(folder, frames, classes): beside the pictures and masks, which are there already."""
    read: Callable[[Path], list[Marked]]
    """(folder); raises ValueError or FileNotFoundError, with what is wrong."""


def find_picture(folder: Path, name: str, *places: str) -> Path | None:
    """A picture by its name in one of the places below a folder.

    Raises:
        ValueError: the name leads out of the folder.
    """
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"{folder} names a picture {name!r}, which leads out of the folder; rename it")
    for place in places:
        path = folder / place / name
        if path.is_file():
            return path
    return None


def box_of(values: Sequence[float], where: str) -> BoxTuple:
    """x1, y1, x2, y2 with an area.

    Raises:
        ValueError: it has none.
    """
    x1, y1, x2, y2 = (float(value) for value in values)
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"{where} has a box {[x1, y1, x2, y2]} without an area; expected x1 < x2 and y1 < y2")
    return (x1, y1, x2, y2)
