"""Data as a command line names it: KIND:PLACE, e.g. `deeppcb:/data/deeppcb`, `coco:labels.json`, `synthetic:7`.

    deeppcb[:FOLDER]        with --experiment
    magnetic_tile[:FOLDER]  with --experiment
    synthetic[:SEED]        the embedded line, before and after its light changes
    coco:FILE               one annotated set; a second one can be named as the new domain
    yolo:FOLDER             the same

FILE and FOLDER may be s3://BUCKET/... (`training.data.storage`). A folder that is not given is looked for by the kind's
name in LINESIDE_DATA, or in ../shared/data.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from training.data import coco, deeppcb, magnetic_tile, synthetic, yolo
from training.data.fetching import local_coco, local_tree
from training.data.sample import Dataset, Experiment
from training.data.storage import objects_named

EXPERIMENTS = ("deeppcb", "magnetic_tile", "synthetic")
"""Kinds with two domains."""
SETS = ("coco", "yolo")
"""Kinds with one annotated set."""
DEFAULT_EXPERIMENT = {"deeppcb": "same_parts_and_acquisition", "magnetic_tile": "natural", "synthetic": "synthetic"}
TURNS = {"deeppcb": "all", "magnetic_tile": "all", "synthetic": "mirror"}
"""Symmetry of the parts (`AugmentConfig.turn`) where it is known: the synthetic line's brushing has a direction."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A parsed KIND:PLACE."""

    kind: str
    place: str

    @property
    def turn(self) -> str:
        """Which turns leave a part a part; mirror images where nothing is known."""
        return TURNS.get(self.kind, "mirror")

    @property
    def folder(self) -> Path:
        """Where the pictures are; fetched to here from object storage."""
        return local_tree(self.place) if self.place else data_root() / self.kind


def parse_source(text: str) -> Source:
    """Reads KIND:PLACE.

    Raises:
        ValueError: the kind is unknown or its place is missing.
    """
    kind, _, place = text.partition(":")
    if kind not in EXPERIMENTS + SETS:
        raise ValueError(f"data is {text!r}, expected KIND:PLACE with KIND one of {', '.join(EXPERIMENTS + SETS)}")
    if kind in SETS and not place:
        raise ValueError(f"data is {text!r}, expected {kind}:PLACE")
    return Source(kind=kind, place=place)


def data_root() -> Path:
    """The folder of public image sets: LINESIDE_DATA, or ../shared/data."""
    return Path(os.environ.get("LINESIDE_DATA", "../shared/data"))


def load_experiment(
    source: Source,
    experiment: str | None = None,
    *,
    level: str | None = None,
    size: int | None = None,
    new: Source | None = None,
) -> Experiment:
    """The two domains of a source.

    A single set stands for its whole domain, for training as for evaluation; which file is which is the caller's care.

    Args:
        source: where the pictures are.
        experiment: by name; the kind's usual one by default.
        level: of the simulated second camera, where the experiment has one.
        size: side of a synthetic picture in pixels.
        new: the set of the new domain, where `source` is a single set too. None: there is no new domain.

    Raises:
        FileNotFoundError, ValueError: the data is not what it claims to be.
    """
    if source.kind in SETS:
        return _experiment_of_sets(source, new, experiment)
    if new is not None:
        raise ValueError(f"{source.kind} has its own new domain; a second set goes with {' or '.join(SETS)} only")
    name = experiment or DEFAULT_EXPERIMENT.get(source.kind, "")
    if source.kind == "deeppcb":
        return deeppcb.load_experiment(source.folder, name, level=level)
    if source.kind == "magnetic_tile":
        return magnetic_tile.load_experiment(source.folder, name, level=level)
    if not (source.place or "0").isdigit():
        raise ValueError(f"data is synthetic:{source.place}, expected synthetic:SEED with a number from 0")
    return synthetic.load_experiment(seed=int(source.place or 0), size=size or synthetic.SIZE)


def _experiment_of_sets(source: Source, new: Source | None, experiment: str | None) -> Experiment:
    if experiment is not None:
        raise ValueError(
            f"experiment is {experiment!r}, but {source.kind} is one set; name the new domain's set instead"
        )
    original = load_set(source)
    changed = load_set(new) if new is not None else Dataset(name="none", classes=original.classes, samples=())
    if changed.classes != original.classes:
        raise ValueError(f"the new domain's classes are {changed.classes}, the original's {original.classes}")
    return Experiment(name=original.name, train=original, eval_original=original, mentoring=changed, eval_new=changed)


def load_set(source: Source) -> Dataset:
    """The one set of a COCO or YOLO source.

    Raises:
        FileNotFoundError, ValueError: the data is not what it claims to be.
    """
    with objects_named():
        if source.kind == "coco":
            return coco.load(local_coco(source.place))
        if source.kind == "yolo":
            return yolo.load(local_tree(source.place))
    raise ValueError(f"{source.kind} has several sets; expected one of {', '.join(SETS)}")
