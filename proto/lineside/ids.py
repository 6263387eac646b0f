"""Frame ids: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were made."""

from __future__ import annotations

import os
import re
import time

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_frame_id(unix_ns: int | None = None, random: bytes | None = None) -> str:
    """Makes a UUIDv7 in lower-case text form.

    Args:
        unix_ns: its time, nanoseconds since the epoch; now by default.
        random: 10 bytes of randomness; from the system by default.
    """
    milliseconds = (time.time_ns() if unix_ns is None else unix_ns) // 1_000_000
    noise = os.urandom(10) if random is None else random
    if len(noise) != 10:
        raise ValueError(f"random has {len(noise)} bytes, expected 10")
    value = bytearray(milliseconds.to_bytes(6, "big") + noise)
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_frame_id(text: str) -> bool:
    """Whether the text is a UUIDv7 in canonical lower-case form."""
    return _UUID7.fullmatch(text) is not None


def detection_id(frame_id: str, number: int) -> str:
    """The id of a frame's detection, numbered from 0 in falling order of score."""
    return f"{frame_id}/{number}"


def frame_of(detection: str) -> str:
    """The frame id inside a detection id."""
    return detection.partition("/")[0]
