"""Random choices that can be repeated: a hash of what is chosen from, in place of a generator with a state. Pure."""

from __future__ import annotations

import hashlib
import math


def draw(seed: int, number: int, kind: str, frame_id: str) -> float:
    """A uniform number in [0, 1), always the same for the same arguments."""
    digest = hashlib.blake2b(f"{seed}/{number}/{kind}/{frame_id}".encode(), digest_size=8).digest()
    # 53 bits fill a double exactly; all 64 could round up to 1.
    return math.ldexp(int.from_bytes(digest, "big") >> 11, -53)
