"""What a checkpoint says of itself, and what was measured of it, in the words of the manifest and the card. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from export.evidence import Evidence
from lineside.log.sequences import in_words
from lineside.v1 import model_pb2
from training.checkpoint import Metadata
from training.data.leaks import Seen, warnings
from training.data.sample import Experiment
from training.evaluate.figures import Figures
from training.models import Detector
from training.models.presets import name_of


def lineage_of(metadata: Metadata) -> model_pb2.Lineage:
    """What a checkpoint says about where it comes from."""
    lineage = metadata.lineage
    clicks = metadata.training.get("clicks", ())  # a quick fix names each of them
    logs = [
        model_pb2.LogRange(
            station=station,
            first_sequence=said.get("first_log_sequence", 0),
            last_sequence=said["last_log_sequence"],
            feedback_events=said.get("answers", 0),
            frames=said["frames"],
            sequences=lineage.account.get("taught", {}).get(station, ""),
        )
        for station, said in sorted(lineage.account.get("stations", {}).items())
    ]
    if not logs and clicks:
        logs = [
            model_pb2.LogRange(
                first_sequence=min(clicks),
                last_sequence=max(clicks),
                feedback_events=len(clicks),
                sequences=in_words(clicks),
            )
        ]
    return model_pb2.Lineage(
        parent_digest=lineage.parent_digest,
        recipe=metadata.recipe,
        training_config_json=json.dumps(metadata.training, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        data_digest=lineage.data_digest,
        mentoring_digest=lineage.mentoring_digest,
        feedback_events=lineage.feedback_events,
        last_log_sequence=lineage.last_log_sequence,
        seed=lineage.seed,
        logs=logs,
    )


def evaluation_of(figures: Figures, notes: str = "") -> model_pb2.Evaluation:
    """One domain's figures for the manifest; what was not measured stays absent."""
    return model_pb2.Evaluation(
        domain=figures.domain,
        images=figures.images,
        healthy_images=figures.healthy_images,
        map_33=figures.map_33,
        map_50=figures.map_50,
        precision=figures.precision,
        recall=figures.recall,
        false_alarms_per_healthy=figures.false_alarms_per_healthy,
        escapes=figures.escapes,
        classes=[
            model_pb2.ClassEvaluation(
                name=item.name,
                defects=item.defects,
                ap_33=item.ap_33,
                ap_50=item.ap_50,
                precision=item.precision,
                recall=item.recall,
            )
            for item in figures.classes
        ],
        notes=notes,
    )


def known_evaluations(metadata: Metadata, manifest: model_pb2.PackageManifest) -> list[model_pb2.Evaluation]:
    """What a checkpoint knows of itself. Figures at other thresholds than the manifest's are left out: they are of
    another model, as far as the line is concerned."""
    deployed = {item.name: item.threshold for item in manifest.classes}
    known = []
    for domain, values in sorted(metadata.figures.items(), key=lambda item: (item[0] != "original", item[0])):
        if not isinstance(values, Mapping) or values.get("domain") != domain:
            continue  # facts about the run
        figures = Figures.from_json(values)
        same = all(abs(deployed.get(item.name, -1.0) - item.threshold) < 1e-6 for item in figures.classes)
        evaluation = evaluation_of(figures, "" if same else f"{domain}: measured at other thresholds than these")
        if not same:
            for field in ("precision", "recall", "false_alarms_per_healthy", "escapes"):
                evaluation.ClearField(field)
            for entry in evaluation.classes:
                entry.ClearField("precision")
                entry.ClearField("recall")
        known.append(evaluation)
    return known


def evaluations_of(
    evidence: Sequence[Evidence], metadata: Metadata, experiment: Experiment
) -> list[model_pb2.Evaluation]:
    """With a note where a picture or part was trained on."""
    told = warnings(Seen.from_json(metadata.lineage.seen), experiment)
    notes = {domain: line for line in told for domain in (line.partition(":")[0],)}
    return [evaluation_of(item.figures, notes.get(item.figures.domain, "")) for item in evidence]


def made_by(metadata: Metadata, detector: Detector) -> list[tuple[str, str]]:
    """What trained the network, for the card."""
    config, run = metadata.config, metadata.figures.get("run", {})
    count = sum(value.numel() for value in detector.parameters())
    facts = [("network", f"{config.head}, {name_of(config.backbone)} backbone, {count:,} parameters")]
    if run:
        facts.append(
            ("training", f"{run.get('steps', '?')} steps in {run.get('seconds', '?')} s, {run.get('precision', '?')}")
        )
    return facts
