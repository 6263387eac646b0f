"""What a table is made of: data, rows, seeds, the operator. A value; two equal plans give equal figures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from training.config import TrainConfig
from training.data.sources import DEFAULT_EXPERIMENT, Source, parse_source
from training.recipes import RECIPES, recipe_named
from training.simulation.judging import Character, Habit, Pace

BASELINE = "baseline"
CEILING = "full"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One recipe with one seed."""

    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.recipe}-seed{self.seed}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """Everything that decides a table's figures."""

    data: str
    """KIND:PLACE as on the command line."""
    experiment: str = ""
    """Empty: the kind's usual one."""
    level: str | None = None
    """Of the simulated second camera; None: the data's own."""
    head: str = "anchors"
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Rows, in the order of the table. The baseline is always trained: every other row starts from what it shows."""
    seeds: int = 3
    """From 0."""
    scale: float = 1.0
    """All numbers of steps are multiplied by this, so that a table fits into a time."""
    steps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By recipe: another number of steps than the recipe's; not scaled."""
    character: Character = dataclasses.field(default_factory=Character)

    def __post_init__(self) -> None:
        parse_source(self.data)
        for name in (*self.recipes, *self.steps):
            recipe_named(name)
        if len(set(self.recipes)) != len(self.recipes) or not self.recipes:
            raise ValueError(f"recipes is {', '.join(self.recipes) or 'empty'}; expected different names, at least one")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, expected at least 1")
        if not 0 < self.scale <= 10:
            raise ValueError(f"scale is {self.scale}, expected above 0 and at most 10")

    @property
    def source(self) -> Source:
        """Where the pictures are."""
        return parse_source(self.data)

    @property
    def experiment_name(self) -> str:
        """The experiment, named."""
        return self.experiment or DEFAULT_EXPERIMENT.get(self.source.kind, "")

    @property
    def rows(self) -> tuple[str, ...]:
        """The recipes with the baseline first."""
        return (BASELINE, *(name for name in self.recipes if name != BASELINE))

    def jobs(self) -> Iterator[Job]:
        """All runs, those first that others wait for; a seed after the other, so that whole seeds are there early."""
        for seed in range(self.seeds):
            yield Job(recipe=BASELINE, seed=seed)
        for seed in range(self.seeds):
            for name in self.rows[1:]:
                yield Job(recipe=name, seed=seed)

    def steps_of(self, config: TrainConfig) -> int:
        """Steps of one round of a recipe in this table."""
        fixed = self.steps.get(config.recipe)
        return fixed if fixed is not None else max(1, round(config.steps * self.scale))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = dataclasses.asdict(self)
        values["character"]["habit"] = self.character.habit.value
        values["recipes"] = list(self.recipes)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TablePlan:
        """The plan again.

        Raises:
            ValueError, TypeError: it is no plan.
        """
        fields = dict(values)
        character = dict(fields.pop("character"))
        pace = Pace(**character.pop("pace"))
        habit = Habit(character.pop("habit"))
        return cls(
            **{**fields, "recipes": tuple(fields["recipes"])}, character=Character(habit=habit, pace=pace, **character)
        )


def fingerprint(plan: TablePlan, config: TrainConfig, round_number: int, data_digest: str) -> str:
    """Equal for rounds that must give equal figures, whatever the row is called.

    Args:
        plan: of the table.
        config: of the run, with its seed and steps.
        round_number: from 1; a row of two rounds begins with what a row of one round is.
        data_digest: of the pictures and labels of all sets.
    """
    plain = TrainConfig(recipe=config.recipe, detector=config.detector).to_json()
    single = dataclasses.replace(config, feedback=dataclasses.replace(config.feedback, rounds=round_number)).to_json()
    whole = {
        # Only what differs from a plain config: a setting that is added later, and not used, changes nothing.
        "config": {**_unlike(single, plain), "detector": single["detector"]},
        "data": [plan.source.kind, plan.experiment_name, plan.level, data_digest],
        "character": plan.to_json()["character"],
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _unlike(values: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that differ, in nested mappings likewise."""
    different: dict[str, Any] = {}
    for name, value in values.items():
        usual = plain.get(name)
        if isinstance(value, Mapping) and isinstance(usual, Mapping):
            inner = _unlike(value, usual)
            if inner:
                different[name] = inner
        elif value != usual:
            different[name] = value
    return different
