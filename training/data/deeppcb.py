"""Importer of the public DeepPCB layout (Tang et al., "Online PCB defect detector on a new PCB defect dataset").

PCBData/trainval.txt, test.txt              `group.../NNN.jpg group.../NNN.txt` a line; the picture on disk has
                                            `_test` in its name
PCBData/group00041/00041/00041000_test.jpg  tested picture, .jpg in the public set, .png in other copies
PCBData/group00041/00041/00041000_temp.jpg  its template without defects: a healthy picture
PCBData/group00041/00041_not/00041000.txt   `x1 y1 x2 y2 type` a line, separated by spaces (the public README says
                                            commas: both are read); types 1 to 6
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lineside.areas import Indices
from lineside.boxes import Boxes, as_boxes
from training.data.sample import Dataset, Experiment, FilePicture, Sample, labels
from training.data.splits import Splits, read_splits
from training.shift import Shift

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SUFFIXES = (".png", ".jpg")
PUBLIC = "public"
"""Name of the experiment that others report on: the public lists, of the same boards, and no new domain."""


def load_experiment(folder: Path, name: str, *, level: str | None = None, seed: int | None = None) -> Experiment:
    """An experiment of the set's `splits.json`; every set holds the templates of its pictures as healthy ones.

    The one called `public` is trained on `trainval.txt` and tested on `test.txt`, as the set's authors do.

    Raises:
        FileNotFoundError, ValueError: the folder is not what it claims to be; the message says what is missing.
    """
    if name == PUBLIC:
        train, test = load_list(folder, "trainval"), load_list(folder, "test")
        nothing = Dataset(name="none", classes=CLASSES, samples=())
        return Experiment(
            name=PUBLIC, train=train, eval_original=test, mentoring=nothing, eval_new=nothing, part_ids="kind"
        )
    splits = read_splits(folder)
    root = picture_root(folder, splits)

    def build(role: str, files: Sequence[str], shift: Shift | None) -> Dataset:
        return load_files(root, files, name=f"deeppcb {role}", shift=shift)

    # A part id is a board's layout, which the line meets again and again.
    return dataclasses.replace(splits.experiment(name, build, level=level, seed=seed), part_ids="kind")


def load_list(folder: Path, name: str) -> Dataset:
    """One of the public lists, `trainval` or `test`.

    Raises:
        FileNotFoundError, ValueError: as `load_experiment`.
    """
    root = picture_root(folder, None)
    path = root / f"{name}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"no list {name}.txt in {root}; the public set has trainval.txt and test.txt")
    files = [line.split()[0].rpartition(".")[0] + "_test.jpg" for line in path.read_text().splitlines() if line.strip()]
    return load_files(root, files, name=f"deeppcb {name}")


def picture_root(folder: Path, splits: Splits | None) -> Path:
    """The folder that holds the groups: `folder` itself or its `PCBData`.

    Raises:
        FileNotFoundError: neither holds a group.
    """
    for root in (folder / (splits.root if splits else "PCBData"), folder):
        if any(root.glob("group*/")):
            return root
    raise FileNotFoundError(f"{folder} is not a DeepPCB folder: expected PCBData/group00041/... in it")


def load_files(root: Path, files: Sequence[str], *, name: str, shift: Shift | None = None) -> Dataset:
    """The tested pictures named and, after each, its template as a healthy sample.

    Args:
        root: the folder that holds the groups.
        files: `group00041/00041/00041000_test.png`, relative to `root`; .png and .jpg are both looked for.
        name: the dataset's.
        shift: the second camera, or None.
    """
    samples = []
    for file in files:
        tested = _existing(root, file)
        number = tested.stem.removesuffix("_test")
        boxes, classes = read_annotation(tested.parent.parent / f"{tested.parent.name}_not" / f"{number}.txt")
        part = tested.parent.name
        samples.append(
            Sample(
                name=tested.stem,
                picture=FilePicture(path=tested, shift=shift),
                part_id=part,
                boxes=boxes,
                classes=classes,
            )
        )
        template = _existing(root, file.replace("_test.", "_temp."))
        samples.append(
            Sample(
                name=template.stem,
                picture=FilePicture(path=template, shift=shift),
                part_id=part,
                boxes=as_boxes([]),
                classes=np.zeros(0, np.int32),
            )
        )
    return Dataset(name=name, classes=CLASSES, samples=tuple(samples))


def read_annotation(path: Path) -> tuple[Boxes, Indices]:
    """Boxes in frame pixels and class indices (0 is `open`) of one text file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not `x1 y1 x2 y2 type`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no annotation {path}; each picture NNN_test has one in the folder with _not")
    boxes, classes = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            x1, y1, x2, y2, kind = (int(word) for word in line.replace(",", " ").split())
        except ValueError:
            raise ValueError(f"{path} line {number} is {line!r}, expected `x1 y1 x2 y2 type`") from None
        if not 1 <= kind <= len(CLASSES):
            raise ValueError(f"{path} line {number} has type {kind}, expected 1 to {len(CLASSES)}")
        boxes.append((float(x1), float(y1), float(x2), float(y2)))
        classes.append(kind - 1)
    return labels(boxes, classes)


def _existing(root: Path, file: str) -> Path:
    path = root / file
    for suffix in (path.suffix, *SUFFIXES):
        candidate = path.with_suffix(suffix)
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"no picture {path} (nor with {' or '.join(SUFFIXES)}); is the set complete?")
