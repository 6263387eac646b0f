"""A click becomes a label: what an operator rejects at a running station, and only that, gets gradient in training.

Real processes and sockets from end to end: a daemon serves a package, two frames are inspected over gRPC, one detection
of three is rejected through the feedback socket, training reads the daemon's log from the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from support.daemon import daemon
from support.lessons import squares
from support.packages import CLASSES, SIZE, STRIDE, anchor_head, make_anchor_package, picture

from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.data.augment import AugmentConfig
from training.data.batches import Batch, Sampler
from training.data.crops import CropConfig
from training.data.mentoring import MentoringData, read_log
from training.data.prepared import annotate_all
from training.models.config import BackboneConfig, DetectorConfig
from training.models.detector import Detector, RawOutput
from training.objective import ObjectiveConfig, objective

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("daemon")]

REJECTED_CELL = (1, 2)


class Shift(NamedTuple):
    """What is left when the operator goes home: the log, and what was rejected."""

    log: Path
    rejected: inspection_pb2.Detection


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shift]:
    """Two frames, three detections, one rejection."""
    package = make_anchor_package(tmp_path_factory.mktemp("package") / "p")
    folder = tmp_path_factory.mktemp("station")
    two = np.maximum(picture(*REJECTED_CELL), picture(3, 0))
    with daemon(folder) as process:
        with ModelsClient(process.addresses.grpc) as models:
            models.push(package.folder)
            models.activate(package.digest)
        with InspectionClient(process.addresses.grpc) as client:
            result = client.inspect_pixels(two, part_id="P-1")
            client.inspect_pixels(picture(0, 0), part_id="P-2")
        assert len(result.detections) == 2
        wanted = anchor_head().index(0, *REJECTED_CELL, 0)
        (rejected,) = (found for found in result.detections if wanted in found.areas)
        with FeedbackClient(process.addresses.feedback, operator="ada") as operator:
            ack = operator.send(
                mentoring_pb2.Feedback(
                    key=str(uuid.uuid4()),
                    frame_id=result.frame_id,
                    detection_id=rejected.detection_id,
                    gesture=mentoring_pb2.GESTURE_REJECT,
                    revision=1,
                    seconds=1.5,
                )
            )
        assert ack.log_sequence == 1
        assert process.stop() == 0, process.tail()
        (database,) = folder.rglob("log.sqlite")
        yield Shift(log=database.parent, rejected=rejected)


def network(**changes: object) -> DetectorConfig:
    """A network whose areas are those of the served model."""
    values: dict[str, object] = {
        "classes": CLASSES,
        "width": SIZE,
        "height": SIZE,
        "backbone": BackboneConfig(stem=4, widths=(8, 8, 8), blocks=(0, 0, 0)),
        "shapes": ((float(STRIDE), float(STRIDE)),),
    }
    return DetectorConfig(**{**values, **changes})  # type: ignore[arg-type]


def step(config: DetectorConfig, said: MentoringData) -> tuple[Batch, torch.Tensor]:
    """One training step on one original and one mentored picture, and the gradient of the mentored one's logits."""
    torch.manual_seed(0)
    items = annotate_all(squares(4), DetectorConfig(**{**fields(config), "classes": ("dark", "bright")}))
    sampler = Sampler(
        config,
        items,
        said.frames,
        size=2,
        seed=0,
        crop=CropConfig(side=SIZE),
        augment=AugmentConfig(turn="none", scale=0),
    )
    batch = sampler.batch(0)
    output: RawOutput = Detector(config).train()(batch.images)
    output.logits.retain_grad()
    objective(output, batch, ObjectiveConfig()).total.backward()
    assert output.logits.grad is not None
    return batch, output.logits.grad[batch.new][0]


def fields(config: DetectorConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in DetectorConfig.__slots__}


def test_exactly_the_rejected_areas_get_gradient(shift: Shift) -> None:
    config = network()
    said = read_log(shift.log, config)
    assert said.feedback_events == 1
    assert said.skipped == ()
    batch, gradient = step(config, said)
    touched = torch.nonzero((gradient != 0).any(dim=1)).ravel().tolist()
    assert touched == list(shift.rejected.areas)
    # Rejected is absent, whatever the class: the gradient pushes every class of these areas down.
    assert (gradient[touched] > 0).all()
    assert (batch.states[batch.new][0][touched] == 0).all()


def test_a_head_of_other_shape_finds_the_areas_anew_from_the_box(shift: Shift) -> None:
    config = network(backbone=BackboneConfig(stem=4, widths=(8, 8), blocks=(0, 0)), head="cells")
    _, gradient = step(config, read_log(shift.log, config))
    touched = torch.nonzero((gradient != 0).any(dim=1)).ravel().tolist()
    box = shift.rejected.box
    grid = config.head_for(SIZE, SIZE)
    centres = (grid.boxes()[:, :2] + grid.boxes()[:, 2:]) / 2
    inside = (centres[:, 0] >= box.x1) & (centres[:, 0] < box.x2) & (centres[:, 1] >= box.y1) & (centres[:, 1] < box.y2)
    assert touched == np.flatnonzero(inside).tolist()
    assert len(touched) == 4


def test_reading_the_log_again_gives_the_same_lesson(shift: Shift) -> None:
    assert read_log(shift.log, network()).digest == read_log(shift.log, network()).digest
