"""The rules a request brings along, as the recipe a station would have in its configuration."""

from __future__ import annotations

from collections.abc import Collection

import pydantic

from edge.verdict import RecipeSettings
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

NAME_OF_REQUESTS = "request"
"""Where the rules have no name."""
MOST_REGIONS = 256


def read_recipe(recipe: inspection_pb2.Recipe, class_names: Collection[str]) -> RecipeSettings:
    """The rules of a request.

    Args:
        recipe: as it came.
        class_names: of the serving model: a class that is misspelt would be a rule that does nothing. Empty: no model
            serves, and there will be no verdict anyway.

    Raises:
        ContractError: REQUEST_MALFORMED, with the field and what would be right.
    """
    if len(recipe.regions) > MOST_REGIONS:
        raise _malformed(f"recipe.regions are {len(recipe.regions)}, expected at most {MOST_REGIONS}")
    try:
        made = RecipeSettings(
            name=recipe.name or NAME_OF_REQUESTS,
            thresholds=dict(recipe.thresholds),
            regions=[{"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in recipe.regions],  # type: ignore[arg-type]
            minimum_side=recipe.minimum_side,
            maximum_count=recipe.maximum_count,
            exclusive_classes=tuple(recipe.exclusive_classes),
        )
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part)[:80] for part in first["loc"] if part != "[key]")
        raise _malformed(f"recipe.{place}: {first['msg'].removeprefix('Value error, ')}") from None
    unknown = sorted(made.class_names - set(class_names)) if class_names else []
    if unknown:
        raise _malformed(
            f"the recipe names the class {unknown[0][:80]!r}; the model's are {', '.join(sorted(class_names))[:400]}"
        )
    return made


def _malformed(text: str) -> ContractError:
    return ContractError(Reason.REQUEST_MALFORMED, text)
