"""Log sequences in few words: "1-57,60,62-70". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


def in_words(sequences: Iterable[int]) -> str:
    """Numbers as ranges; empty: none."""
    ranges: list[list[int]] = []
    for number in sorted(set(sequences)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def ranges_of(text: str) -> tuple[tuple[int, int], ...]:
    """First and last of each range.

    Raises:
        ValueError: it is not what `in_words` writes.
    """
    ranges = []
    for part in text.split(",") if text else ():
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"log sequences are {text[:80]!r}, expected e.g. 1-57,60")
        first = int(found.group(1))
        last = int(found.group(2) or first)
        if first > last:
            raise ValueError(f"log sequences {part} go backwards")
        ranges.append((first, last))
    return tuple(ranges)
