"""The YOLO layout.

    data.yaml                        class names; `train` names images/train
    images/train/  labels/train/     frames that are wholly known
    partial/images/  partial/labels/ frames that are partly known, where no training looks

YOLO has no word for "not known": a picture's text file is all that is on it. What a box is of (a person's, a machine's,
poor) has no place either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from lineside.log.formats.shown import PICTURES, Format, Marked, MarkedBox, Shown, box_of
from lineside.records import BoxTuple

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def write(folder: Path, frames: Sequence[Shown], classes: Sequence[str]) -> None:
    """Text files and data.yaml; moves the pictures to where the layout wants them."""
    for whole, pictures, labels in (
        (True, folder / PICTURES / "train", folder / "labels" / "train"),
        (False, folder / "partial" / "images", folder / "partial" / "labels"),
    ):
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for frame in frames:
            if frame.knowledge.settled is not whole:
                continue
            (folder / PICTURES / frame.name).rename(pictures / frame.name)
            lines = [
                " ".join(
                    [str(classes.index(defect.class_name)), *(f"{value:.9g}" for value in _shares(defect.box, frame))]
                )
                for defect in frame.knowledge.defects
            ]
            (labels / frame.name).with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines))
    names = "".join(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(classes))
    (folder / "data.yaml").write_text(
        f"# Wholly known frames; those in partial/ are not, and must not be trained on as if they were.\n"
        f"path: .\ntrain: images/train\nval: images/train\nnames:\n{names}",
        encoding="utf-8",
    )


def read(folder: Path) -> list[Marked]:
    """Frames of images/ (wholly known) and of partial/.

    Raises:
        FileNotFoundError: there are no pictures, or no class names.
        ValueError: a line is not what it should be.
    """
    # Only here, because it needs OpenCV, and only YOLO's files do not say how large their pictures are.
    from lineside.pixels import decode

    names = _class_names(folder)
    marked = []
    for pictures, labels, whole in (
        (folder / PICTURES, folder / "labels", True),
        (folder / "partial" / "images", folder / "partial" / "labels", False),
    ):
        for path in sorted(path for path in pictures.rglob("*") if path.suffix.lower() in _SUFFIXES):
            text = (labels / path.relative_to(pictures)).with_suffix(".txt")
            lines = text.read_text().splitlines() if text.is_file() else []
            height, width = decode(path.read_bytes()).shape[:2] if lines else (1, 1)
            boxes = [_box(line, f"{text} line {number}", width, height, names) for number, line in enumerate(lines, 1)]
            marked.append(Marked(name=path.name, picture=path, whole=whole, boxes=tuple(boxes)))
    if not marked:
        raise FileNotFoundError(f"{folder} is no YOLO folder: expected pictures in images/ and text files in labels/")
    return marked


def _shares(box: BoxTuple, frame: Shown) -> tuple[float, float, float, float]:
    width, height = frame.knowledge.width, frame.knowledge.height
    x1, y1, x2, y2 = max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
    return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height


def _box(line: str, where: str, width: int, height: int, names: Sequence[str]) -> MarkedBox:
    try:
        kind, x, y, w, h = (float(word) for word in line.split())
        name = names[int(kind)]
    except (ValueError, IndexError):
        raise ValueError(
            f"{where} is {line[:80]!r}, expected `class cx cy width height` with a class there is"
        ) from None
    corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return MarkedBox(class_name=name, box=box_of(corners, where), reference=None)


def _class_names(folder: Path) -> tuple[str, ...]:
    plain = folder / "classes.txt"
    if plain.is_file():
        return tuple(line.strip() for line in plain.read_text(encoding="utf-8").splitlines() if line.strip())
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        text = path.read_text(encoding="utf-8")
        listed = re.search(r"^names:[ \t]*\[([^\]]*)\]", text, re.MULTILINE)
        if listed is not None:
            return tuple(name.strip().strip("'\"") for name in listed.group(1).split(",") if name.strip())
        found = re.search(r"^names:[ \t]*\n((?:[ \t]*(?:-|\d+:)[^\n]*\n?)+)", text, re.MULTILINE)
        if found is not None:
            entries = re.findall(r"^[ \t]*(?:-|\d+:)[ \t]*(.*?)[ \t]*$", found.group(1), re.MULTILINE)
            return tuple(_unquoted(entry) for entry in entries)
    raise FileNotFoundError(f"{folder} has no class names: expected classes.txt or a data.yaml with `names`")


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        return str(json.loads(text))
    return text.strip("'")


FORMAT = Format(write=write, read=read)
