"""What a checkpoint says of itself, in the manifest's words: clicks by station, and only figures that hold."""

from __future__ import annotations

import pytest
from support import packages
from support.checkpoints import CLASSES, detector

from export.provenance import known_evaluations, lineage_of, made_by
from lineside.v1 import model_pb2
from training.checkpoint import Lineage, Metadata
from training.evaluate.figures import ClassFigures, Figures


def figures(domain: str, threshold: float = 0.5) -> Figures:
    return Figures(
        domain=domain,
        images=7,
        healthy_images=2,
        map_33=0.5,
        map_50=None,
        precision=0.75,
        recall=0.25,
        false_alarms_per_healthy=1.5,
        escapes=0.1,
        classes=tuple(
            ClassFigures(name=name, defects=4, ap_33=0.5, ap_50=None, precision=0.75, recall=0.25, threshold=threshold)
            for name in CLASSES
        ),
    )


def metadata(**fields: object) -> Metadata:
    return Metadata(config=detector().config, recipe="transfer", **fields)  # type: ignore[arg-type]


def manifest() -> model_pb2.PackageManifest:
    return packages.manifest_for(packages.anchor_head(), classes=CLASSES)


def test_clicks_are_told_by_station_from_number_to_number() -> None:
    account = {
        "stations": {
            "south": {"frames": 2, "answers": 4, "first_log_sequence": 1, "last_log_sequence": 4},
            "north": {"frames": 3, "last_log_sequence": 6},  # written before answers were counted
        }
    }
    lineage = lineage_of(metadata(lineage=Lineage(feedback_events=10, last_log_sequence=6, account=account)))
    assert [
        (log.station, log.first_sequence, log.last_sequence, log.feedback_events, log.frames) for log in lineage.logs
    ] == [("north", 0, 6, 0, 3), ("south", 1, 4, 4, 2)]
    quick = lineage_of(metadata(training={"clicks": [5, 9, 7]}, lineage=Lineage(feedback_events=3)))
    assert [(log.station, log.first_sequence, log.last_sequence) for log in quick.logs] == [("", 5, 9)]
    assert not lineage_of(metadata()).logs


def test_figures_a_checkpoint_knows_are_taken_original_first() -> None:
    known = {
        "run": {"steps": 3, "seconds": 2.0, "precision": "float32"},
        "new": figures("new").to_json(),
        "original": figures("original").to_json(),
        "quickfix": {"failures": []},
    }
    found = known_evaluations(metadata(figures=known), manifest())
    assert [entry.domain for entry in found] == ["original", "new"]
    assert (found[0].precision, found[0].healthy_images, found[0].notes) == (0.75, 2, "")
    assert found[0].escapes == pytest.approx(0.1)
    assert [entry.defects for entry in found[0].classes] == [4, 4, 4]
    assert not found[0].classes[0].HasField("ap_50")


def test_figures_at_other_thresholds_than_the_deployed_are_left_out() -> None:
    known = {"original": figures("original", threshold=0.3).to_json()}
    (found,) = known_evaluations(metadata(figures=known), manifest())
    assert found.map_33 == 0.5
    assert not any(
        found.HasField(field)  # type: ignore[arg-type]
        for field in ("precision", "recall", "false_alarms_per_healthy", "escapes")
    )
    assert found.classes[0].HasField("ap_33")
    assert not found.classes[0].HasField("recall")
    assert "measured at other thresholds" in found.notes


def test_what_trained_it_is_named() -> None:
    made = detector()
    facts = dict(made_by(metadata(figures={"run": {"steps": 3, "seconds": 2.5, "precision": "float32"}}), made))
    count = sum(value.numel() for value in made.parameters())
    assert f"{count:,} parameters" in facts["network"]
    assert facts["training"] == "3 steps in 2.5 s, float32"
    assert "training" not in dict(made_by(metadata(), made))
