"""Why there is no verdict, as a word and as a number for PLCs without text. A number once given is never reused."""

from __future__ import annotations

from lineside.reasons import Reason

STATION_RESTARTED = "STATION_RESTARTED"
"""The station has started anew and cannot know whether this number is of now or of before."""
TRIGGER_WHILE_BUSY = "TRIGGER_WHILE_BUSY"
"""The station was at work on another part."""
DEADLINE = Reason.DEADLINE.value
DRAINING = Reason.DRAINING.value

OTHER = 99
"""A reason without a number of its own; the station's log and the other protocols have the word."""

CODES: dict[str, int] = {
    "": 0,
    STATION_RESTARTED: 1,
    TRIGGER_WHILE_BUSY: 2,
    "DEADLINE": 3,
    "DRAINING": 4,
    "NO_MODEL": 5,
    "CAMERA_LOST": 6,
    "CAMERA_MODE": 7,
    "QUEUE_FULL": 8,
    "IMAGE_DECODE": 10,
    "IMAGE_SHAPE": 11,
    "IMAGE_BLACK": 12,
    "IMAGE_SATURATED": 13,
    "IMAGE_FROZEN": 14,
    "IMAGE_HALF": 15,
    "IMAGE_ORDER": 16,
    "IMAGE_MISSING": 17,
    "PKG_NAN": 20,
    "INTERNAL": 21,
}


def code_of(reason: str) -> int:
    """The number of a reason of a NO_VERDICT."""
    return CODES.get(reason, OTHER)
