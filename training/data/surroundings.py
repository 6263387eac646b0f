"""Around a confirmed defect there is no second one: what touches its areas without fitting it is background.

A click speaks about the areas of one detection and about nothing else (`lineside.gestures`), so the areas beside a
confirmed defect stay UNKNOWN. Annotated pictures teach them as background, and that is where a detector learns to raise
a defect once, by the box that fits. Without it the new domain fills with second boxes and badly sitting ones. That no
other defect touches a confirmed one is an inference of training's, not something an operator said: a recipe asks for
it, and the areas are weighed as background, not as answers.

Anchors only. A cell head joins neighbouring cells into one region, so there is no second box to unlearn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lineside.areas import AnchorGrid, Head
from lineside.boxes import iou
from training.data.prepared import Mentored
from training.losses.classification import ABSENT, PRESENT, UNKNOWN

TOUCHES = 0.01
"""Overlap from which an area lies beside a confirmed one."""
FITS = 0.3
"""Overlap from which it may raise the same box, and stays UNKNOWN."""


def with_surroundings(frames: Sequence[Mentored], head: Head) -> tuple[Mentored, ...]:
    """The frames with the surroundings of their confirmed defects as background."""
    if not isinstance(head, AnchorGrid):
        return tuple(frames)
    return tuple(_surrounded(frame, head) for frame in frames)


def _surrounded(frame: Mentored, head: AnchorGrid) -> Mentored:
    """Areas that somebody spoke about keep what was said, also where that is UNKNOWN."""
    confirmed = (frame.states == PRESENT).any(axis=1)
    if not confirmed.any():
        return frame
    anchors = head.boxes()
    overlap = iou(anchors, anchors[confirmed]).max(axis=1)
    beside = (overlap >= TOUCHES) & (overlap < FITS) & ~frame.spoken
    states = frame.states.copy()
    states[beside[:, None] & (states == UNKNOWN)] = ABSENT
    return dataclasses.replace(frame, states=states)
