"""CVAT for images, version 1.1.

    annotations.xml   frames that are wholly known
    partial.xml       frames that are partly known
    labels.json       the labels for CVAT's raw label editor; a task must have them before it can take the XML

CVAT has no word for "not known" either. Two tasks keep the two apart: what CVAT exports of the second once it is
finished is an annotations.xml as well.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as Xml
from collections.abc import Sequence
from pathlib import Path

from lineside.log.formats.shown import PICTURES, Format, Marked, MarkedBox, Shown, box_of, find_picture

WHOLE, PARTIAL, LABELS = "annotations.xml", "partial.xml", "labels.json"
_REFERENCE = "reference"


def write(folder: Path, frames: Sequence[Shown], classes: Sequence[str]) -> None:
    """Both files, and the labels."""
    for name, whole in ((WHOLE, True), (PARTIAL, False)):
        chosen = [frame for frame in frames if frame.knowledge.settled is whole]
        tree = _tree(chosen, classes)
        Xml.indent(tree)
        Xml.ElementTree(tree).write(folder / name, encoding="utf-8", xml_declaration=True)
    attribute = {"name": _REFERENCE, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    labels = [{"name": name, "type": "rectangle", "attributes": [attribute]} for name in classes]
    (folder / LABELS).write_text(json.dumps(labels, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> list[Marked]:
    """The frames of both files, or of the one that is there.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not CVAT's; the message says what is wrong.
    """
    files = [(folder / name, name == WHOLE) for name in (WHOLE, PARTIAL) if (folder / name).is_file()]
    if not files:
        raise FileNotFoundError(f"{folder} holds no {WHOLE}; export from CVAT as `CVAT for images 1.1`")
    marked = []
    for path, whole in files:
        try:
            root = Xml.parse(path).getroot()  # noqa: S314 - as above
        except Xml.ParseError as error:
            raise ValueError(f"{path} is no XML: {error}") from None
        if root.tag != "annotations":
            raise ValueError(f"{path} is not CVAT's: it begins with <{root.tag}>, expected <annotations>")
        marked += [_marked(path, image, whole) for image in root.iter("image")]
    return marked


def _tree(frames: Sequence[Shown], classes: Sequence[str]) -> Xml.Element:
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
    for name, text in (("name", "Lineside mentoring log"), ("size", str(len(frames))), ("mode", "annotation")):
        Xml.SubElement(task, name).text = text
    labels = Xml.SubElement(task, "labels")
    for name in classes:
        label = Xml.SubElement(labels, "label")
        Xml.SubElement(label, "name").text = name
        attribute = Xml.SubElement(Xml.SubElement(label, "attributes"), "attribute")
        for key, text in (
            ("name", _REFERENCE),
            ("mutable", "False"),
            ("input_type", "text"),
            ("default_value", ""),
            ("values", ""),
        ):
            Xml.SubElement(attribute, key).text = text
    for number, frame in enumerate(frames):
        size = {"width": str(frame.knowledge.width), "height": str(frame.knowledge.height)}
        image = Xml.SubElement(root, "image", {"id": str(number), "name": frame.name, **size})
        for defect in frame.knowledge.defects:
            corners = zip(("xtl", "ytl", "xbr", "ybr"), defect.box, strict=True)
            box = Xml.SubElement(
                image,
                "box",
                {
                    "label": defect.class_name,
                    "source": "manual" if defect.drawn else "auto",
                    "occluded": "0",
                    **{key: f"{value:.9g}" for key, value in corners},
                    "z_order": "0",
                },
            )
            Xml.SubElement(box, "attribute", {"name": _REFERENCE}).text = defect.reference
    return root


def _marked(path: Path, image: Xml.Element, whole: bool) -> Marked:
    name = image.get("name", "")
    boxes = []
    for number, box in enumerate(image.iter("box"), 1):
        where = f"{path.name}, image {name!r}, box {number}"
        try:
            corners = [float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
            label = box.attrib["label"]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is not CVAT's: {where}: {type(error).__name__} {error}") from None
        if float(box.get("rotation", "0")):
            raise ValueError(f"{where} is turned; only upright ones can be taught")
        found = box.find(f"attribute[@name='{_REFERENCE}']")
        reference = None if found is None or not found.text else found.text
        boxes.append(MarkedBox(class_name=label, box=box_of(corners, where), reference=reference))
    return Marked(name=name, picture=find_picture(path.parent, name, PICTURES, "."), whole=whole, boxes=tuple(boxes))


FORMAT = Format(write=write, read=read)
