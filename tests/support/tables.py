"""Results of a table's runs with figures that a test chose, and documents made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.evaluate.figures import ClassFigures, Figures
from training.models.config import DetectorConfig
from training.recipes import recipe_named
from training.table1.document import Document
from training.table1.plan import CEILING, Job, TablePlan
from training.table1.result import RoundResult, RunResult
from training.table1.summary import missing, rows_of
from training.table1.verdict import choose

FULL_SECONDS = 1000.0


def figures(domain: str, score: float | None, *, false_alarms: float = 0.5, classes: Sequence[str] = ("a",)) -> Figures:
    """A domain's figures around one score."""
    return Figures(
        domain=domain,
        images=10,
        healthy_images=10,
        map_33=score,
        map_50=None if score is None else score - 0.05,
        precision=score,
        recall=score,
        false_alarms_per_healthy=false_alarms,
        escapes=0.1,
        classes=tuple(
            ClassFigures(name=name, defects=5, ap_33=score, ap_50=score, precision=score, recall=score, threshold=0.5)
            for name in classes
        ),
    )


def result(
    recipe: str,
    seed: int,
    new: Sequence[float | None],
    *,
    original: float = 0.9,
    seconds: Sequence[float] = (),
    classes: Sequence[str] = ("a",),
) -> RunResult:
    """A run with a new-domain score after each of its rounds."""
    config = recipe_named(recipe)(DetectorConfig(classes=tuple(classes)))
    asked = config.new_labels == "mentored"
    spent = list(seconds) or [FULL_SECONDS if recipe == CEILING else 100.0 * (n + 1) * asked for n in range(len(new))]
    return RunResult(
        recipe=recipe,
        seed=seed,
        experiment="synthetic",
        head="anchors",
        rounds=tuple(
            RoundResult(
                number=(place + 1) * asked,
                operator_seconds=spent[place],
                clicks={"CONFIRM": 30, "REJECT": 20} if asked else {},
                frames=40 * asked,
                original=figures("original", original, classes=classes),
                new=figures("new", score, classes=classes),
            )
            for place, score in enumerate(new)
        ),
        full_seconds=FULL_SECONDS,
        steps=100,
        training_seconds=12.0,
        precision="float32",
        checkpoint=f"runs/{recipe}-seed{seed}/round1/checkpoint.safetensors",
        history=f"runs/{recipe}-seed{seed}/round1/history.jsonl",
        config=config.to_json(),
        data_digest="sha256:" + "0" * 64,
        mentoring_digest="",
    )


def results(
    scores: Mapping[str, Sequence[float | Sequence[float]]], *, original: Mapping[str, Sequence[float]] | None = None
) -> dict[Job, RunResult]:
    """By recipe the new-domain score of each seed; a sequence for a row of several rounds."""
    found = {}
    for recipe, seeds in scores.items():
        for seed, score in enumerate(seeds):
            rounds = [score] if isinstance(score, (int, float)) else list(score)
            kept = (original or {}).get(recipe, [0.9] * len(seeds))[seed]
            found[Job(recipe=recipe, seed=seed)] = result(recipe, seed, rounds, original=kept)
    return found


def document(
    scores: Mapping[str, Sequence[float | Sequence[float]]],
    *,
    original: Mapping[str, Sequence[float]] | None = None,
    failures: Mapping[Job, str] | None = None,
    seeds: int = 3,
    command: str = "python -m training table1",
) -> Document:
    """A table of those results."""
    found = results(scores, original=original)
    plan = TablePlan(data="synthetic:1", recipes=tuple(scores), seeds=seeds)
    rows = rows_of(plan, found)
    return Document(
        plan=plan,
        rows=rows,
        verdict=choose(rows),
        failures=failures or {},
        missing=missing(plan, found),
        digests={"train": "sha256:" + "0" * 64},
        pictures={"train": 400},
        command=command,
        machine={"processor": "a processor", "cores": 2, "gpus": [], "system": "Linux"},
        versions={"python": "3"},
        budgeted=None,
        wall_seconds=100.0,
    )


def table_folder(tmp_path: Path) -> Path:
    """An empty folder for a table."""
    folder = tmp_path / "table"
    folder.mkdir()
    return folder
