"""Which family a foreign graph is: read as each, held against what the network says of some pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.adopt.families import FAMILIES, Preprocessing
from export.adopt.foreign import Foreign
from export.adopt.reading import Reading, UnfitError, Wanted
from export.adopt.recognise import read_as
from export.adopt.reference import Decoded, Evidence, decode, original, weigh

AUTO = "auto"
Pictures = Sequence[NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One family tried."""

    family: str
    reading: Reading | None
    """None: the graph does not have its form."""
    preprocessing: Preprocessing
    evidence: Evidence | None
    fault: str | None
    """Why it is not this family; None: it fits."""
    near: int
    """How much of its form was there."""
    said: tuple[Decoded, ...] = ()
    """What the network says of each picture under this reading."""


def attempts(
    foreign: Foreign, wanted: Wanted, pictures: Pictures, head: str = AUTO, changes: Mapping[str, Any] | None = None
) -> tuple[Attempt, ...]:
    """All families, or the one that is named, tried.

    Args:
        foreign: the network.
        wanted: what the user says of its outputs.
        pictures: letterboxed, uint8 (H, W, channels), at least one.
        head: a family's name, or "auto".
        changes: of the family's preprocessing.

    Raises:
        ValueError: no family of that name, impossible preprocessing.
    """
    if head != AUTO and head not in FAMILIES:
        raise ValueError(f"head is {head!r}, expected {AUTO} or one of {', '.join(FAMILIES)}")
    if head != AUTO:
        return (_attempt(foreign, wanted, pictures, head, changes or {}),)
    tried = tuple(_attempt(foreign, wanted, pictures, name, changes or {}) for name in FAMILIES)
    return tuple(_or_one_class_more(item, foreign, wanted, pictures) for item in tried)


def _or_one_class_more(attempt: Attempt, foreign: Foreign, wanted: Wanted, pictures: Pictures) -> Attempt:
    """A head without objectness has as many columns as one with it and a class less: told apart by its strict law."""
    reading = attempt.reading
    if attempt.fault is not None or reading is None or not reading.family.objectness:
        return attempt
    more = dataclasses.replace(wanted, classes=wanted.classes + 1)
    if _attempt(foreign, more, pictures, "yolov8", {}).fault is not None:
        return attempt
    return dataclasses.replace(
        attempt,
        fault=f"it fits yolov8 with {more.classes} classes as well, and {wanted.classes} are named; name all, in the"
        f" order of the network's own list, or say --head {attempt.family}",
        near=4,
    )


def _attempt(foreign: Foreign, wanted: Wanted, pictures: Pictures, name: str, changes: Mapping[str, Any]) -> Attempt:
    family = FAMILIES[name]
    preprocessing = dataclasses.replace(family.preprocessing, **changes)
    preprocessing.check_channels(foreign.channels)
    try:
        readings = read_as(foreign, family, wanted)
    except UnfitError as error:
        return Attempt(
            family=name, reading=None, preprocessing=preprocessing, evidence=None, fault=str(error), near=error.near
        )
    first: Attempt | None = None
    for reading in readings:
        network = original(foreign, reading.tensors, preprocessing)
        with np.errstate(over="ignore"):  # numbers that are no logarithms of sides are refused below, not warned of
            said = tuple(decode(network(picture), reading, foreign) for picture in pictures)
        evidence = weigh(said, reading)
        attempt = Attempt(
            family=name,
            reading=reading,
            preprocessing=preprocessing,
            evidence=evidence,
            fault=evidence.fault,
            near=3 if reading.boxes.name in foreign.outputs else 1,
            said=said,
        )
        if attempt.fault is None:
            return attempt
        first = first or attempt
    assert first is not None
    return first


def choose(tried: Sequence[Attempt]) -> Attempt:
    """The one that fits; of several that say the same, the first.

    Raises:
        ValueError: none fits, with what the nearest lack; or several do that contradict each other.
    """
    fitting = [attempt for attempt in tried if attempt.fault is None]
    rivals = [attempt for attempt in fitting[1:] if not _agree(fitting[0], attempt)]
    if fitting and not rivals:
        return fitting[0]
    if rivals:
        names = ", ".join(attempt.family for attempt in (fitting[0], *rivals))
        raise ValueError(f"the graph fits {names} and they contradict each other; say which with --head")
    if len(tried) == 1:
        raise ValueError(f"this is no {tried[0].family}: {tried[0].fault}")
    nearest = [attempt for attempt in tried if attempt.near == max(other.near for other in tried)]
    faults = {attempt.fault: attempt.family for attempt in reversed(nearest)}
    words = "; ".join(f"{family}: {fault}" for fault, family in reversed(faults.items()))
    raise ValueError(f"no head fits; --inspect says what each lacks. {words}")


def _agree(first: Attempt, other: Attempt) -> bool:
    """Whether a second reading says of every area what the first says (a part of the same tensor, for instance)."""
    for ours, theirs in zip(first.said, other.said, strict=True):
        row = {area: number for number, area in enumerate(ours.areas.tolist())}
        if not row.keys() >= set(theirs.areas.tolist()):
            return False
        rows = [row[area] for area in theirs.areas.tolist()]
        same = np.allclose(ours.boxes[rows], theirs.boxes, atol=1e-3) and np.allclose(
            ours.scores[rows], theirs.scores, atol=1e-5
        )
        if not same:
            return False
    return True
