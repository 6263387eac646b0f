"""A click on an adopted detector's detection teaches exactly the places of that network that raised it.

From end to end: a daemon serves an adopted YOLOv5, an operator answers through the feedback socket, the log becomes
labels by row of that network's own output, the network is taught with them where it came from, exported and adopted
again.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from support import foreign
from support.daemon import daemon
from support.foreign import CLASSES, HEIGHT, WIDTH, pictures

from export.adopt.adopt import Declared, adopt
from export.adopt.clicks import rows_of
from export.cli import main
from lineside.areas import AnchorGrid
from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.gestures import ABSENT, PRESENT, UNKNOWN, AreaLabels
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package, read_package
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.checkpoint import load

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("daemon")]

FRAME = pictures((HEIGHT, WIDTH), seed=5)[0]
"""Of the model's own size, so that frame pixels are model pixels."""
THRESHOLD = 0.3


def adopted(network: foreign.Network, out: Path, version: str) -> Package:
    return adopt(
        foreign.exported(network),
        out,
        Declared(classes=CLASSES),
        name="boards",
        version=version,
        golden_frames=pictures((64, 80)),
        threshold=THRESHOLD,
    ).package


class Shift(NamedTuple):
    """What is left when the operator goes home."""

    network: foreign.YoloV5
    package: Package
    log: Path
    detections: list[inspection_pb2.Detection]
    rejected: inspection_pb2.Detection
    confirmed: inspection_pb2.Detection


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shift]:
    """One frame, its best detection rejected, another confirmed."""
    network = foreign.YoloV5()
    package = adopted(network, tmp_path_factory.mktemp("package") / "p", "1.0.0")
    folder = tmp_path_factory.mktemp("station")
    with daemon(folder) as process:
        with ModelsClient(process.addresses.grpc) as models:
            models.push(package.folder)
            models.activate(package.digest)
        with InspectionClient(process.addresses.grpc) as client:
            result = client.inspect_pixels(FRAME, part_id="P-1")
        rejected, confirmed, *_ = result.detections
        with FeedbackClient(process.addresses.feedback, operator="ada") as operator:
            for number, (detection, gesture) in enumerate(
                ((rejected, mentoring_pb2.GESTURE_REJECT), (confirmed, mentoring_pb2.GESTURE_CONFIRM)), 1
            ):
                ack = operator.send(
                    mentoring_pb2.Feedback(
                        key=str(uuid.uuid4()),
                        frame_id=result.frame_id,
                        detection_id=detection.detection_id,
                        gesture=gesture,
                        revision=number,
                        seconds=1.5,
                    )
                )
                assert ack.log_sequence == number
        assert process.stop() == 0, process.tail()
        (database,) = folder.rglob("log.sqlite")
        yield Shift(network, package, database.parent, list(result.detections), rejected, confirmed)


