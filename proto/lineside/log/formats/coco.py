"""COCO object detection.

    annotations.json   frames that are wholly known
    partial.json       frames that are partly known; where a category is not settled there are crowd regions of it

A crowd region (`iscrowd`) is COCO's own word for "do not count here": its evaluation neither punishes nor rewards what
a model finds there. Evaluating boxes it looks at the box of a crowd and at one crowd at a time, so a region is written
as its largest rectangles. A training that drops crowds would take such places for healthy, which is why these frames
have a file of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lineside.log.formats.shown import PICTURES, Format, Marked, MarkedBox, Shown, box_of, find_picture
from lineside.log.rectangles import Rectangle

WHOLE, PARTIAL = "annotations.json", "partial.json"


def write(folder: Path, frames: Sequence[Shown], classes: Sequence[str]) -> None:
    """Both files."""
    for name, whole in ((WHOLE, True), (PARTIAL, False)):
        chosen = [frame for frame in frames if frame.knowledge.settled is whole]
        text = json.dumps(_document(chosen, classes), indent=1, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> list[Marked]:
    """The frames of both files; of a set that others made, of whatever one JSON file is there.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not COCO; the message says what is wrong.
    """
    files = [(folder / name, name == WHOLE) for name in (WHOLE, PARTIAL) if (folder / name).is_file()]
    if not files:
        found = sorted(folder.glob("*.json")) if folder.is_dir() else [folder] if folder.is_file() else []
        if len(found) != 1:
            raise FileNotFoundError(f"{folder} holds {len(found)} JSON files, expected {WHOLE} or one COCO file")
        files = [(found[0], True)]
    return [frame for path, whole in files for frame in _read(path, whole)]


def _read(path: Path, whole: bool) -> list[Marked]:
    try:
        return _marked(path, json.loads(path.read_text(encoding="utf-8")), whole)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not COCO: {type(error).__name__} {error}") from None


def _document(frames: Sequence[Shown], classes: Sequence[str]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, frame in enumerate(frames, 1):
        knowledge = frame.knowledge
        for defect in knowledge.defects:
            x1, y1, x2, y2 = defect.box
            annotations.append(
                {
                    "image_id": image_id,
                    "category_id": classes.index(defect.class_name) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "segmentation": [],
                    "reference": defect.reference,
                    "drawn_by_a_person": defect.drawn,
                    "poor_box": defect.poor,
                }
            )
        if not knowledge.settled:
            for number, name in enumerate(classes, 1):
                annotations += [_crowd(image_id, number, region) for region in knowledge.open_for(name)]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    return {
        "info": {"description": "Lineside mentoring log", "version": "1"},
        "licenses": [],
        "images": [
            {
                "id": image_id,
                "file_name": frame.name,
                "width": frame.knowledge.width,
                "height": frame.knowledge.height,
                "part_id": frame.part_id,
            }
            for image_id, frame in enumerate(frames, 1)
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes, 1)],
        "annotations": annotations,
    }


def _crowd(image_id: int, category_id: int, region: Rectangle) -> dict[str, Any]:
    x1, y1, x2, y2 = region
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 1,
        "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
    }


def _marked(path: Path, document: dict[str, Any], whole: bool) -> list[Marked]:
    names = {int(entry["id"]): str(entry["name"]) for entry in document["categories"]}
    boxes: dict[int, list[MarkedBox]] = {int(entry["id"]): [] for entry in document["images"]}
    for entry in document["annotations"]:
        if entry.get("iscrowd"):
            continue
        x, y, width, height = (float(value) for value in entry["bbox"])
        box = box_of((x, y, x + width, y + height), f"{path.name}, annotation {entry.get('id')}")
        reference = entry.get("reference")
        boxes[int(entry["image_id"])].append(
            MarkedBox(
                class_name=names[int(entry["category_id"])],
                box=box,
                reference=None if reference is None else str(reference),
            )
        )
    crowds = {int(entry["image_id"]) for entry in document["annotations"] if entry.get("iscrowd")}
    return [
        Marked(
            name=str(entry["file_name"]),
            picture=find_picture(path.parent, str(entry["file_name"]), PICTURES, "."),
            whole=whole and int(entry["id"]) not in crowds,
            boxes=tuple(boxes[int(entry["id"])]),
            part_id=str(entry.get("part_id", "")),
        )
        for entry in document["images"]
    ]


FORMAT = Format(write=write, read=read)
