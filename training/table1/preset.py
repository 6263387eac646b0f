"""`--small`: the synthetic line, the paper's rows and what they are measured against, 20 minutes on two cores.

Smaller crops and fewer steps than the recipes ask for, the same for all rows. What that gives up: rows that learn from
scratch come out worse than they would after a longer training.
"""

from __future__ import annotations

from training.table1.plan import CEILING, TablePlan

DATA = "synthetic:1"
RECIPES = (
    "baseline",
    "mentored",
    "transfer",
    "omnia",
    "healthy",
    "dann",
    "recommended",
    "second_round",
    CEILING,
    "longer",
    "unspoken_is_healthy",
)
BUDGET_SECONDS = 1200.0
"""On a slower machine all rows get fewer steps, and the report says how many."""


def small() -> TablePlan:
    """The preset; the command line's own words replace its values."""
    return TablePlan(data=DATA, recipes=RECIPES, seeds=3, scale=SCALE, crop=96, batch=16)


SCALE = 0.25
