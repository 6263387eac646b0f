"""lineside.json: the records behind an export, whole. What the other tool's file cannot hold comes back from here.

Frames, detections with their areas, every event, and the manifests of the models; operators under the names that the
export was asked to write.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lineside.records import FeedbackEvent, Gesture, RecordedDetection, RecordedFrame

FILE_NAME = "lineside.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One frame of an export and everything behind it."""

    name: str
    """Of its picture's file."""
    frame: RecordedFrame
    detections: tuple[RecordedDetection, ...]
    events: tuple[FeedbackEvent, ...]
    exclusive: bool
    """A place can be of one class only."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """Everything behind an export."""

    classes: tuple[str, ...]
    """In the order in which the export numbers them."""
    entries: tuple[Entry, ...]
    models: tuple[Mapping[str, Any], ...]
    """Rows of the log's table."""


def write_document(folder: Path, document: Document) -> None:
    """Writes FILE_NAME."""
    text = json.dumps(
        {
            "lineside_export": FORMAT_VERSION,
            "classes": list(document.classes),
            "models": [dict(model) for model in document.models],
            "frames": [_entry_json(entry) for entry in document.entries],
        },
        indent=1,
        ensure_ascii=False,
    )
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_document(folder: Path) -> Document | None:
    """Reads FILE_NAME; None: there is none.

    Raises:
        ValueError: it is not one that this version reads.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("lineside_export")
        if version != FORMAT_VERSION:
            raise ValueError(f"it has format {version}, this version reads {FORMAT_VERSION}; use a newer Lineside")
        return Document(
            classes=tuple(str(name) for name in values["classes"]),
            models=tuple(values["models"]),
            entries=tuple(_entry(entry) for entry in values["frames"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _entry_json(entry: Entry) -> dict[str, Any]:
    events = [{**dataclasses.asdict(event), "gesture": event.gesture.name} for event in entry.events]
    detections = []
    for detection in entry.detections:
        values = {field.name: getattr(detection, field.name) for field in dataclasses.fields(detection)}
        detections.append({**values, "areas": detection.areas.tolist()})
    return {
        "name": entry.name,
        "exclusive": entry.exclusive,
        "frame": dataclasses.asdict(entry.frame),
        "detections": detections,
        "events": events,
    }


def _entry(values: dict[str, Any]) -> Entry:
    return Entry(
        name=str(values["name"]),
        exclusive=bool(values["exclusive"]),
        frame=RecordedFrame(**values["frame"]),
        detections=tuple(
            RecordedDetection(**{**item, "box": tuple(item["box"]), "areas": np.array(item["areas"], np.int32)})
            for item in values["detections"]
        ),
        events=tuple(
            FeedbackEvent(
                **{
                    **item,
                    "gesture": Gesture[item["gesture"]],
                    "box": None if item["box"] is None else tuple(item["box"]),
                }
            )
            for item in values["events"]
        ),
    )
