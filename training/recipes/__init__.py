"""Recipes: functions that return a whole `TrainConfig`. The list of them is the ablation table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.config import TrainConfig
from training.models.config import DetectorConfig
from training.recipes.asked import complete, missed, second_round, third_round, uncertain, wrong_class
from training.recipes.beyond import distil, reliable, robust, teacher, transfer_dann, transfer_omnia
from training.recipes.controls import camera, longer, unbalanced, unspoken_is_healthy
from training.recipes.paper import baseline, dann, healthy, mentored, omnia, transfer
from training.recipes.station import full, recommended

Recipe = Callable[[DetectorConfig], TrainConfig]
"""A network's config to the run's config."""

RECIPES: Mapping[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        baseline,
        mentored,
        transfer,
        omnia,
        healthy,
        dann,
        transfer_dann,
        transfer_omnia,
        distil,
        teacher,
        robust,
        reliable,
        uncertain,
        wrong_class,
        missed,
        complete,
        recommended,
        second_round,
        third_round,
        full,
        longer,
        camera,
        unspoken_is_healthy,
        unbalanced,
    )
}
"""In the order of the table."""


def recipe_named(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}, expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


__all__ = ["RECIPES", "Recipe", "recipe_named"]
