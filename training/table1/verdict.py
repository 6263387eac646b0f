"""Which row an engineer can defend. Pure; the rule is in `choose`, and every report prints it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from training.table1.statistics import Estimate, difference
from training.table1.summary import Row

FLOOR = 0.01
"""mAP at IoU 0.33 that a row may lose on the original domain and still be recommended."""
RULE = (
    "Rows are compared on the new domain's mAP at IoU 0.33. A row may lose at most 0.01 of the original domain's mAP"
    " against the baseline (mean over seeds); full annotation is a measure and no contender. Seed by seed, each row is"
    " subtracted from the best one: a pair shares its data, its baseline and its draws, so these differences say more"
    " than two intervals side by side. Where the 95 % t interval of the difference holds 0, the two are tied, and with"
    " one seed nothing can be told apart. Of tied rows the one that asks least of the operators is recommended. Each"
    " comparison is made by itself: among many rows some tie or win by chance."
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A row beside the best one."""

    recipe: str
    behind: Estimate | None
    """The best row's mAP minus this one's, seed by seed; None: no seed in common."""
    tied: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fell:
    """A row that lost too much of the original domain."""

    recipe: str
    change: Estimate
    """Of the original domain's mAP against the baseline."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the table says about its rows."""

    best: str | None
    """Highest mean among those that kept the original domain; None: no row has a figure."""
    against: tuple[Against, ...]
    """The other contenders, nearest first."""
    fell: tuple[Fell, ...]
    recommended: str | None
    """None where nothing can be told apart at all."""
    words: tuple[str, ...]
    """One sentence each."""

    @property
    def tied(self) -> tuple[str, ...]:
        """Rows that cannot be told from the best one."""
        return tuple(item.recipe for item in self.against if item.tied)

    @property
    def clear(self) -> bool:
        """Whether the best row is better than every other beyond doubt of this kind."""
        return self.best is not None and not self.tied


def choose(rows: Sequence[Row]) -> Verdict:
    """The best row, what is tied with it, and the cheapest of those.

    Args:
        rows: of the table, the baseline among them.
    """
    contenders: list[Row] = []
    fell: list[Fell] = []
    for row in rows:
        if row.role == "ceiling" or row.new() is None:
            continue
        change = row.last.gain["original"]["map_33"]
        if row.role == "row" and change is not None and change.mean < -FLOOR:
            fell.append(Fell(recipe=row.recipe, change=change))
        else:
            contenders.append(row)
    if not contenders:
        return Verdict(best=None, against=(), fell=tuple(fell), recommended=None, words=("There is nothing to judge.",))
    # `max` takes the first of equals: the plan's order decides.
    best = max(contenders, key=_mean)
    against = []
    for row in sorted(contenders, key=lambda row: -_mean(row)):
        if row is best:
            continue
        behind = difference(best.scores, row.scores)
        against.append(Against(recipe=row.recipe, behind=behind, tied=_tied(behind)))
    tied = {best.recipe, *(item.recipe for item in against if item.tied)}
    cheapest = min(
        (row for row in contenders if row.recipe in tied), key=lambda row: (row.last.seconds.mean, -_mean(row))
    )
    alone = all(len(row.seeds) == 1 for row in contenders)
    verdict = Verdict(
        best=best.recipe,
        against=tuple(against),
        fell=tuple(fell),
        recommended=None if alone else cheapest.recipe,
        words=(),
    )
    return dataclasses.replace(verdict, words=_words(verdict, {row.recipe: row for row in rows}))


def _tied(behind: Estimate | None) -> bool:
    return behind is None or behind.low is None or behind.low <= 0


def _mean(row: Row) -> float:
    found = row.new()
    assert found is not None, "contenders have a figure"
    return found.mean


def _words(verdict: Verdict, rows: Mapping[str, Row]) -> tuple[str, ...]:
    assert verdict.best is not None
    best = rows[verdict.best]
    said = []
    if verdict.recommended is None:
        said += [
            "No clear winner: with one seed nothing can be told apart; take at least three.",
            _worth(best, "Highest"),
        ]
    elif verdict.tied:
        several = len(verdict.tied) + 1
        said.append(f"No clear winner: {several} rows cannot be told apart, {best.recipe} having the highest mean.")
    else:
        said.append(f"{best.recipe} is better than every other row, pair by pair.")
    if verdict.recommended is not None:
        chosen = rows[verdict.recommended]
        said.append(_worth(chosen, "Recommended"))
        gain = chosen.last.gain["new"]["map_33"]
        if chosen.role != "baseline" and gain is not None and (gain.low is None or gain.low <= 0):
            said.append("Even its gain over the baseline may be chance.")
    if verdict.fell:
        lost = ", ".join(f"{item.recipe} ({item.change.mean:+.3f})" for item in verdict.fell)
        said.append(f"Left out, because the original domain fell by more than {FLOOR:g}: {lost}.")
    return tuple(said)


def _worth(row: Row, word: str) -> str:
    """A row, what it gains and what it costs."""
    gain, cost = row.last.gain["new"]["map_33"], row.last
    if row.role == "baseline" or gain is None:
        return f"{word}: {row.recipe}. Nothing here is shown to help: keep the baseline."
    words = f"{word}: {row.recipe}, {_signed(gain)} mAP on the new domain"
    if cost.seconds.mean:
        words += f" for {100 * cost.share.mean:.0f} % of the time that annotating everything takes"
    else:
        words += " without asking anybody"
    if cost.gap_closed is not None:
        words += f", {100 * cost.gap_closed.mean:.0f} % of the gap to full annotation"
    return words + "."


def _signed(value: Estimate) -> str:
    words = f"{value.mean:+.2f}"
    return words if value.half is None else f"{words} ± {value.half:.2f}"
