"""Parts held out of the original training data, to watch a run by. No part is on both sides."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from training.data.sample import Dataset, Sample

_LARGEST_SHARE = 0.5


def hold_out(dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """The rest and the held-out part of a set.

    Whole parts are held out (by part id; a picture of an unknown part is taken for a part of its own), in the order of
    a hash of their ids, until they have `share` of the pictures. So which ones depends on no seed and no order: a
    parent trained with the same share has not seen them either, and a set that grows changes few of them.

    Args:
        dataset: fully annotated.
        share: of the pictures, above 0 and at most 0.5; at least one part with a defect is held out.

    Raises:
        ValueError: there are too few parts to hold one out.
    """
    if not 0 < share <= _LARGEST_SHARE:
        raise ValueError(f"share is {share}, expected above 0 and at most {_LARGEST_SHARE}")
    parts: dict[str, list[Sample]] = {}
    for sample in dataset:
        parts.setdefault(sample.part_id or f"picture {sample.name}", []).append(sample)
    watched: set[str] = set()
    pictures, defective = 0, False
    for part in sorted(parts, key=_order):
        if defective and pictures >= share * len(dataset):
            break
        watched.add(part)
        pictures += len(parts[part])
        defective = defective or any(not sample.healthy for sample in parts[part])
    held = [sample for part, samples in parts.items() if part in watched for sample in samples]
    names = {sample.name for sample in held}
    rest = [sample for sample in dataset if sample.name not in names]
    if not defective or not any(not sample.healthy for sample in rest) or len(held) > len(rest):
        raise ValueError(
            f"{dataset.name} has {len(parts)} parts, too few to hold some out as a watch: expected defects on both"
            " sides and at most half of the pictures held out; train without --floor"
        )
    return _of(dataset, rest), _of(dataset, [sample for sample in dataset if sample.name in names])


def _order(part: str) -> str:
    return hashlib.sha256(part.encode()).hexdigest()


def _of(dataset: Dataset, samples: Sequence[Sample]) -> Dataset:
    return dataclasses.replace(dataset, samples=tuple(samples))
