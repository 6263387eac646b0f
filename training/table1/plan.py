"""What a table is made of: data, rows, seeds, the operator. A value; two equal plans give equal figures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from training.config import TrainConfig
from training.data.sources import DEFAULT_EXPERIMENT, SETS, Source, parse_source
from training.models.config import DetectorConfig
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
class Beginning:
    """Where a row goes on from."""

    row: str
    """The row whose end it waits for."""
    rounds: int
    """Its own first rounds that are trained there; 0: none, it starts from the baseline."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """Everything that decides a table's figures."""

    data: str
    """KIND:PLACE as on the command line."""
    new: str = ""
    """KIND:PLACE of the new domain's set, where `data` is a single set."""
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
    size: int | None = None
    """Side of the network's input in pixels; None: the data's usual one."""
    crop: int | None = None
    """Side of training crops in pixels; None: the recipe's."""
    batch: int | None = None
    """Pictures a step; None: the recipe's."""
    character: Character = dataclasses.field(default_factory=Character)

    def __post_init__(self) -> None:
        source = parse_source(self.data)
        if source.kind in SETS and not self.new:
            raise ValueError(f"data is {self.data}, one set; name the new domain's set with --new KIND:PLACE")
        if self.new and parse_source(self.new).kind not in SETS:
            raise ValueError(f"new is {self.new}, expected a set of kind {' or '.join(SETS)}")
        if self.new and source.kind not in SETS:
            raise ValueError(f"{source.kind} has its own new domain; a second set goes with {' or '.join(SETS)} only")
        for name in (*self.recipes, *self.steps):
            recipe_named(name)
        if len(set(self.recipes)) != len(self.recipes) or not self.recipes:
            raise ValueError(f"recipes is {', '.join(self.recipes) or 'empty'}; expected different names, at least one")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, expected at least 1")
        if not 0 < self.scale <= 10:
            raise ValueError(f"scale is {self.scale}, expected above 0 and at most 10")
        for name, least in (("size", 8), ("crop", 8), ("batch", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}, expected at least {least}")
        for name, count in self.steps.items():
            if count < 1:
                raise ValueError(f"steps of {name} is {count}, expected at least 1")

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

    def applied(self, config: TrainConfig) -> TrainConfig:
        """A recipe's configuration as this table trains it: steps, crop and batch."""
        crop = config.crop if self.crop is None else dataclasses.replace(config.crop, side=self.crop)
        return dataclasses.replace(
            config,
            steps=self.scaled(config.recipe, config.steps, self.scale),
            crop=crop,
            batch=self.batch or config.batch,
        )

    def scaled(self, recipe: str, steps: int, scale: float) -> int:
        """Steps of a row whose recipe asks for so many, at a scale."""
        return self.steps.get(recipe, max(1, round(steps * scale)))

    def unscaled_config_of(self, name: str) -> TrainConfig:
        """As the recipe says it, but for the network, which the data decides."""
        return recipe_named(name)(DetectorConfig(classes=("any",)))

    def config_of(self, name: str) -> TrainConfig:
        """A row's configuration, but for the network, which the data decides."""
        return self.applied(self.unscaled_config_of(name))

    def rounds_of(self, name: str) -> int:
        """How often a row's operators are asked, at least 1."""
        config = self.unscaled_config_of(name)
        return config.feedback.rounds if config.new_labels == "mentored" else 1

    def beginnings(self) -> dict[str, Beginning]:
        """What each row but the baseline starts from: another row that trains some of its rounds, or the baseline.

        What is equal is found by comparing what the recipes say, so a new recipe needs no entry anywhere.
        """
        owners: dict[str, str] = {}
        found: dict[str, Beginning] = {}
        for name in self.rows:
            config = self.config_of(name)
            start = Beginning(row=BASELINE, rounds=0)
            for number in range(1, self.rounds_of(name) + 1):
                owner = owners.setdefault(fingerprint(self, config, number, ""), name)
                if owner != name:
                    start = Beginning(row=owner, rounds=number)
            if name != BASELINE:
                found[name] = start
        return found

    def rounds_to_train(self) -> dict[str, int]:
        """By row, without those that another row trains."""
        rows = self.beginnings()
        return {name: self.rounds_of(name) - (rows[name].rounds if name in rows else 0) for name in self.rows}

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
            ValueError: it is no plan.
        """
        try:
            fields = dict(values)
            character = dict(fields.pop("character"))
            pace = Pace(**character.pop("pace"))
            habit = Habit(character.pop("habit"))
            return cls(
                **{**fields, "recipes": tuple(fields["recipes"])},
                character=Character(habit=habit, pace=pace, **character),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is no plan of a table: {type(error).__name__} {error}") from None


def fingerprint(plan: TablePlan, config: TrainConfig, round_number: int, data_digest: str, parent: str = "") -> str:
    """Equal for rounds that must give equal figures, whatever the row is called.

    Args:
        plan: of the table.
        config: of the run, with its seed and steps.
        round_number: from 1; a row of two rounds begins with what a row of one round is.
        data_digest: of the original training pictures; `training.table1.digests` looks after the other sets.
        parent: fingerprint of the round whose model is shown to operators and learned from; empty: there is none.
    """
    plain = TrainConfig(recipe=config.recipe, detector=config.detector).to_json()
    single = dataclasses.replace(config, feedback=dataclasses.replace(config.feedback, rounds=round_number)).to_json()
    whole = {
        # Only what differs from a plain config: a setting that is added later, and not used, changes nothing.
        "config": {**_unlike(single, plain), "detector": single["detector"]},
        "data": [plan.source.kind, plan.experiment_name, plan.level, data_digest],
        "character": plan.to_json()["character"],
    }
    if parent:
        whole["parent"] = parent
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
