"""What a table says: means and intervals of every figure by row and round, from the results of its runs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from training.evaluate.figures import Figures
from training.recipes import recipe_named
from training.table1.plan import BASELINE, CEILING, Job, TablePlan
from training.table1.result import RoundResult, RunResult
from training.table1.statistics import Estimate, difference, estimate

ROLES = ("baseline", "row", "ceiling")
DOMAINS = ("original", "new")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure of a domain."""

    field: str
    """Of `Figures`."""
    title: str
    digits: int
    more_is_better: bool


COLUMNS = (
    Column(field="map_33", title="mAP@0.33", digits=3, more_is_better=True),
    Column(field="map_50", title="mAP@0.5", digits=3, more_is_better=True),
    Column(field="precision", title="precision", digits=3, more_is_better=True),
    Column(field="recall", title="recall", digits=3, more_is_better=True),
    Column(field="false_alarms_per_healthy", title="false alarms", digits=2, more_is_better=False),
    Column(field="escapes", title="escapes", digits=3, more_is_better=False),
)
CLASS_FIELDS = ("ap_33", "ap_50", "precision", "recall")

Estimates = Mapping[str, Estimate | None]
"""By field of `Figures`; None where nothing was measured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class of the new domain after the last round."""

    name: str
    defects: int
    figures: Estimates
    """By field of `ClassFigures`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """A row after one of its rounds."""

    number: int
    """From 1; 0 where nobody was asked."""
    seconds: Estimate
    """Of the operator, until then."""
    share: Estimate
    """Of the time that annotating everything takes."""
    clicks: Estimate
    """Answers, until then."""
    figures: Mapping[str, Estimates]
    """By domain."""
    gain: Mapping[str, Estimates]
    """By domain: minus the baseline's, seed by seed."""
    gap_closed: Estimate | None
    """(mAP - baseline) / (full - baseline) on the new domain at IoU 0.33; None where nobody can say."""
    gap_left_out: tuple[int, ...] = ()
    """Seeds whose full annotation gained nothing, which cannot be a measure."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipe."""

    recipe: str
    what: str
    """In words."""
    role: str
    """One of `ROLES`."""
    seeds: tuple[int, ...]
    """That are there."""
    rounds: tuple[RoundRow, ...]
    classes: tuple[ClassRow, ...]
    steps: int
    training_seconds: Estimate
    precision: str

    @property
    def last(self) -> RoundRow:
        """After all its rounds: the figures that count."""
        return self.rounds[-1]

    @property
    def scores(self) -> Mapping[int, float | None]:
        """mAP at IoU 0.33 on the new domain, by seed."""
        found = self.new()
        return dict(zip(self.seeds, found.values, strict=True)) if found is not None else {}

    def new(self, field: str = "map_33") -> Estimate | None:
        """A figure of the new domain."""
        return self.last.figures["new"][field]

    def original(self, field: str = "map_33") -> Estimate | None:
        """A figure of the original domain."""
        return self.last.figures["original"][field]


def rows_of(plan: TablePlan, results: Mapping[Job, RunResult]) -> tuple[Row, ...]:
    """The table's rows in the plan's order; those without any result are left out."""
    by_row = {name: {job.seed: result for job, result in results.items() if job.recipe == name} for name in plan.rows}
    baseline, ceiling = by_row[BASELINE], by_row.get(CEILING, {})
    return tuple(_row(name, runs, baseline, ceiling) for name, runs in by_row.items() if runs)


def missing(plan: TablePlan, results: Mapping[Job, RunResult]) -> tuple[Job, ...]:
    """Runs that are not there."""
    return tuple(job for job in plan.jobs() if job not in results)


def _row(
    name: str, runs: Mapping[int, RunResult], baseline: Mapping[int, RunResult], ceiling: Mapping[int, RunResult]
) -> Row:
    seeds = tuple(sorted(runs))
    first = runs[seeds[0]]
    return Row(
        recipe=name,
        what=" ".join((recipe_named(name).__doc__ or "").strip().splitlines()[0].split()),
        role="baseline" if name == BASELINE else "ceiling" if first.config["new_labels"] == "full" else "row",
        seeds=seeds,
        rounds=tuple(_round(place, runs, baseline, ceiling) for place in range(len(first.rounds))),
        classes=_classes(list(runs.values())),
        steps=first.steps,
        training_seconds=_sure([runs[seed].training_seconds for seed in seeds]),
        precision=first.precision,
    )


def _round(
    place: int,
    runs: Mapping[int, RunResult],
    baseline: Mapping[int, RunResult],
    ceiling: Mapping[int, RunResult],
) -> RoundRow:
    seeds = sorted(runs)
    rounds = {seed: runs[seed].rounds[place] for seed in seeds}

    def by_seed(of: Mapping[int, RunResult] | Mapping[int, RoundResult], domain: str, field: str) -> _BySeed:
        return {seed: getattr(getattr(item, domain), field) for seed, item in of.items()}

    def each(compute: Callable[[str, str], Estimate | None]) -> Mapping[str, Estimates]:
        return {domain: {column.field: compute(domain, column.field) for column in COLUMNS} for domain in DOMAINS}

    gaps, left_out = gap_closed(
        by_seed(rounds, "new", "map_33"), by_seed(baseline, "new", "map_33"), by_seed(ceiling, "new", "map_33")
    )
    return RoundRow(
        number=rounds[seeds[0]].number,
        seconds=_sure([rounds[seed].operator_seconds for seed in seeds]),
        share=_sure([_share(rounds[seed].operator_seconds, runs[seed].full_seconds) for seed in seeds]),
        clicks=_sure([sum(sum(item.clicks.values()) for item in runs[seed].rounds[: place + 1]) for seed in seeds]),
        figures=each(lambda domain, field: estimate(list(by_seed(rounds, domain, field).values()))),
        gain=each(lambda domain, field: difference(by_seed(rounds, domain, field), by_seed(baseline, domain, field))),
        gap_closed=estimate(list(gaps.values())),
        gap_left_out=left_out,
    )


_BySeed = Mapping[int, float | None]


def gap_closed(ours: _BySeed, baseline: _BySeed, ceiling: _BySeed) -> tuple[dict[int, float], tuple[int, ...]]:
    """(ours - baseline) / (ceiling - baseline), seed by seed.

    Returns:
        The shares, and the seeds left out because the ceiling is not above the baseline.
    """
    shares: dict[int, float] = {}
    left_out = []
    for seed, value in ours.items():
        low, high = baseline.get(seed), ceiling.get(seed)
        if value is None or low is None or high is None:
            continue
        if high <= low:
            left_out.append(seed)
        else:
            shares[seed] = (value - low) / (high - low)
    return shares, tuple(left_out)


def _classes(runs: Sequence[RunResult]) -> tuple[ClassRow, ...]:
    figures: list[Figures] = [run.new for run in runs]
    return tuple(
        ClassRow(
            name=kind.name,
            defects=kind.defects,
            figures={
                field: estimate([getattr(entry.classes[place], field) for entry in figures]) for field in CLASS_FIELDS
            },
        )
        for place, kind in enumerate(figures[0].classes)
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _sure(values: Sequence[float]) -> Estimate:
    found = estimate(values)
    assert found is not None, "a row has at least one run"
    return found
