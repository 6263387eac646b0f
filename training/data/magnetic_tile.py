"""Importer of the public magnetic tile layout (Huang et al., "Surface defect saliency of magnetic tile").

    MT_Blowhole/Imgs/exp1_num_108719.jpg    picture, grey, sizes differ
    MT_Blowhole/Imgs/exp1_num_108719.png    mask, same name and size, white on the defect
    MT_Free/Imgs/...                        tiles without defect, mask all 0

Class = folder. Boxes are drawn from the masks: connected parts, those a few pixels apart taken as one, specks dropped.
Where `annotations_coco.json` lies beside, its boxes are taken and its physical tile is the part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from lineside.areas import Indices
from lineside.boxes import Boxes
from lineside.pixels import Pixels, decode
from lineside.reasons import ContractError
from training.data.sample import Dataset, Experiment, FilePicture, Sample, labels
from training.data.splits import read_splits
from training.shift import Shift

FOLDERS = {
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Uneven": "uneven",
}
CLASSES = tuple(FOLDERS.values())
HEALTHY = "MT_Free"
COCO_NAME = "annotations_coco.json"
TOGETHER = 7
"""Parts of a mask at most this many pixels apart are one defect."""
SPECK = 15
"""Parts with fewer pixels are dropped."""


def load_experiment(folder: Path, name: str, *, level: str | None = None, seed: int | None = None) -> Experiment:
    """An experiment of the set's `splits.json`.

    Raises:
        FileNotFoundError, ValueError: the folder is not what it claims to be; the message says what is missing.
    """
    _check(folder)
    known = _annotations(folder)

    def build(role: str, files: Sequence[str], shift: Shift | None) -> Dataset:
        return load_files(folder, files, name=f"magnetic_tile {role}", shift=shift, known=known)

    return read_splits(folder).experiment(name, build, level=level, seed=seed)


def load(folder: Path) -> Dataset:
    """Every picture of the set, boxes from the masks.

    Raises:
        FileNotFoundError, ValueError: as `load_experiment`.
    """
    _check(folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("MT_*/Imgs/*.jpg"))
    return load_files(folder, files, name="magnetic_tile", known={})


Known = Mapping[str, tuple[Boxes, Indices, str]]
"""Boxes, classes and part by file."""


def load_files(folder: Path, files: Sequence[str], *, name: str, shift: Shift | None = None, known: Known) -> Dataset:
    """The pictures named.

    Args:
        folder: holds MT_Blowhole and the others.
        files: `MT_Blowhole/Imgs/exp1_num_108719.jpg`, relative to it.
        name: the dataset's.
        shift: the second camera, or None.
        known: boxes that need not be drawn from masks.
    """
    samples = []
    for file in files:
        path = folder / file
        if not path.is_file():
            raise FileNotFoundError(f"no picture {path}; is the set complete?")
        kind = Path(file).parts[0]
        mask = path.with_suffix(".png")
        if file in known:
            boxes, classes, part = known[file]
        else:
            boxes, classes, part = *_from_mask(mask, kind), ""
        samples.append(
            Sample(
                name=path.stem,
                picture=FilePicture(path=path, shift=shift),
                boxes=boxes,
                classes=classes,
                part_id=part,
                mask=mask if mask.is_file() else None,
            )
        )
    return Dataset(name=name, classes=CLASSES, samples=tuple(samples))


def boxes_of_mask(mask: Pixels) -> Boxes:
    """(n, 4) boxes around the parts of a mask.

    Args:
        mask: uint8 (h, w), above 127 on the defect.
    """
    white = (mask > 127).astype(np.uint8)
    size = TOGETHER // 2 * 2 + 1
    grown = cv2.dilate(white, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    count, parts = cv2.connectedComponents(grown, connectivity=8)
    found = []
    for part in range(1, count):
        rows, columns = np.nonzero((parts == part) & (white > 0))
        if len(rows) >= SPECK:
            found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return labels(found, [0] * len(found))[0]


def _from_mask(path: Path, kind: str) -> tuple[Boxes, Indices]:
    if kind == HEALTHY:
        return labels([], [])
    if not path.is_file():
        raise FileNotFoundError(f"no mask {path}; every picture .jpg has one of the same name as .png")
    try:
        mask = decode(path.read_bytes())
    except ContractError as error:
        raise ValueError(f"{path}: {error.message}") from None
    boxes = boxes_of_mask(mask if mask.ndim == 2 else np.ascontiguousarray(mask[:, :, 0]))
    return boxes, np.full(len(boxes), CLASSES.index(FOLDERS[kind]), np.int32)


def _annotations(folder: Path) -> Known:
    path = folder / COCO_NAME
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text())
        number = {entry["id"]: CLASSES.index(entry["name"]) for entry in document["categories"]}
        boxes: dict[int, list[list[float]]] = {entry["id"]: [] for entry in document["images"]}
        kinds: dict[int, list[int]] = {entry["id"]: [] for entry in document["images"]}
        for entry in document["annotations"]:
            x, y, width, height = entry["bbox"]
            boxes[entry["image_id"]].append([x, y, x + width, y + height])
            kinds[entry["image_id"]].append(number[entry["category_id"]])
        return {
            entry["file_name"]: (*labels(boxes[entry["id"]], kinds[entry["id"]]), f"tile-{entry['tile']}")
            for entry in document["images"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not the set's COCO file: {type(error).__name__} {error}") from None


def _check(folder: Path) -> None:
    missing = [name for name in (*FOLDERS, HEALTHY) if not (folder / name / "Imgs").is_dir()]
    if missing:
        raise FileNotFoundError(f"{folder} is not a magnetic tile folder: no {missing[0]}/Imgs in it")
