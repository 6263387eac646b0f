"""No part and no picture on both sides: what was taught must not be what figures are measured on.

Two ways to be the same: equal pixels (SHA-256; files may differ), and an equal part id. A part id may name one *piece*
(a serial number) or a *kind* of part (a reference, a board's layout) that a line meets again and again: then only
pictures count.

Two moments. While a log is read, frames whose part or picture is in the evaluation are left out of the lessons and
accounted for: the evaluation stays what it was, so that models remain comparable. When a checkpoint is evaluated, what
it has seen is compared with what it is judged by, and every overlap is told beside the figures. Near-duplicates are not
looked for.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lineside.pixels import Pixels
from lineside.records import RecordedFrame
from training.data.sample import Dataset, Experiment

PART_IDS = ("piece", "kind")
"""What a part id can name."""
DIGITS = 16
"""Hexadecimal digits kept of a picture's digest; a million pictures hold two alike with odds of 1 to 37 million."""

PART = "its part is in the evaluation too (where part ids name kinds of part, say --part-ids kind)"
PICTURE = "its picture is in the evaluation too"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What pictures there are in a set, and of which parts."""

    pictures: frozenset[str] = frozenset()
    """Digests of their pixels."""
    parts: frozenset[str] = frozenset()
    """Part ids, where they are known."""

    def joined(self, *others: Seen) -> Seen:
        """All of them."""
        return Seen(
            pictures=self.pictures.union(*(other.pictures for other in others)),
            parts=self.parts.union(*(other.parts for other in others)),
        )

    def to_json(self) -> dict[str, list[str]]:
        """Plain values, for a checkpoint's lineage."""
        return {"pictures": sorted(self.pictures), "parts": sorted(self.parts)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Seen:
        """The same again; empty where nothing was taken down."""
        return cls(pictures=frozenset(values.get("pictures", ())), parts=frozenset(values.get("parts", ())))


def picture_digest(pixels: Pixels) -> str:
    """Equal for equal pictures: DIGITS of the SHA-256 over size and pixels. Grey in three channels is grey."""
    if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]
    whole = hashlib.sha256(repr(pixels.shape).encode())
    whole.update(np.ascontiguousarray(pixels).tobytes())
    return whole.hexdigest()[:DIGITS]


def seen_in(dataset: Dataset) -> Seen:
    """A set's pictures and parts; reads every picture once in the life of the set."""
    return Seen(
        pictures=frozenset(_digests(dataset)),
        parts=frozenset(sample.part_id for sample in dataset if sample.part_id),
    )


@functools.lru_cache(maxsize=8)
def _digests(dataset: Dataset) -> tuple[str, ...]:
    return tuple(picture_digest(sample.picture.read()) for sample in dataset)


def unseen(experiment: Experiment) -> Callable[[RecordedFrame, Pixels], str | None]:
    """Says why a frame must not be taught: `Wanted.held_out`.

    Args:
        experiment: whose evaluation is to stay unseen; a set that is trained on as well is none.
    """
    held = Seen().joined(*(seen_in(dataset) for _, dataset in experiment.evaluation if dataset is not experiment.train))
    parts = held.parts if _pieces(experiment.part_ids) else frozenset()

    def why(frame: RecordedFrame, pixels: Pixels) -> str | None:
        if picture_digest(pixels) in held.pictures:
            return PICTURE
        return PART if frame.part_id in parts else None

    return why


def overlap(trained: Seen, dataset: Dataset, *, part_ids: str) -> tuple[int, int]:
    """How many of a set's pictures were trained on, and how many more are of parts that were.

    Args:
        trained: what a checkpoint has seen.
        dataset: it is to be judged by.
        part_ids: "piece" or "kind".
    """
    parts = trained.parts if _pieces(part_ids) else frozenset()
    known = [digest in trained.pictures for digest in _digests(dataset)]
    of_parts = sum(sample.part_id in parts for sample, taught in zip(dataset, known, strict=True) if not taught)
    return sum(known), of_parts


def warnings(trained: Seen, experiment: Experiment) -> list[str]:
    """A line for every set of an evaluation that is not unseen: figures on it flatter."""
    lines = []
    for domain, dataset in experiment.evaluation:
        pictures, of_parts = overlap(trained, dataset, part_ids=experiment.part_ids)
        told = [f"{pictures} of {len(dataset)} pictures were trained on"] if pictures else []
        told += [f"{of_parts} more are of parts that were trained on"] if of_parts else []
        if told:
            lines.append(f"{domain}: {' and '.join(told)}; its figures flatter the model")
    return lines


def _pieces(part_ids: str) -> bool:
    if part_ids not in PART_IDS:
        raise ValueError(f"part_ids is {part_ids!r}, expected one of {', '.join(PART_IDS)}")
    return part_ids == "piece"
