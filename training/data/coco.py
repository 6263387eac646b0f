"""Importer of COCO object detection: one JSON file with images, categories and boxes.

    {"images": [{"id", "file_name", "width", "height", ...}],
     "categories": [{"id", "name"}], "annotations": [{"image_id", "category_id", "bbox": [x, y, width, height]}]}

Classes are taken in the order of their category ids, whatever those are. A picture without annotation is a healthy one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.data.sample import Dataset, FilePicture, Sample, labels


def load(annotations: Path, pictures: Path | None = None) -> Dataset:
    """A COCO set.

    Args:
        annotations: the JSON file, or a folder that holds exactly one.
        pictures: folder that `file_name` is relative to; by default looked for beside the file and in its `images`.

    Raises:
        FileNotFoundError: the file or a picture is missing.
        ValueError: it is not COCO; the message says what is wrong.
    """
    path = _file(annotations)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    for key in ("images", "categories", "annotations"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise ValueError(f"{path} is not a COCO file: it has no list {key!r}")
    try:
        return _load(path, document, pictures)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a COCO file: {type(error).__name__} {error}") from None


def _load(path: Path, document: dict[str, Any], pictures: Path | None) -> Dataset:
    categories = sorted(document["categories"], key=lambda entry: int(entry["id"]))
    number = {int(entry["id"]): index for index, entry in enumerate(categories)}
    by_image: dict[int, list[tuple[list[float], int]]] = {int(entry["id"]): [] for entry in document["images"]}
    for entry in document["annotations"]:
        image, kind = int(entry["image_id"]), int(entry["category_id"])
        if image not in by_image or kind not in number:
            raise ValueError(
                f"{path}: annotation {entry.get('id')} names image {image} and category {kind}, which do not both exist"
            )
        if entry.get("iscrowd"):
            raise ValueError(f"{path}: annotation {entry.get('id')} is a crowd region; only single boxes can be taught")
        x, y, width, height = (float(value) for value in entry["bbox"])
        if not (width > 0 and height > 0):
            raise ValueError(
                f"{path}: annotation {entry.get('id')} has bbox {entry['bbox']}, expected [x, y, width,"
                " height] with positive sizes"
            )
        by_image[image].append(([x, y, x + width, y + height], number[kind]))
    samples = []
    for entry in document["images"]:
        found = by_image[int(entry["id"])]
        boxes, classes = labels([box for box, _ in found], [kind for _, kind in found])
        samples.append(
            Sample(
                name=str(entry["file_name"]),
                picture=FilePicture(path=_picture(path, pictures, str(entry["file_name"]))),
                boxes=boxes,
                classes=classes,
                part_id=str(entry.get("part_id", entry.get("tile", ""))),
            )
        )
    return Dataset(
        name=f"coco {path.stem}", classes=tuple(str(entry["name"]) for entry in categories), samples=tuple(samples)
    )


def _file(path: Path) -> Path:
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if len(files) != 1:
            raise FileNotFoundError(f"{path} holds {len(files)} JSON files, expected one COCO file; name it")
        return files[0]
    if not path.is_file():
        raise FileNotFoundError(f"no COCO file {path}")
    return path


def _picture(annotations: Path, pictures: Path | None, name: str) -> Path:
    folders = [pictures] if pictures else [annotations.parent, annotations.parent / "images"]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no picture {name} in {' or '.join(str(folder) for folder in folders)}")
