"""The pictures of a table: both domains, each with a part to learn from and a part to be judged by.

A single annotated set (COCO, YOLO) is halved here by part, so that nobody is judged by what he learned from. Which half
a part is in depends on its name alone: a part that both domains show is learned from in both or in neither.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from training.checkpoint import write_atomically
from training.data.sample import Dataset, Experiment, Sample
from training.data.sources import SETS, load_experiment, load_set, parse_source
from training.table1.plan import TablePlan

FILE_NAME = "data.json"
JUDGED_BY = 0.4
"""Share of a single set's parts that are kept for evaluation."""
ROLES = ("train", "eval_original", "mentoring", "eval_new")


class OtherPicturesError(ValueError):
    """The table's folder is about other pictures than those that are there now."""


def experiment_of(plan: TablePlan) -> Experiment:
    """The pictures of a plan.

    Raises:
        FileNotFoundError, ValueError: they are not what they should be, or a domain has none to learn from or to be
            judged by.
    """
    if plan.source.kind in SETS:
        original, new = load_set(plan.source), load_set(parse_source(plan.new))
        if original.classes != new.classes:
            raise ValueError(f"the new domain's classes are {new.classes}, the original's {original.classes}")
        train, eval_original = halves(original)
        mentoring, eval_new = halves(new)
        experiment = Experiment(
            name=original.name, train=train, eval_original=eval_original, mentoring=mentoring, eval_new=eval_new
        )
    else:
        experiment = load_experiment(plan.source, plan.experiment_name or None, level=plan.level)
    for role in ROLES:
        if not len(getattr(experiment, role).defective):
            raise ValueError(f"{plan.data}: no picture with a defect in the part {role}; a table needs all four parts")
    return experiment


def halves(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """A part to learn from and a part to be judged by; pictures of one part stay together."""

    def only(judged: bool) -> Dataset:
        chosen = tuple(sample for sample in dataset if _is_judged(sample) == judged)
        return dataclasses.replace(dataset, samples=chosen)

    return only(False), only(True)


def _is_judged(sample: Sample) -> bool:
    digest = hashlib.sha256((sample.part_id or sample.name).encode()).digest()
    return int.from_bytes(digest[:8], "big") < JUDGED_BY * (1 << 64)


def digests(experiment: Experiment) -> dict[str, str]:
    """By role, over pictures and labels."""
    return {role: getattr(experiment, role).digest() for role in ROLES}


def hold(out: Path, found: Mapping[str, str]) -> None:
    """Writes digests into a table's folder, or compares them with what is written there.

    Raises:
        OtherPicturesError: they differ.
    """
    path = out / FILE_NAME
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(dict(found), indent=1) + "\n").encode())
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    changed = [role for role in ROLES if known.get(role) != found[role]]
    if changed:
        raise OtherPicturesError(
            f"the pictures or labels of {', '.join(changed)} changed since the table in {out} was begun; give another"
            " folder with --out"
        )
