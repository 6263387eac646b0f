"""Label Studio's JSON.

    tasks.json     frames that are wholly known, a task with an annotation each
    partial.json   frames that are partly known, a task with a prediction each
    config.xml     the labelling interface that the results belong to

A prediction is Label Studio's word for "begun, and for a person to finish": the task waits in the queue of whoever
labels. The converters of its SDK write such a task down as a picture without boxes, so these tasks are a file apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import quoteattr

from lineside.log.formats.shown import PICTURES, Format, Marked, MarkedBox, Shown, box_of, find_picture

TASKS, PARTIAL, CONFIG = "tasks.json", "partial.json", "config.xml"
MODEL_VERSION = "lineside operators"
"""Of the predictions that hold what operators said."""
_FROM, _TO = "defect", "image"


def write(folder: Path, frames: Sequence[Shown], classes: Sequence[str]) -> None:
    """Tasks and labelling interface."""
    for name, whole in ((TASKS, True), (PARTIAL, False)):
        tasks = [_task(number, frame) for number, frame in enumerate(frames, 1) if frame.knowledge.settled is whole]
        (folder / name).write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes)
    (folder / CONFIG).write_text(
        f'<View>\n  <Image name="{_TO}" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="{_FROM}" toName="{_TO}">\n{labels}  </RectangleLabels>\n</View>\n',
        encoding="utf-8",
    )


def read(folder: Path) -> list[Marked]:
    """The tasks of both files, or of the one JSON file that there is: what Label Studio exports as JSON.

    A task with an annotation is wholly known, whichever file it is in.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not Label Studio's; the message says what is wrong.
    """
    files = [folder / name for name in (TASKS, PARTIAL) if (folder / name).is_file()]
    if not files:
        files = sorted(folder.glob("*.json"))
        if len(files) != 1:
            raise FileNotFoundError(f"{folder} holds {len(files)} JSON files, expected {TASKS}")
    return [frame for path in files for frame in _read(path)]


def _read(path: Path) -> list[Marked]:
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
        return [_marked(path, number, task) for number, task in enumerate(tasks, 1)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no list of Label Studio's tasks: {type(error).__name__} {error}") from None


def _task(number: int, frame: Shown) -> dict[str, Any]:
    knowledge = frame.knowledge
    width, height = knowledge.width, knowledge.height
    result = [
        {
            "id": defect.reference,
            "from_name": _FROM,
            "to_name": _TO,
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": defect.box[0] / width * 100,
                "y": defect.box[1] / height * 100,
                "width": (defect.box[2] - defect.box[0]) / width * 100,
                "height": (defect.box[3] - defect.box[1]) / height * 100,
                "rotation": 0,
                "rectanglelabels": [defect.class_name],
            },
        }
        for defect in knowledge.defects
    ]
    task: dict[str, Any] = {
        "id": number,
        "data": {
            "image": f"/data/local-files/?d={PICTURES}/{frame.name}",
            "name": frame.name,
            "part_id": frame.part_id,
        },
    }
    if knowledge.settled:
        task["annotations"] = [{"id": number, "result": result, "ground_truth": False, "was_cancelled": False}]
    else:
        task["annotations"] = []
        task["predictions"] = [{"model_version": MODEL_VERSION, "result": result}]
    return task


def _marked(path: Path, number: int, task: dict[str, Any]) -> Marked:
    data = task["data"]
    finished = [entry for entry in task.get("annotations", ()) if not entry.get("was_cancelled")]
    begun = [entry for entry in task.get("predictions", ()) if entry.get("model_version") == MODEL_VERSION]
    # Of several people's annotations the last one that was handed in counts.
    chosen = finished[-1:] or begun[:1]
    boxes = []
    for item in chosen[0]["result"] if chosen else ():
        if item.get("type") != "rectanglelabels":
            continue
        value, width, height = item["value"], item["original_width"], item["original_height"]
        if value.get("rotation"):
            raise ValueError(f"task {number} has a turned box; only upright ones can be taught")
        x, y = value["x"] / 100 * width, value["y"] / 100 * height
        corners = (x, y, x + value["width"] / 100 * width, y + value["height"] / 100 * height)
        boxes.append(
            MarkedBox(
                class_name=str(value["rectanglelabels"][0]),
                box=box_of(corners, f"task {number}"),
                reference=str(item["id"]) if "id" in item else None,
            )
        )
    name = str(data.get("name") or _name_of(str(data["image"])))
    return Marked(
        name=name,
        picture=find_picture(path.parent, name, PICTURES, "."),
        whole=bool(finished),
        boxes=tuple(boxes),
        part_id=str(data.get("part_id", "")),
    )


def _name_of(address: str) -> str:
    split = urlsplit(address)
    local = parse_qs(split.query).get("d", [split.path])[0]
    return PurePosixPath(local).name


FORMAT = Format(write=write, read=read)
