"""`--small`: the synthetic line, the paper's way to a better model and its rivals, in 20 minutes on two cores.

Smaller crops and fewer steps than the recipes ask for. From scratch, every model would have to learn the line again,
which is most of the work of a whole table, so one row does it; what the others of the paper's add is shown on top of
transfer. Names given with `--recipes` are other rows, and take longer.
"""

from __future__ import annotations

from training.table1.plan import CEILING, TablePlan

DATA = "synthetic:1"
RECIPES = (
    "baseline",
    "mentored",
    "transfer",
    "transfer_omnia",
    "transfer_dann",
    "recommended",
    "second_round",
    CEILING,
    "longer",
)
STEPS = {"baseline": 800, "mentored": 1600}
"""The line is learned by then (mAP 0.99 on the original domain); from scratch twice as many, as in the recipes."""
SCALE = 0.45
"""Of the rows that go on from the baseline: 675 steps a round."""
BUDGET_SECONDS = 1200.0
"""On a slower machine all rows get fewer steps, and the report says how many."""


def small() -> TablePlan:
    """The preset; the command line's own words replace its values."""
    return TablePlan(data=DATA, recipes=RECIPES, seeds=3, scale=SCALE, steps=STEPS, crop=96, batch=16)
