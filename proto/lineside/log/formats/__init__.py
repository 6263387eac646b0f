"""Other tools' files. One rule for all of them: what is not wholly known is kept apart from what is.

Each of these formats takes a picture without a box for a healthy one. So the main file holds only frames that are
wholly known, and another (`partial`) those of which only some places are; a tool that is given the main file cannot
learn that a place nobody looked at is healthy.
"""

from __future__ import annotations

from collections.abc import Mapping

from lineside.log.formats import coco, cvat, labelstudio, yolo
from lineside.log.formats.shown import Format

FORMATS: Mapping[str, Format] = {
    "coco": coco.FORMAT,
    "yolo": yolo.FORMAT,
    "labelstudio": labelstudio.FORMAT,
    "cvat": cvat.FORMAT,
}
"""By the name that the command takes."""
