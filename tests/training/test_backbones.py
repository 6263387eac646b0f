"""Backbones from small to strong: the same areas, the same answers near a defect, and each of them can be deployed."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.lessons import pcb_folder, quick, squares, tiny

from export.graph import DeployedGraph
from export.parity import in_onnxruntime, in_torch
from export.to_onnx import to_onnx
from training.checkpoint import load_metadata
from training.cli import main
from training.extras import MissingExtraError
from training.loop import train
from training.models import BackboneConfig, Detector, DetectorConfig
from training.models.backbone import TopDown
from training.models.config import TimmConfig
from training.models.presets import PRESETS, USUAL, backbone_named, name_of

CONTEXT = BackboneConfig(stem=4, widths=(8, 16), blocks=(0, 1), context=((16, 1), (24, 0)))
"""As the strong ones are made, with few channels."""


def plain(backbone: BackboneConfig | TimmConfig, head: str = "anchors") -> DetectorConfig:
    return DetectorConfig(classes=("dark", "bright"), head=head, width=96, height=64, backbone=backbone)


def test_the_usual_backbone_is_the_one_of_a_config_that_names_none() -> None:
    assert PRESETS[USUAL] == BackboneConfig() == DetectorConfig(classes=("a",)).backbone
    assert backbone_named("medium") == PRESETS["medium"]
    assert [name_of(preset) for preset in PRESETS.values()] == list(PRESETS)
    assert name_of(CONTEXT) == "own"
    assert name_of(backbone_named("timm:resnet18")) == "timm:resnet18"


def test_presets_grow_in_their_order() -> None:
    weights = [sum(value.numel() for value in Detector(plain(preset)).parameters()) for preset in PRESETS.values()]
    assert weights == sorted(weights)
    assert weights[0] < 200_000
    assert weights[-1] > 20 * weights[0]


def test_a_checkpoint_from_before_backbones_had_names_is_read_unchanged() -> None:
    # Literally what the first checkpoints say, and the names of their weights.
    old = json.loads('{"classes": ["a"], "backbone": {"stem": 4, "widths": [32, 64], "blocks": [1, 2]}}')
    config = DetectorConfig.from_json(old)
    assert config.backbone == BackboneConfig(stem=4, widths=(32, 64), blocks=(1, 2), context=())
    names = {name for name in Detector(config).state_dict() if not name.endswith("num_batches_tracked")}
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {"mean", "deviation", "classify.weight", "classify.bias", "locate.weight", "locate.bias"}
    for entry in ("1", "3"):
        expected |= {f"backbone.layers.{entry}.0.weight", *(f"backbone.layers.{entry}.1.{part}" for part in norm)}
    for block in ("2", "4", "5"):
        expected |= {f"backbone.layers.{block}.{part}" for part in ("first.0.weight", "second.weight")}
        expected |= {f"backbone.layers.{block}.{place}.{part}" for place in ("first.1", "norm") for part in norm}
    assert names == expected


@pytest.mark.parametrize("backbone", [CONTEXT, TimmConfig(timm="resnet18", width=64), *PRESETS.values()], ids=name_of)
def test_a_config_survives_its_json(backbone: BackboneConfig | TimmConfig) -> None:
    config = plain(backbone)
    assert DetectorConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 3}, "unknown keys depth"),
        ({"context": [[0, 1]]}, "backbone.context is"),
        ({"timm": "resnet18", "widths": [1]}, "unknown keys widths"),
        ({"timm": ""}, "backbone.timm is empty"),
        ({"timm": "resnet18", "stride": 6}, "expected a power of two"),
        ({"timm": "resnet18", "stride": 8, "coarsest": 4}, "expected at least the stride"),
    ],
)
def test_impossible_numbers_are_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectorConfig.from_json({"classes": ["a"], "backbone": values})


def test_a_name_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="expected one of small, medium, strong, or timm:NAME"):
        backbone_named("huge")


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_areas_do_not_depend_on_the_backbone(head: str) -> None:
    heads = [plain(preset, head).head_for(96, 64) for preset in PRESETS.values()]
    assert len({value.key for value in heads}) == 1
    assert heads[0] == plain(TimmConfig(timm="resnet18"), head).head_for(96, 64)


def test_coarse_maps_are_repeated_over_the_places_they_stand_for() -> None:
    # Laterals add nothing of their own, the smoothing passes its middle on: 3 x 3 places under a coarse map of 2 x 2.
    merge = TopDown([1, 1], 1).eval()
    with torch.no_grad():
        for lateral in merge.laterals:
            lateral.weight.fill_(1)  # type: ignore[union-attr]
            lateral.bias.zero_()  # type: ignore[union-attr]
        merge.smooth[0].weight.zero_()  # type: ignore[operator, union-attr]
        merge.smooth[0].weight[0, 0, 1, 1] = 1  # type: ignore[index]
        merge.smooth[1].eps = 0.0  # type: ignore[assignment]
        fine = torch.arange(9.0).reshape(1, 1, 3, 3)
        coarse = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]])
        merged = merge([fine, coarse])
    assert merged[0, 0].tolist() == [[10, 11, 22], [13, 14, 25], [36, 37, 48]]


@pytest.mark.parametrize("width", [64, 72, 80])
def test_a_crop_whose_coarse_maps_are_odd_has_every_place(width: int) -> None:
    network = Detector(plain(CONTEXT)).eval()
    images = torch.rand(1, 1, 40, width) * 255
    assert network.features(images).shape == (1, 16, 5, width // 8)
    assert network(images).logits.shape[1] == network.config.head_for(width, 40).count


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_place_answers_for_its_surroundings_and_not_for_the_whole_picture(name: str) -> None:
    # Training sees crops and a station whole frames: what lies far away must not matter, on any backbone.
    torch.manual_seed(0)
    network = Detector(DetectorConfig(classes=("a",), width=1024, height=32, backbone=PRESETS[name])).eval()
    quiet = torch.full((1, 1, 32, 1024), 100.0)
    changed = quiet.clone()
    changed[..., 1000:] = 255
    with torch.no_grad():
        moved = (network.features(changed) - network.features(quiet)).abs().amax(dim=(0, 1, 2))
    assert float(moved[-4:].max()) > 0
    assert float(moved[:40].max()) == 0


@pytest.mark.parametrize("name", ["medium", "strong"])
def test_a_preset_learns_in_every_weight(name: str) -> None:
    torch.manual_seed(0)
    network = Detector(plain(PRESETS[name])).train()
    output = network(torch.rand(2, 1, 32, 32) * 255)
    assert output.boxes is not None
    (output.logits.square().sum() + output.boxes.sum()).backward()
    silent = [
        key for key, value in network.named_parameters() if value.grad is None or not bool(value.grad.abs().sum() > 0)
    ]
    assert silent == []


def test_a_run_trains_with_context_and_its_checkpoint_says_so(tmp_path: Path) -> None:
    config = quick(tiny(backbone=CONTEXT), steps=2)
    path = train(config, squares(4), None, tmp_path)
    assert load_metadata(path).config.backbone == CONTEXT


def test_the_deployed_graph_of_the_strongest_says_what_the_network_says() -> None:
    # It has every operation that the others have.
    torch.manual_seed(0)
    network = Detector(plain(PRESETS["strong"]))
    torch.nn.init.normal_(network.classify.weight, std=0.3)
    graph = DeployedGraph(network, top_k=40)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 1), np.uint8)
    expected, seen = in_torch(graph)(images), in_onnxruntime(to_onnx(graph))(images)
    assert seen.keys() == expected.keys()
    for key in expected:
        if key in ("scores", "boxes"):
            np.testing.assert_allclose(seen[key], expected[key], atol=2e-3 if key == "boxes" else 2e-5)


SMALL = ["--size", "64", "--steps", "1", "--batch", "2", "--progress", "none"]


def test_the_command_takes_a_backbone_and_transfer_keeps_the_parents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"deeppcb:{pcb_folder(tmp_path / 'pcb')}"
    assert main(["train", "--data", data, "--backbone", "medium", "--out", str(tmp_path / "base"), *SMALL]) == 0
    assert load_metadata(tmp_path / "base").config.backbone == PRESETS["medium"]
    again = ["train", "--data", data, "--recipe", "full", "--parent", str(tmp_path / "base"), *SMALL]
    assert main([*again, "--backbone", "small", "--out", str(tmp_path / "next")]) == 2
    assert "backbone is small, the parent's is medium; transfer keeps the network" in capsys.readouterr().err
    assert main(["train", "--data", data, "--backbone", "big", "--out", str(tmp_path / "x"), *SMALL]) == 2
    assert "expected one of small, medium, strong, or timm:NAME" in capsys.readouterr().err


def test_without_timm_the_answer_is_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"backbone timm:resnet18 needs timm.*pip install timm torchvision"):
        Detector(plain(backbone_named("timm:resnet18")))


def test_a_timm_that_does_not_fit_this_pytorch_is_told_from_one_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What torchvision says when it was built for another PyTorch.
    (tmp_path / "timm.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(MissingExtraError, match="installed and does not import: operator torchvision::nms"):
        Detector(plain(backbone_named("timm:resnet18")))


def test_a_timm_backbone_has_our_areas_and_can_be_deployed() -> None:
    try:
        network = Detector(plain(dataclasses.replace(TimmConfig(timm="resnet18"), width=32)))
    except MissingExtraError as error:
        pytest.skip(str(error))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 1), np.uint8)
    torch.nn.init.normal_(network.classify.weight, std=0.3)
    graph = DeployedGraph(network, top_k=40)
    np.testing.assert_allclose(
        in_onnxruntime(to_onnx(graph))(images)["scores"], in_torch(graph)(images)["scores"], atol=2e-5
    )
    with pytest.raises(ValueError, match="no feature pyramid of 'resnet19'"):
        Detector(plain(backbone_named("timm:resnet19")))
