"""Writes a table's files out of what its runs left: table.txt, table.csv, table.json, report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from training.checkpoint import load, write_atomically
from training.data.sample import Experiment
from training.evaluate.predictor import Predictor
from training.table1.crops import crop_of
from training.table1.document import Document, to_csv, to_json
from training.table1.errors import worst_errors
from training.table1.html import Gallery, Histories, to_html
from training.table1.plan import BASELINE, Job
from training.table1.result import RunResult
from training.table1.text import to_text

TEXT_NAME, CSV_NAME, JSON_NAME, REPORT_NAME = "table.txt", "table.csv", "table.json", "report.html"
EACH = 6
"""Pictures of each kind of error."""


def write_all(
    out: Path, document: Document, results: Mapping[Job, RunResult], experiment: Experiment
) -> tuple[str, Path]:
    """Writes all of them.

    Args:
        out: the table's folder.
        document: the table.
        results: of the runs that are there.
        experiment: its pictures, for those of the worst errors.

    Returns:
        The table as text, and the report's file.
    """
    text = to_text(document)
    page = to_html(document, _histories(out, document, results), galleries(out, document, results, experiment))
    for name, content in (
        (TEXT_NAME, text),
        (CSV_NAME, to_csv(document)),
        (JSON_NAME, to_json(document)),
        (REPORT_NAME, page),
    ):
        write_atomically(out / name, content.encode())
    return text, out / REPORT_NAME


def galleries(
    out: Path, document: Document, results: Mapping[Job, RunResult], experiment: Experiment
) -> tuple[Gallery, ...]:
    """Of the baseline, of what is recommended and of the highest mean: one seed of each."""
    wanted = dict.fromkeys((BASELINE, document.verdict.recommended, document.verdict.best))
    first = {job.recipe: job for job in sorted(results, key=lambda job: -job.seed)}
    jobs = [first[recipe] for recipe in wanted if recipe in first]
    return tuple(_gallery(out / results[job].checkpoint, job, experiment) for job in jobs)


def _gallery(checkpoint: Path, job: Job, experiment: Experiment) -> Gallery:
    model = load(checkpoint)
    predictor = Predictor(model.detector, model.metadata.thresholds)
    dataset = experiment.eval_new
    answers = [(sample, predictor.answer(sample.picture.read())) for sample in dataset]
    errors = worst_errors(answers, dataset.classes, count=EACH)
    headings = {
        "Missed defects, first those whose part passed": errors.missed,
        "Alarms about nothing, the most confident first": errors.false_alarms,
        "Wrong class, the most confident first": errors.wrong_class,
    }
    return Gallery(
        recipe=job.recipe,
        seed=job.seed,
        kinds={
            heading: tuple(crop_of(item, *answers[item.picture], dataset.classes) for item in items)
            for heading, items in headings.items()
        },
    )


def _histories(out: Path, document: Document, results: Mapping[Job, RunResult]) -> Histories:
    found = {}
    for row in document.rows:
        runs = [results[Job(recipe=row.recipe, seed=seed)] for seed in row.seeds]
        found[row.recipe] = [_lines(out / run.history) for run in runs]
    return found


def _lines(path: Path) -> list[dict[str, object]]:
    """A run's history; a line that was cut off when the run was killed is left out."""
    if not path.is_file():
        return []
    parsed = [_parsed(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in parsed if line is not None]


def _parsed(line: str) -> dict[str, object] | None:
    try:
        values: dict[str, object] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return values


def spent_until_now(out: Path, seconds: float) -> float:
    """Adds the wall time of this start to that of those before; the sum."""
    path = out / "spent.json"
    before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else 0.0
    whole = float(before) + seconds
    write_atomically(path, (json.dumps({"seconds": round(whole, 1)}) + "\n").encode())
    return whole
