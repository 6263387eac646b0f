"""One HTML report: figures, curves and example pictures, in a single file that needs no network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from training.checkpoint import Metadata, load, write_atomically
from training.data.sample import Experiment
from training.evaluate import plots
from training.evaluate.figures import Figures, OnPicture, figures_of
from training.evaluate.predictor import Predictor
from training.evaluate.text import COLUMNS, number
from training.models.presets import name_of

TEMPLATE = "report.html.j2"
HISTORY_NAME = "history.jsonl"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelPage:
    """What the report says about one checkpoint; images as data URIs, by domain."""

    name: str
    facts: tuple[tuple[str, str], ...]
    figures: tuple[Figures, ...]
    curves: str
    precision_recall: dict[str, str]
    pictures: dict[str, str]
    configuration: str


def write_report(
    path: Path, checkpoints: Sequence[Path], experiment: Experiment, on_picture: OnPicture | None = None
) -> None:
    """Measures checkpoints on both domains and writes the report.

    Raises:
        FileNotFoundError, ValueError: a checkpoint cannot be read, or knows other classes than the data.
    """
    pages = [page_of(file, experiment, on_picture) for file in checkpoints]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template(TEMPLATE).render(
        title=f"Lineside: {experiment.name}", models=pages, columns=COLUMNS, number=number
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def page_of(file: Path, experiment: Experiment, on_picture: OnPicture | None = None) -> ModelPage:
    """Measures one checkpoint and draws its pictures."""
    checkpoint = load(file)
    metadata = checkpoint.metadata
    predictor = Predictor(checkpoint.detector, metadata.thresholds)
    total = sum(len(dataset) for _, dataset in experiment.evaluation)
    done = 0
    figures, drawn_curves, drawn_pictures = [], {}, {}
    for domain, dataset in experiment.evaluation:
        if dataset.classes != metadata.config.classes:
            raise ValueError(f"{file.name} knows classes {metadata.config.classes}, the data has {dataset.classes}")
        answers = []
        for sample in dataset:
            answers.append((sample, predictor.answer(sample.picture.read())))
            done += 1
            if on_picture is not None:
                on_picture(done, total)
        figures.append(figures_of(answers, predictor.thresholds, classes=dataset.classes, domain=domain))
        drawn_curves[domain] = plots.precision_recall(answers, dataset.classes, predictor.thresholds.tolist())
        drawn_pictures[domain] = plots.pictures(answers, dataset.classes)
    folder = file if file.is_dir() else file.parent
    history = folder / HISTORY_NAME
    lines = [json.loads(line) for line in history.read_text().splitlines()] if history.is_file() else []
    return ModelPage(
        name=f"{metadata.recipe} ({folder.name})",
        facts=_facts(metadata, checkpoint.detector),
        figures=tuple(figures),
        curves=plots.curves(lines) if lines else "",
        precision_recall=drawn_curves,
        pictures=drawn_pictures,
        configuration=json.dumps(metadata.to_json(), indent=1, ensure_ascii=False),
    )


def _facts(metadata: Metadata, detector: Any) -> tuple[tuple[str, str], ...]:
    run = metadata.figures.get("run", {})
    lineage = metadata.lineage
    config = metadata.config
    weights = sum(value.numel() for value in detector.parameters())
    return (
        ("recipe", metadata.recipe),
        ("network", f"{config.head}, {name_of(config.backbone)} backbone, {weights:,} parameters"),
        ("input", f"{config.width} x {config.height} x {config.channels} pixels"),
        ("training", f"{run.get('steps', '?')} steps in {run.get('seconds', '?')} s, {run.get('precision', '?')}"),
        ("seed", str(lineage.seed)),
        ("original data", lineage.data_digest or "–"),
        ("feedback", f"{lineage.feedback_events} events, up to number {lineage.last_log_sequence} of the log"),
        ("parent", lineage.parent_digest or "–"),
    )
