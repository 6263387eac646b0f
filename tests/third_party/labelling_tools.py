"""Reads exports with the tools they are written for; run by tests/story/test_labelling_tools.py in an environment of
its own. Prints one JSON object: by format, frames by name, each a sorted list of [class, x1, y1, x2, y2]."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import datumaro  # noqa: E402
from label_studio_sdk.converter import Converter  # noqa: E402
from label_studio_sdk.label_interface import LabelInterface  # noqa: E402

Frames = dict[str, list[list[Any]]]


def by_datumaro(folder: Path, kind: str) -> Frames:
    dataset = datumaro.Dataset.import_from(str(folder), kind)
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    return {
        item.id: sorted([names[mark.label], *(round(value, 2) for value in mark.points)] for mark in item.annotations)
        for item in dataset
    }


def coco(folder: Path, scratch: Path) -> Frames:
    (scratch / "annotations").mkdir(parents=True)
    shutil.copy(folder / "annotations.json", scratch / "annotations" / "instances_train.json")
    shutil.copytree(folder / "images", scratch / "images" / "train")
    return by_datumaro(scratch, "coco_instances")


def cvat(folder: Path, name: str, scratch: Path) -> Frames:
    scratch.mkdir()
    shutil.copy(folder / name, scratch / name)
    shutil.copytree(folder / "images", scratch / "images")
    return by_datumaro(scratch, "cvat")


def label_studio(folder: Path, scratch: Path) -> Frames:
    interface = LabelInterface((folder / "config.xml").read_text())
    interface.validate()
    for task in json.loads((folder / "tasks.json").read_text()):
        assert all(interface.validate_annotation(entry) for entry in task["annotations"])
    for task in json.loads((folder / "partial.json").read_text()):
        for entry in task["predictions"]:
            assert interface.validate_prediction({**entry, "score": 1.0}, return_errors=True) == []
    converter = Converter(str(folder / "config.xml"), str(folder), download_resources=False)
    converter.convert_to_coco(
        str(folder / "tasks.json"), str(scratch), output_image_dir=str(scratch / "images"), is_dir=False
    )
    document = json.loads((scratch / "result.json").read_text())
    names = {item["id"]: item["name"] for item in document["categories"]}
    frames: Frames = {Path(item["file_name"]).stem: [] for item in document["images"]}
    stems = {item["id"]: Path(item["file_name"]).stem for item in document["images"]}
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        box = [round(value, 2) for value in (x, y, x + width, y + height)]
        frames[stems[item["image_id"]]].append([names[item["category_id"]], *box])
    return {name: sorted(boxes) for name, boxes in frames.items()}


def main(exports: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            "coco": coco(exports / "coco", Path(scratch) / "coco"),
            "yolo": by_datumaro(exports / "yolo", "yolo"),
            "cvat": cvat(exports / "cvat", "annotations.xml", Path(scratch) / "cvat"),
            "cvat, partly known": cvat(exports / "cvat", "partial.xml", Path(scratch) / "partial"),
            "labelstudio": label_studio(exports / "labelstudio", Path(scratch) / "labelstudio"),
        }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
