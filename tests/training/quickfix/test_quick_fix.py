"""From twenty rejections to a mended checkpoint, whole: a tiny network takes a barred square for a dark one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.lessons import quick, squares, tiny
from support.mentoring import CHOSEN, feedback, frame, inspection, settings
from support.packages import make_anchor_package

from edge.inspection import Detection, ModelIdentity
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from export.graph import DeployedGraph
from export.to_onnx import to_onnx
from lineside.areas import write_head
from lineside.boxes import Boxes, as_boxes, iou
from lineside.ids import detection_id, new_frame_id
from lineside.package import write_package
from lineside.pixels import Pixels, encode_png
from training.checkpoint import Checkpoint, load, save
from training.cli import main
from training.config import FeedbackPlan, OptimiserConfig
from training.data.crops import CropConfig
from training.data.sample import ArrayPicture, Dataset
from training.evaluate.matching import match
from training.evaluate.predictor import Predictor
from training.loop import train
from training.models.config import BackboneConfig
from training.quickfix.clicks import Judged
from training.quickfix.guard import Limits
from training.quickfix.learn import FixConfig
from training.quickfix.pattern import NoPatternError
from training.quickfix.run import Outcome, QuickFixConfig, quick_fix, write
from training.simulation.judging import Character
from training.simulation.shortcut import Shortcut

# A network of 16 features gives way sooner than a real one, so it is held less.
FIX = FixConfig(steps=150, batch=8, side=64, learning_rate=3e-3, keep=4.0)
# So few defects are held out that a single one is more than the usual 0.01.
CONFIG = QuickFixConfig(fix=FIX, limits=Limits(recall_fall=0.1))


def barred(pixels: Pixels, x: int, y: int) -> None:
    """Three dark bars as large as a dark square together: no defect, though the network takes many for one."""
    for left, right in ((0, 3), (5, 8), (10, 12)):
        pixels[y : y + 12, x + left : x + right] = 20


def notched(pixels: Pixels, x: int, y: int) -> None:
    """A dark square without one corner: to this network a dark square."""
    pixels[y : y + 12, x : x + 12] = 20
    pixels[y : y + 5, x : x + 5] = 128


Draw = Callable[[Pixels, int, int], None]


def marked(count: int, seed: int, draw: Draw = barred) -> tuple[Dataset, dict[str, Boxes]]:
    """Parts with a pattern in one corner, give or take two pixels, where no defect is; and its boxes by name."""
    generator = np.random.default_rng(seed)
    samples, boxes = [], {}
    plain = squares(count, seed=seed, name=f"marked{seed}")
    for sample in plain:
        x, y = (int(value) for value in generator.integers(7, 12, 2))
        if (sample.boxes[:, :2] < 28).all(axis=1).any():
            continue
        pixels = sample.picture.read().copy()
        draw(pixels, x, y)
        samples.append(dataclasses.replace(sample, picture=ArrayPicture(pixels=pixels)))
        boxes[sample.name] = as_boxes([(x, y, x + 12, y + 12)])
    return dataclasses.replace(plain, samples=tuple(samples)), boxes


def answered(parent: Checkpoint, parts: Dataset) -> list[Judged]:
    """What an operator says who knows the truth."""
    shortcut = Shortcut(parts, Character(), FeedbackPlan(), seed=0)
    shortcut.round(Predictor(parent.detector).answer)
    pictures = {sample.name: sample.picture.read() for sample in parts}
    return [Judged(record, pictures[record.frame.part_id], parent.detector.head) for record in shortcut.records()]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network learns something else with every number of threads; the figures below are one's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def original() -> Dataset:
    return squares(72, seed=1)


@pytest.fixture(scope="module")
def parent(original: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    network = tiny(backbone=BackboneConfig(stem=4, widths=(8, 16), blocks=(0, 1)))
    config = quick(
        network, steps=150, batch=8, crop=CropConfig(side=64), optimiser=OptimiserConfig(average=0.97), seed=0
    )
    return load(train(config, original, None, tmp_path_factory.mktemp("parent")))


@pytest.fixture(scope="module")
def judged(parent: Checkpoint) -> list[Judged]:
    return answered(parent, marked(56, seed=5)[0])


@pytest.fixture(scope="module")
def outcome(parent: Checkpoint, judged: list[Judged], original: Dataset) -> Outcome:
    return quick_fix(parent, judged, original, CONFIG)


def alarms(predictor: Predictor, parts: Dataset, boxes: dict[str, Boxes]) -> tuple[int, float]:
    """False alarms on the pattern, and recall."""
    count = found = defects = 0
    for sample in parts:
        raised = predictor.deployed(sample.picture.read())
        outcome = match(raised, sample.boxes, sample.classes)
        found += int(outcome.met.sum())
        defects += len(sample.boxes)
        if len(raised):
            count += int(((iou(raised.boxes, boxes[sample.name])[:, 0] >= 0.1) & ~outcome.right).sum())
    return count, found / defects


def test_the_pattern_falls_silent_on_parts_nobody_has_seen_and_defects_are_still_found(
    parent: Checkpoint, outcome: Outcome
) -> None:
    assert outcome.failures == ()
    parts, boxes = marked(80, seed=77)
    before, recall = alarms(Predictor(parent.detector), parts, boxes)
    after, recall_now = alarms(Predictor(outcome.child), parts, boxes)
    assert before >= 20
    assert after <= 0.2 * before
    assert recall_now >= recall - 0.03


def test_a_pattern_that_the_network_cannot_tell_from_a_defect_is_refused(parent: Checkpoint, original: Dataset) -> None:
    with pytest.raises(NoPatternError, match="cannot be told from confirmed defects"):
        quick_fix(parent, answered(parent, marked(24, seed=5, draw=notched)[0]), original, CONFIG)


def test_it_says_what_it_found_and_what_it_was_checked_by(outcome: Outcome) -> None:
    found = outcome.found
    assert len(found.taught) + len(found.checked) == len(found.pattern.members)
    assert found.classes.get("dark", 0) >= 15
    assert outcome.check.before.examples == len(found.checked) >= 4
    taught = {outcome.clicks.frames[item.frame].part for item in found.taught}
    assert not taught & {outcome.clicks.frames[item.frame].part for item in found.checked}


def test_answers_away_from_the_pattern_stay_what_they_were(
    parent: Checkpoint, outcome: Outcome, original: Dataset
) -> None:
    def scores(checkpoint_detector: torch.nn.Module) -> torch.Tensor:
        pictures = np.stack([sample.picture.read() for sample in squares(60, seed=21)])
        with torch.no_grad():
            return torch.sigmoid(checkpoint_detector(torch.from_numpy(pictures)[:, None].float()).logits)

    old, new = scores(parent.detector), scores(outcome.child)
    change = (new - old).abs()
    assert float(change.mean()) < 0.01
    assert float((change > 0.2).float().mean()) < 0.005


def test_the_mended_network_exports_to_the_same_graph(parent: Checkpoint, outcome: Outcome) -> None:
    def operations(detector: torch.nn.Module) -> list[tuple[str, list[str], list[str]]]:
        model = onnx.load_model_from_string(to_onnx(DeployedGraph(detector, top_k=20)))  # type: ignore[arg-type]
        return [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node]

    assert operations(outcome.child) == operations(parent.detector)


def test_the_checkpoint_names_the_clicks_it_learned_from(
    parent: Checkpoint, outcome: Outcome, original: Dataset, tmp_path: Path
) -> None:
    parent = Checkpoint(parent.detector, dataclasses.replace(parent.metadata, thresholds={"dark": 0.45}))
    path = write(outcome, parent, original, CONFIG, tmp_path, parent_digest="sha256:" + "2" * 64)
    metadata = load(path).metadata
    taught = sorted({event for item in outcome.found.taught for event in item.events})
    assert metadata.recipe == "quickfix"
    assert metadata.training["clicks"] == taught
    assert not set(metadata.training["clicks_kept_back"]) & set(taught)
    assert metadata.lineage.parent_digest == "sha256:" + "2" * 64
    assert metadata.lineage.feedback_events == len(taught)
    assert metadata.lineage.last_log_sequence == taught[-1]
    assert metadata.lineage.data_digest == original.digest()
    assert metadata.thresholds == {"dark": 0.45}
    assert metadata.config == parent.metadata.config
    json.dumps(metadata.to_json())


def test_the_same_clicks_give_the_same_weights(parent: Checkpoint, judged: list[Judged], original: Dataset) -> None:
    few = dataclasses.replace(CONFIG, fix=dataclasses.replace(FIX, steps=5))
    first, second = (quick_fix(parent, judged, original, few).child.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_that_does_not_raise_the_pattern_itself_is_told(
    parent: Checkpoint, judged: list[Judged], original: Dataset
) -> None:
    strict = Checkpoint(
        parent.detector, dataclasses.replace(parent.metadata, thresholds=dict.fromkeys(original.classes, 0.999))
    )
    with pytest.raises(NoPatternError, match="this model raises only 0 itself"):
        quick_fix(strict, judged, original, CONFIG)


def test_a_fix_that_was_given_no_time_to_learn_does_not_pass(
    parent: Checkpoint, judged: list[Judged], original: Dataset
) -> None:
    lame = dataclasses.replace(
        CONFIG, fix=dataclasses.replace(FIX, steps=1, learning_rate=1e-9), limits=Limits(silenced=0.8)
    )
    (reason,) = quick_fix(parent, judged, original, lame).failures
    assert "kept-back examples still fire: 0% fell silent" in reason


def data_folder(folder: Path, data: Dataset) -> Path:
    """The same pictures in the YOLO layout."""
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(data.classes))
    for sample in data:
        pixels = sample.picture.read()
        (folder / "images" / f"{sample.name}.png").write_bytes(encode_png(pixels))
        side = pixels.shape[0]
        lines = [
            f"{kind} {(x1 + x2) / 2 / side} {(y1 + y2) / 2 / side} {(x2 - x1) / side} {(y2 - y1) / side}"
            for (x1, y1, x2, y2), kind in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True)
        ]
        (folder / "labels" / f"{sample.name}.txt").write_text("\n".join(lines))
    return folder


def station_log(root: Path, judged: list[Judged], parent: Checkpoint, most: int) -> Path:
    """A real station's log with the same frames, detections and answers."""
    with MentoringLog(root / "log", settings(), lambda event, sequence: None) as log:
        # The log knows a model with the same head, so areas are taken as they are.
        plain = make_anchor_package(root / "plain")
        manifest = plain.manifest
        write_head(parent.detector.head, manifest, top_k=8)
        files = {entry.name: plain.read(entry.name) for entry in plain.manifest.files}
        del manifest.files[:]
        package = write_package(root / "served", manifest, files)
        log.model_seen(package)
        for number, item in enumerate(judged[:most]):
            shown = dataclasses.replace(frame(frame_id=new_frame_id(), seed=number, side=64), pixels=item.pixels)
            answer = dataclasses.replace(
                inspection(shown),
                detections=tuple(
                    Detection(
                        detection_id=detection_id(shown.frame_id, place),
                        class_index=detection.class_index,
                        class_name=detection.class_name,
                        score=detection.score,
                        box=detection.box,
                        areas=detection.areas,
                    )
                    for place, detection in enumerate(item.record.detections)
                ),
                model=ModelIdentity(name="tiles", version="1.0.0", digest=package.digest),
            )
            assert log.keep(shown, answer, CHOSEN)
            said = {judgement.detection_id: judgement for judgement in item.record.judgements}
            for place, detection in enumerate(item.record.detections):
                judgement = said[detection.detection_id]
                words = feedback(shown.frame_id, place, judgement.gesture, class_name=judgement.class_name or "")
                log.submit(draft_of(words)).result(30)
    return root / "log"


