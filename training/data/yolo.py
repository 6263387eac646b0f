"""Importer of the YOLO layout: pictures, and beside each a text file of boxes relative to its size.

    data.yaml | classes.txt            class names (data.yaml's `names`, as a list or numbered; or a name a line)
    images/[train/]PICTURE.png|jpg|... pictures
    labels/[train/]PICTURE.txt         `class cx cy width height` a line, 0 to 1 of the picture's size

A picture whose text file is empty or missing is a healthy one.
"""

from __future__ import annotations

import re
from pathlib import Path

from training.data.sample import Dataset, FilePicture, Sample, labels

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def load(folder: Path, part: str = "") -> Dataset:
    """A YOLO set or one part of it.

    Args:
        folder: holds images, labels and the class names.
        part: sub-folder of images and labels: `train`, `val`, ...; empty: all of them.

    Raises:
        FileNotFoundError: images, labels or the class names are missing.
        ValueError: a line is not what it should be.
    """
    images, texts = folder / "images" / part, folder / "labels" / part
    for needed in (images, texts):
        if not needed.is_dir():
            raise FileNotFoundError(f"{folder} is not a YOLO folder: expected {needed.relative_to(folder)}/ in it")
    classes = class_names(folder)
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in PICTURES)
    if not files:
        raise FileNotFoundError(f"no pictures in {images}; looked for {', '.join(PICTURES)}")
    samples = []
    for path in files:
        name = path.relative_to(images)
        picture = FilePicture(path=path)
        text = (texts / name).with_suffix(".txt")
        lines = [line for line in text.read_text().splitlines() if line.strip()] if text.is_file() else []
        rows = [_line(text, number, line, len(classes)) for number, line in enumerate(lines, 1)]
        height, width = picture.read().shape[:2] if rows else (1, 1)
        boxes, kinds = labels(
            [
                ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
                for _, x, y, w, h in rows
            ],
            [int(row[0]) for row in rows],
        )
        samples.append(Sample(name=name.as_posix(), picture=picture, boxes=boxes, classes=kinds))
    return Dataset(name=f"yolo {folder.name} {part}".strip(), classes=classes, samples=tuple(samples))


def class_names(folder: Path) -> tuple[str, ...]:
    """Names from data.yaml (or any one .yaml) or classes.txt.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file names no class.
    """
    plain = folder / "classes.txt"
    if plain.is_file():
        names = [line.strip() for line in plain.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not names:
            raise ValueError(f"{plain} names no class, expected one a line")
        return tuple(names)
    files = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    if len(files) != 1:
        raise FileNotFoundError(f"{folder} has no class names: expected classes.txt or one data.yaml with `names`")
    names = _names(files[0].read_text(encoding="utf-8"))
    if not names:
        raise ValueError(f"{files[0]} names no class, expected `names: [first, second]` or a numbered block")
    return tuple(names)


def _names(text: str) -> list[str]:
    """`names` of a data.yaml in the three forms in use: [a, b], a block of `- a`, a block of `0: a`.

    Only this much YAML is read, so that no parser of the whole language is needed.
    """
    found = re.search(r"^names:[ \t]*(.*)$", text, re.MULTILINE)
    if found is None:
        return []
    inline = found.group(1).split("#")[0].strip()
    if inline.startswith("["):
        whole = text[found.start(1) :]
        return [_bare(item) for item in whole[whole.index("[") + 1 : whole.index("]")].split(",") if item.strip()]
    if inline.startswith("{"):
        whole = text[found.start(1) :]
        pairs = [item.partition(":") for item in whole[whole.index("{") + 1 : whole.index("}")].split(",")]
        return [_bare(name) for _, _, name in sorted(pairs, key=lambda pair: int(pair[0]))]
    names: list[tuple[int, str]] = []
    for line in text[found.end() :].splitlines():
        bare = line.split("#")[0].rstrip()
        if not bare:
            continue
        entry = re.fullmatch(r"\s*(?:-\s+(.*)|(\d+)\s*:\s*(.*))", bare)
        if entry is None:
            break
        listed, number, named = entry.groups()
        names.append((len(names) if number is None else int(number), _bare(named if listed is None else listed)))
    return [name for _, name in sorted(names)]


def _bare(text: str) -> str:
    return text.strip().strip("'\"")


def _line(path: Path, number: int, line: str, classes: int) -> tuple[float, float, float, float, float]:
    try:
        kind, cx, cy, width, height = (float(word) for word in line.split())
    except ValueError:
        raise ValueError(f"{path} line {number} is {line!r}, expected `class cx cy width height`") from None
    if kind != int(kind) or not 0 <= kind < classes:
        raise ValueError(f"{path} line {number} has class {kind:g}, expected 0 to {classes - 1}")
    if not (-0.01 <= cx <= 1.01 and -0.01 <= cy <= 1.01 and 0 < width <= 1.01 and 0 < height <= 1.01):
        raise ValueError(f"{path} line {number} is {line!r}, expected shares of the picture's size, 0 to 1")
    return kind, cx, cy, width, height