def test_each_area_of_a_recorded_detection_is_a_place_that_says_what_the_head_says(shift: Shift) -> None:
    """Area number to level, row, column and shape, and there to box and score as the original network gives them."""
    grid = shift.package.head
    assert isinstance(grid, AnchorGrid)
    places = {place.position: place for place in shift.network.places(foreign.prepared(FRAME))}
    with MentoringLogReader(shift.log) as reader:
        (record,) = reader.records()
    assert len(record.detections) == len(shift.detections) >= 3
    for detection in record.detections:
        meant = [places[grid.position(int(area))] for area in detection.areas]
        scores = [place.scores[detection.class_index] for place in meant]
        winner = meant[int(np.argmax(scores))]
        assert max(scores) == pytest.approx(detection.score, abs=1e-4)
        box = np.clip(winner.box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        assert detection.box == pytest.approx(tuple(box), abs=0.02)


@pytest.fixture(scope="module")
def taught(shift: Shift, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clicks") / "labels"
    assert main(["clicks", str(shift.package.folder), str(out), "--log", str(shift.log)]) == 0
    return out


def test_labels_are_by_row_of_the_networks_own_output(shift: Shift, taught: Path) -> None:
    """Rejected: every class of each of its rows absent. All that nobody spoke about is unknown."""
    description = json.loads((taught / "dataset.json").read_text())
    assert (description["family"], description["classes"], description["rows"]) == ("yolov5", list(CLASSES), 252)
    (file,) = taught.glob("*.npz")
    labels = np.load(file)
    table = shift.network(foreign.prepared(FRAME))[0][0].detach().numpy()
    scores = table[:, 4:5] * table[:, 5:]
    assert labels["states"].shape == scores.shape
    denied = np.flatnonzero((labels["states"] == ABSENT).all(axis=1))
    assert len(denied) == len(shift.rejected.areas)
    assert scores[denied].max() == pytest.approx(shift.rejected.score, abs=1e-4)
    affirmed = np.argwhere(labels["states"] == PRESENT)
    assert {CLASSES[kind] for _, kind in affirmed} == {shift.confirmed.class_name}
    assert set(np.flatnonzero(labels["spoken"])) >= set(denied)
    silent = ~labels["spoken"]
    assert (labels["states"][silent] == UNKNOWN).all()
    assert silent.sum() == 252 - len(shift.rejected.areas) - len(shift.confirmed.areas)


def test_the_network_taught_with_them_where_it_came_from_no_longer_raises_what_was_rejected(
    shift: Shift, taught: Path, tmp_path: Path
) -> None:
    (file,) = taught.glob("*.npz")
    states = torch.from_numpy(np.load(file)["states"])
    learner = copy.deepcopy(shift.network)
    optimiser = torch.optim.Adam(learner.heads.parameters(), lr=0.02)
    for _ in range(100):
        table = learner(foreign.prepared(FRAME))[0][0]
        scores = (table[:, 4:5] * table[:, 5:]).clamp(1e-6, 1 - 1e-6)
        loss = -scores[states == PRESENT].log().mean() - (1 - scores[states == ABSENT]).log().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    again = adopted(learner, tmp_path / "p", "1.1.0")
    assert again.head == shift.package.head
    places = {place.position: place for place in learner.places(foreign.prepared(FRAME))}
    grid = again.head
    assert isinstance(grid, AnchorGrid)
    fired = foreign.raised(list(places.values()), threshold=THRESHOLD, nms_iou=0.45)
    positions = {item.position for item in fired}
    assert not positions & {grid.position(area) for area in shift.rejected.areas}
    assert positions & {grid.position(area) for area in shift.confirmed.areas}


def test_rows_of_drawn_boxes_follow_the_networks_order(shift: Shift) -> None:
    """Area 1 of our order is shape 1 of the first cell; YOLOv5's table has it behind all 96 cells of shape 0."""
    drawn = np.array([[0, 0, 16, 30]], np.float32)
    labels = AreaLabels(
        states=np.full((252, 3), UNKNOWN, np.int8),
        spoken=np.zeros(252, bool),
        drawn_areas=np.array([1], np.int32),
        drawn_boxes=drawn,
        skipped=(),
    )
    rows = rows_of(shift.package, labels)
    assert rows["drawn_rows"].tolist() == [96]
    assert rows["drawn_boxes"] is drawn


def test_training_says_why_it_cannot_go_on_from_an_adopted_package(shift: Shift) -> None:
    assert read_package(shift.package.folder).manifest.adoption.not_trainable
    with pytest.raises(ValueError, match=r"cannot be trained further here: .*came as ONNX from elsewhere") as caught:
        load(shift.package.folder)
    assert "with --log and without --parent" in str(caught.value)
    assert "lineside export clicks" in str(caught.value)


def test_clicks_are_not_written_over_anything_and_not_out_of_nothing(
    shift: Shift, taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["clicks", str(shift.package.folder), str(taught), "--log", str(shift.log)]
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert main(["clicks", str(shift.package.folder), str(tmp_path / "q"), "--log", str(tmp_path)]) == 2
    assert not (tmp_path / "q").exists()
