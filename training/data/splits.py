"""`splits.json` beside an image set: roles that do not leak into each other, and experiments made of them.

{"roles": {"original_train": ["file", ...], ...}, "excluded": [...] or a role of that name,
 "experiments": {"natural": {"train": role, "eval_original": role, "mentoring": role, "eval_new": role,
                             "acquisition_shift_on_new": bool}, ...},
 "acquisition_shift": {...}, "classes": {"1": "open", ...}, "root": "PCBData"}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.sample import Dataset, Experiment
from training.shift import Shift

FILE_NAME = "splits.json"

Build = Callable[[str, Sequence[str], Shift | None], Dataset]
"""Role name, its files, the second camera or None: the role's dataset."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The parsed file."""

    classes: tuple[str, ...]
    root: str
    roles: Mapping[str, tuple[str, ...]]
    experiments: Mapping[str, Mapping[str, Any]]
    shift: Mapping[str, Any]

    def files(self, role: str) -> tuple[str, ...]:
        """A role's files without the excluded ones.

        Raises:
            ValueError: there is no such role.
        """
        if role not in self.roles:
            raise ValueError(f"{FILE_NAME} has no role {role!r}; there are {', '.join(sorted(self.roles))}")
        excluded = set(self.roles.get("excluded", ()))
        return tuple(name for name in self.roles[role] if name not in excluded)

    def experiment(self, name: str, build: Build, *, level: str | None = None, seed: int | None = None) -> Experiment:
        """Puts an experiment together.

        Args:
            name: one of the file's experiments.
            build: makes a role's dataset.
            level: of the acquisition shift, where the experiment has one; the file's default otherwise.
            seed: of the shift; the file's default otherwise.

        Raises:
            ValueError: there is no such experiment, role or level.
        """
        if name not in self.experiments:
            raise ValueError(f"{FILE_NAME} has no experiment {name!r}; there are {', '.join(self.experiments)}")
        entry = self.experiments[name]
        shift = Shift.from_splits(self.shift, level=level, seed=seed) if entry["acquisition_shift_on_new"] else None
        return Experiment(
            name=name,
            train=build(entry["train"], self.files(entry["train"]), None),
            eval_original=build(entry["eval_original"], self.files(entry["eval_original"]), None),
            mentoring=build(entry["mentoring"], self.files(entry["mentoring"]), shift),
            eval_new=build(entry["eval_new"], self.files(entry["eval_new"]), shift),
        )


def read_splits(folder: Path) -> Splits:
    """Reads the file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not what it should be.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"no {FILE_NAME} in {folder}; experiments need one")
    try:
        document = json.loads(path.read_text())
        numbers = sorted(document["classes"], key=int)
        return Splits(
            classes=tuple(document["classes"][number] for number in numbers),
            root=document.get("root", "."),
            roles={role: tuple(files) for role, files in document["roles"].items()},
            experiments=document["experiments"],
            shift=document["acquisition_shift"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a splits file: {type(error).__name__} {error}") from None
