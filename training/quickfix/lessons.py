"""What a quick fix learns from: pictures with the pattern, and pictures on which nothing is to change. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head
from lineside.boxes import Boxes, as_boxes, iou
from training.data.prepared import Mentored, letterbox_for
from training.losses.classification import ABSENT, UNKNOWN
from training.models.config import DetectorConfig
from training.quickfix.clicks import Frame, Rejection

BESIDE = 0.1
"""Areas that overlap the rejected box by this much and were not clicked are neither to fall silent nor to stay."""


def pattern_frames(
    frames: Sequence[Frame], rejections: Iterable[Rejection], config: DetectorConfig
) -> tuple[Mentored, ...]:
    """The frames that show the pattern: its areas ABSENT and spoken, those beside it UNKNOWN and spoken, all others
    UNKNOWN and not spoken (they are to stay as they are).

    Args:
        frames: all judged ones.
        rejections: of the pattern.
        config: of the network.
    """
    head = config.head_for(config.width, config.height)
    by_frame: dict[int, list[Rejection]] = {}
    for rejection in rejections:
        by_frame.setdefault(rejection.frame, []).append(rejection)
    return tuple(_lesson(frames[place], group, head, config) for place, group in sorted(by_frame.items()))


def quiet_frames(frames: Iterable[Frame], config: DetectorConfig) -> tuple[Mentored, ...]:
    """Frames on which nothing is to change. Areas of confirmed defects are spoken, so that crops show them; what they
    are is not said: they are to stay what the parent calls them."""
    head = config.head_for(config.width, config.height)
    return tuple(
        dataclasses.replace(_lesson(frame, (), head, config), spoken=_defects(frame, head, config)) for frame in frames
    )


def _defects(frame: Frame, head: Head, config: DetectorConfig) -> NDArray[np.bool_]:
    """(A,) areas on a confirmed defect."""
    boxes = letterbox_for(config, frame.pixels).to_model(frame.boxes)
    return np.asarray(_touch(head, boxes, 0.3).any(axis=1), bool)


def _lesson(frame: Frame, rejections: Sequence[Rejection], head: Head, config: DetectorConfig) -> Mentored:
    states = np.full((head.count, len(config.classes)), UNKNOWN, np.int8)
    spoken = np.zeros(head.count, bool)
    to_model = letterbox_for(config, frame.pixels).to_model
    # A defect that an operator confirmed keeps its areas, also where the pattern runs into it.
    held = _defects(frame, head, config)
    for rejection in rejections:
        beside = _touch(head, to_model(as_boxes([rejection.box])), BESIDE)[:, 0]
        spoken |= beside
        spoken[rejection.areas] = True
        states[rejection.areas[~held[rejection.areas]]] = ABSENT
    return Mentored(
        pixels=frame.picture,
        states=states,
        spoken=spoken,
        targets=np.zeros((head.count, 4), np.float32),
        taught=np.zeros(head.count, bool),
    )


def _touch(head: Head, boxes: Boxes, least: float) -> NDArray[np.bool_]:
    """(A, n) which areas overlap which box: anchors by IoU, cells by any pixel."""
    overlap = iou(head.boxes(), boxes)
    return np.asarray(overlap > (0.0 if isinstance(head, CellGrid) else least), bool)
