"""Auxiliary losses: added to the objective, trained and averaged with it, and resumed bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.lessons import lessons, quick, squares, tiny
from torch import nn

from training.auxiliary import Context
from training.checkpoint import load
from training.config import TrainConfig
from training.loop import RunOptions, train
from training.models.detector import Detector


class Domains(nn.Module):
    """Tells the domains apart by the mean feature, and keeps a running average of the network's bias."""

    shadow: torch.Tensor

    def __init__(self, name: str = "domains", *, weight: float = 1.0, width: int = 16) -> None:
        super().__init__()
        self.name = name
        self.weight = weight
        generator = torch.Generator().manual_seed(1)
        self.layer = nn.Linear(width, 1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn((1, width), generator=generator))
            self.layer.bias.zero_()
        self.register_buffer("shadow", torch.zeros(6))
        self.seen: list[tuple[int, int]] = []

    def loss(self, context: Context) -> torch.Tensor:
        self.seen.append((context.step, context.steps))
        logits = self.layer(context.features.float().mean(dim=(2, 3)))[:, 0]
        return self.weight * nn.functional.binary_cross_entropy_with_logits(logits, context.batch.new.float())

    def after_step(self, network: Detector, step: int) -> None:
        self.shadow.lerp_(network.classify.bias.detach(), 0.5)


def config(**changes: object) -> TrainConfig:
    return quick(tiny(), new_labels="mentored", recipe="mentored", steps=8, **changes)


def run(folder: Path, *auxiliaries: Domains, options: RunOptions | None = None) -> dict[str, torch.Tensor]:
    settings = config()
    path = train(
        settings,
        squares(),
        lessons(settings.detector),
        folder,
        auxiliaries=auxiliaries,
        options=options or RunOptions(),
    )
    return load(path).detector.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_an_auxiliary_loss_moves_the_network_its_own_weights_and_is_told_the_step(tmp_path: Path) -> None:
    judge = Domains()
    before = judge.layer.weight.detach().clone()
    with_it = run(tmp_path / "with", judge)
    without = run(tmp_path / "without")
    assert not equal(with_it, without)
    assert not torch.equal(judge.layer.weight, before)
    assert judge.seen == [(step, 8) for step in range(8)]
    assert judge.shadow.abs().sum() > 0


def test_an_auxiliary_loss_of_weight_nought_changes_no_weight_of_the_network(tmp_path: Path) -> None:
    assert equal(run(tmp_path / "with", Domains(weight=0.0)), run(tmp_path / "without"))


def test_a_resumed_run_with_an_auxiliary_loss_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole, broken, fresh = Domains(), Domains(), Domains()
    uninterrupted = run(tmp_path / "whole", whole)
    run(tmp_path / "broken", broken, options=RunOptions(save_every=3, stop_after=5))
    resumed = run(tmp_path / "broken", fresh, options=RunOptions(save_every=3, resume=True))
    assert equal(uninterrupted, resumed)
    assert equal(whole.state_dict(), fresh.state_dict())


def test_auxiliary_losses_are_in_the_history_by_name(tmp_path: Path) -> None:
    run(tmp_path, Domains("first"), Domains("second", weight=2.0))
    line = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert set(line["loss_auxiliary"]) == {"first", "second"}
    parts = line["loss_original"] + line["loss_new"] + sum(line["loss_auxiliary"].values())
    assert line["loss"] == pytest.approx(parts, rel=1e-5)


def test_two_auxiliary_losses_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each name once"):
        run(tmp_path, Domains(), Domains())
