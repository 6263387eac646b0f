"""Why this box: the features are those the network's head looks at, and what lies near is what looks alike."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support import packages
from support.checkpoints import detector, frames
from support.told import DIGEST, frame_id, recorded, say

from edge.models.features import FeatureGraph
from edge.models.why import Explainer, explain, picture_of
from export.graph import DeployedGraph
from export.to_onnx import to_onnx
from lineside.boxes import iou
from lineside.log.new_log import new_log
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package, read_package, write_package
from lineside.pixels import decode, encode_png
from lineside.records import FeedbackEvent, Gesture, RecordedDetection
from lineside.trace.cli import main

BOX = (16.0, 16.0, 32.0, 32.0)


def test_the_features_are_the_map_that_the_networks_head_looks_at() -> None:
    network = detector("anchors")
    config = network.config
    exported = to_onnx(DeployedGraph(network, top_k=20))
    graph = FeatureGraph(exported, network.head, input_shape=(config.height, config.width, 1))
    [picture] = frames((64, 96))
    [found] = graph.maps(picture[:, :, None])
    with torch.no_grad():
        expected = network.features(torch.from_numpy(picture)[None, None].float())[0].flatten(1).T.numpy()
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-3)
    # A place is the mean of its areas' cells, each as much as the area covers the box.
    areas = np.array([3, 40, 41], np.int32)
    box = network.head.boxes()[areas[0]]
    weights = iou(network.head.boxes()[areas], box[None])[:, 0] + 1e-6
    cells = areas // config.areas_per_cell
    wanted = (expected[cells] * weights[:, None]).sum(axis=0) / weights.sum()
    assert np.allclose(graph.seen([found], areas, box).vector, wanted, atol=1e-3)


def test_a_graph_without_such_a_map_says_so() -> None:
    wide = dataclasses.replace(packages.cell_head(), rows=5, columns=5)
    with pytest.raises(ValueError, match="no map of 5x5"):
        FeatureGraph(packages.graph_for(packages.cell_head()), wide, input_shape=(64, 64, 1))


def line(root: Path, brightness: list[float], events: list[FeedbackEvent]) -> Path:
    """A log of pictures with one square each; the tiles' network sees nothing but its brightness."""
    with new_log(root) as log:
        log.model({"digest": DIGEST, "name": "tiles", "version": "1.0.0", "manifest": "{}", "first_seen_unix_ns": 0})
        for number, value in enumerate(brightness):
            data = encode_png(packages.picture(brightness=value))
            frame = dataclasses.replace(
                recorded(number),
                width=64,
                height=64,
                image_sha256=hashlib.sha256(data).hexdigest(),
                image_suffix="png",
                image_bytes=len(data),
            )
            found = RecordedDetection(
                detection_id=f"{frame_id(number)}/0",
                class_index=0,
                class_name="dent",
                score=value,
                box=BOX,
                areas=np.array([5], np.int32),
            )
            log.frame(frame, (found,))
            log.picture(frame, data)
        for sequence, event in enumerate(events, 1):
            log.event(dataclasses.replace(event, log_sequence=sequence))
    return root


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Package, Path]:
    """Bright squares are defects, dim ones are not; the last one is asked about, and it is dim."""
    brightness = [0.95, 0.9, 0.92, 0.6, 0.62, 0.66, 0.61]
    events = [
        say(0, 0, Gesture.CONFIRM),
        say(1, 0, Gesture.CONFIRM),
        say(2, 0, Gesture.WRONG_CLASS, class_name="scratch"),
        say(3, 0, Gesture.REJECT, operator="bob"),
        say(4, 0, Gesture.REJECT),
        say(5, 0, Gesture.REJECT),
        say(5, 0, Gesture.CONFIRM, operator="bob"),  # disputed: speaks for nothing
        say(6, 0, Gesture.REJECT),  # the detection itself: no reason for itself
    ]
    return packages.make_cell_package(tmp_path / "package"), line(tmp_path / "log", brightness, events)


def test_the_nearest_judged_places_are_those_that_look_alike(asked: tuple[Package, Path]) -> None:
    package, log = asked
    why = explain(package.folder, f"{frame_id(6)}/0", [log], most=3)
    assert why.considered == 5
    said = [(item.detection_id, item.verdict, item.class_name, item.operators) for _, item in why.nearest]
    assert {said[0][0], said[1][0]} == {f"{frame_id(3)}/0", f"{frame_id(4)}/0"}
    assert said[2] == (f"{frame_id(1)}/0", "defect", "dent", ("ada",))
    distances = [distance for distance, _ in why.nearest]
    assert distances == sorted(distances)
    # The one feature is brightness: distances are its differences over its spread among the judged places.
    levels = np.round(np.array([0.95, 0.9, 0.92, 0.6, 0.62]) * 255)
    expected = np.abs(levels - round(0.61 * 255)) / levels.std()
    assert np.allclose(distances, np.sort(expected)[:3], atol=1e-4)
    text = "\n".join(why.lines())
    assert "of the 3 nearest of 5 judged places: 2 no defect, 1 defect" in text


def test_an_example_that_the_model_learned_from_is_told_from_one_it_did_not(
    asked: tuple[Package, Path], tmp_path: Path
) -> None:
    package, log = asked
    manifest = packages.manifest_for(package.head)
    manifest.lineage.logs.add(station="line-1", first_sequence=4, last_sequence=4, sequences="4")
    files = {name: package.read(name) for name in ("model.onnx", "golden.npz")}
    other = write_package(tmp_path / "taught", manifest, files)
    why = Explainer(other).explain
    with MentoringLogReader(log) as reader:
        record = reader.record(frame_id(6))
        assert record is not None
        found = why(record.frame, record.detections[0], decode(reader.image(record.frame)), [log])
    assert {item.detection_id for _, item in found.nearest if item.taught} == {f"{frame_id(3)}/0"}


def test_frames_are_looked_at_once_until_something_new_is_said(asked: tuple[Package, Path], tmp_path: Path) -> None:
    package, log = asked
    explainer = Explainer(read_package(package.folder), newest=4)
    first, left_out = explainer.examples(log)
    assert left_out["the frame has older feedback than those looked at"] == 3
    again, _ = explainer.examples(log)
    assert [id(item) for item in again] == [id(item) for item in first]


def test_the_command_draws_them_beside_the_detection(
    asked: tuple[Package, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, log = asked
    picture = tmp_path / "out" / "why.png"
    command = ["box", str(package.folder), f"{frame_id(6)}/0", "--log", str(log), "--most", "3"]
    assert main([*command, "--picture", str(picture)]) == 0
    assert "judged places" in capsys.readouterr().out
    pixels = decode(picture.read_bytes())
    assert pixels.shape == (204, 4 * 172, 3)
    # The frame around a crop says what people said: grey asked about, orange no defect, blue defect.
    edges = [tuple(int(value) for value in pixels[3, 172 * place + 80]) for place in range(4)]
    assert edges == [(90, 90, 90), (213, 94, 0), (213, 94, 0), (0, 114, 178)]
    assert picture_of(explain(package.folder, f"{frame_id(6)}/0", [log], most=3)) == picture.read_bytes()
    assert main([*command[:2], "nobody/0", *command[3:]]) == 2
    assert "has no detection 'nobody/0'" in capsys.readouterr().err
