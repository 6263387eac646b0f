"""From a model's decoded answer to detections in frame pixels. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.frame import Frame
from edge.inspection import Detection
from lineside.boxes import Boxes, clip
from lineside.decode import Found
from lineside.ids import detection_id
from lineside.letterbox import Letterbox


def detections_of(
    frame: Frame, found: Found, letterbox: Letterbox, class_names: Sequence[str], *, first: int = 0
) -> tuple[Detection, ...]:
    """What a model found in a frame, highest score first.

    Args:
        frame: the frame.
        found: boxes in model pixels.
        letterbox: between the two.
        class_names: of the model, in the order of its class axis.
        first: number of the first one, in its id.
    """
    boxes = inside_frame(letterbox.to_frame(found.boxes), frame.width, frame.height)
    return tuple(
        Detection(
            detection_id=detection_id(frame.frame_id, first + number),
            class_index=int(found.classes[number]),
            class_name=class_names[int(found.classes[number])],
            score=float(found.scores[number]),
            box=(float(boxes[number, 0]), float(boxes[number, 1]), float(boxes[number, 2]), float(boxes[number, 3])),
            areas=found.areas[number],
        )
        for number in range(len(found))
    )


def inside_frame(boxes: Boxes, width: int, height: int) -> Boxes:
    """The boxes cut to the frame, each with an inside.

    A box that has nothing of the frame in it (it lies on the letterbox border, or is turned inside out) becomes the
    nearest pixel of the frame: a detection is not dropped because its box is odd, for that could pass a bad part.
    """
    cut = clip(boxes, width, height)
    low, high = cut[:, :2], cut[:, 2:]
    empty = high <= low
    limit = np.array([width - 1, height - 1], np.float32)
    nearest = np.minimum(np.floor(np.minimum(low, high)), limit)
    return np.concatenate([np.where(empty, nearest, low), np.where(empty, nearest + 1, high)], axis=1).astype(
        np.float32
    )
