"""Which plan a table's folder is to be filled by: the one asked for, the one begun there, with steps that fit the time.

A table begun goes on with the steps it began with: rows that are already there must not have been treated unlike those
still to come.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from training.table1.plan import TablePlan

PLAN_NAME = "plan.json"
BUDGET_NAME = "budget.json"
FEW = 0.5
"""Share of the steps asked for, below which a table comes with a warning."""
MAY_CHANGE = ("recipes", "seeds", "scale")
"""Fields of a plan that another start may have otherwise; the scale is looked at apart."""


class OtherPlanError(ValueError):
    """The folder holds a table that was planned otherwise."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budgeted:
    """How a table's steps were fitted into a time."""

    budget: float
    """Seconds of wall time."""
    asked_scale: float
    """Before."""
    scale: float
    """After."""
    parallel: int
    timing: dict[str, Any]
    """What was measured for it."""

    @property
    def warning(self) -> str:
        """What a reader has to know where the time was short; empty: nothing."""
        if self.scale >= FEW * self.asked_scale:
            return ""
        return (
            f"in {self.budget:g} s rows get {self.scale / self.asked_scale:.0%} of the steps they should have, as fast"
            " as steps were when they were measured; so short a training says little. If the machine was busy then,"
            " start again in another folder when it is quiet; else give more time, fewer rows, or steps with --scale"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def begun(out: Path) -> TablePlan | None:
    """The plan of the table in a folder.

    Raises:
        ValueError: what is there is no plan.
    """
    path = out / PLAN_NAME
    return TablePlan.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def budgeted(out: Path) -> Budgeted | None:
    """How the table in a folder was fitted into a time; None: it was not.

    Raises:
        ValueError: the file is damaged.
    """
    path = out / BUDGET_NAME
    if not path.is_file():
        return None
    try:
        return Budgeted(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}; give another folder with --out") from None


def compare(wanted: TablePlan, known: TablePlan, out: Path) -> None:
    """Looks whether a table can go on as another start asks.

    Raises:
        OtherPlanError: it was begun otherwise.
    """
    ours, theirs = wanted.to_json(), known.to_json()
    for name in ours:
        if name not in MAY_CHANGE and ours[name] != theirs[name]:
            raise OtherPlanError(
                f"the table in {out} was begun with {name} {_short(theirs[name])}, now it is {_short(ours[name])};"
                " say it as then, or give another folder with --out"
            )


def scale_of(wanted: TablePlan, known: TablePlan, fitted: Budgeted | None, budget: float | None, out: Path) -> float:
    """The scale with which a begun table goes on.

    Raises:
        OtherPlanError: it was begun with another one, or for another time.
    """
    if fitted is None:
        asked, then = wanted.scale, known.scale
        if budget is not None or asked != then:
            now = f"a budget of {budget:g} s" if budget is not None else f"scale {asked:g}"
            raise OtherPlanError(
                f"the table in {out} was begun with scale {then:g} and without a budget, now {now} is asked for; rows"
                " must have equal steps: say it as then, or give another folder with --out"
            )
        return then
    if budget != fitted.budget or wanted.scale != fitted.asked_scale:
        now = f"{budget:g} s" if budget is not None else "none"
        raise OtherPlanError(
            f"the table in {out} was begun with a budget of {fitted.budget:g} s and scale {fitted.asked_scale:g}, now"
            f" it is {now} and {wanted.scale:g}; rows must have equal steps: say it as then, or give another folder"
            " with --out"
        )
    return fitted.scale


def _short(value: object) -> str:
    return json.dumps(value) if value not in (None, "") else "not given"
