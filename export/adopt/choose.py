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
from export.adopt.reference import Evidence, decode, original, weigh

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
    names = FAMILIES if head == AUTO else (head,)
    return tuple(_attempt(foreign, wanted, pictures, name, changes or {}) for name in names)


def _attempt(foreign: Foreign, wanted: Wanted, pictures: Pictures, name: str, changes: Mapping[str, Any]) -> Attempt:
    family = FAMILIES[name]
    preprocessing = dataclasses.replace(family.preprocessing, **changes)
    preprocessing.check_channels(foreign.channels)
    try:
        readings = read_as(foreign, family, wanted)
    except UnfitError as error:
        return Attempt(family=name, reading=None, preprocessing=preprocessing, evidence=None, fault=str(error))
    first: Attempt | None = None
    for reading in readings:
        network = original(foreign, reading.tensors, preprocessing)
        with np.errstate(
            over="ignore"
        ):  # raw logits read as logarithms of sides are refused as infinite, not warned of
            evidence = weigh([decode(network(picture), reading, foreign) for picture in pictures], reading)
        attempt = Attempt(
            family=name, reading=reading, preprocessing=preprocessing, evidence=evidence, fault=evidence.fault
        )
        if attempt.fault is None:
            return attempt
        first = first or attempt
    assert first is not None
    return first


def choose(tried: Sequence[Attempt]) -> Attempt:
    """The one that fits.

    Raises:
        ValueError: none fits, with what each lacks; or several do.
    """
    fitting = [attempt for attempt in tried if attempt.fault is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(attempt.family for attempt in fitting)
        raise ValueError(f"the graph fits {names} alike; say which with --head")
    if len(tried) == 1:
        raise ValueError(f"this is no {tried[0].family} as declared: {tried[0].fault}")
    faults = "; ".join(f"{attempt.family}: {attempt.fault}" for attempt in _nearest(tried))
    raise ValueError(f"no head fits. {faults}")


def _nearest(tried: Sequence[Attempt]) -> list[Attempt]:
    """Those that had the form and failed by what the network says, else the first of each different fault."""
    with_form = [attempt for attempt in tried if attempt.reading is not None]
    if with_form:
        return with_form
    return list({attempt.fault: attempt for attempt in reversed(tried)}.values())[::-1]