def test_one_command_from_a_stations_log_to_a_checkpoint(
    parent: Checkpoint, judged: list[Judged], original: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "parent", parent.detector, parent.metadata)
    data = data_folder(tmp_path / "data", original)
    log = station_log(tmp_path / "station", judged, parent, len(judged))
    arguments = ["quickfix", "--parent", str(tmp_path / "parent"), "--log", str(log), "--data", f"yolo:{data}"]
    limits = ["--steps", "150", "--recall-fall", "0.05"]
    assert main([*arguments, *limits, "--out", str(tmp_path / "out"), "--progress", "json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["pattern"]["examples"] >= 15
    assert printed["check"]["before"]["firing"] >= 4
    assert printed["checkpoint"] == str(tmp_path / "out" / "checkpoint.safetensors")
    metadata = load(tmp_path / "out").metadata
    assert metadata.training["parent_checkpoint"].startswith("sha256:")
    # Clicks are named by the log's own numbers.
    events = [event for item in judged for judgement in item.record.judgements for event in judgement.events]
    assert 1 <= min(metadata.training["clicks"]) <= max(metadata.training["clicks"]) <= max(events)


def test_what_does_not_pass_is_not_written_unless_it_is_forced(
    parent: Checkpoint, judged: list[Judged], original: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "parent", parent.detector, parent.metadata)
    data = data_folder(tmp_path / "data", original)
    log = station_log(tmp_path / "station", judged, parent, len(judged))
    arguments = ["quickfix", "--parent", str(tmp_path / "parent"), "--log", str(log), "--data", f"yolo:{data}"]
    # All of it is spent before learning begins: ten steps are all that is done.
    arguments += ["--seconds", "0.1", "--progress", "none", "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "still fire" in error
    assert "nothing was written" in error
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--force"]) == 1
    assert load(tmp_path / "out").metadata.figures["quickfix"]["failures"]


def test_too_few_rejections_are_one_line_and_exit_code_2(
    parent: Checkpoint, judged: list[Judged], original: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "parent", parent.detector, parent.metadata)
    data = data_folder(tmp_path / "data", original)
    log = station_log(tmp_path / "station", judged, parent, 4)
    arguments = ["quickfix", "--parent", str(tmp_path / "parent"), "--log", str(log), "--data", f"yolo:{data}"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--progress", "none"]) == 2
    error = capsys.readouterr().err
    assert "a quick fix needs 10 of one pattern" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
