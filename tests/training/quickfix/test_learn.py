"""The change itself: both losses by hand, and what may and may not move."""

from __future__ import annotations

import math

import pytest
import torch
from support.lessons import lesson, squares, tiny

from training.data.augment import AugmentConfig
from training.data.batches import Batch, Sampler
from training.data.crops import CropConfig
from training.data.prepared import annotate_all
from training.losses.classification import ABSENT
from training.models.config import BackboneConfig
from training.models.detector import Detector, RawOutput
from training.quickfix.learn import MOVES, FixConfig, Mender, forget, keep, mend


def logits(*rows: list[float]) -> torch.Tensor:
    """One picture, a row an area."""
    return torch.tensor([rows], requires_grad=True)


def chosen(*areas: bool) -> torch.Tensor:
    return torch.tensor([areas])


def test_the_pattern_is_pushed_to_silence_in_every_class_and_nothing_else_is() -> None:
    given = logits([0.0, 0.0], [3.0, -1.0])
    loss = forget(given, chosen(True, False), gamma=0.0)
    # -log(1 - 1/2) twice, over one area.
    assert float(loss.detach()) == pytest.approx(2 * math.log(2))
    loss.backward()  # type: ignore[no-untyped-call]
    # The gradient of softplus is p.
    assert given.grad is not None
    assert given.grad.tolist() == [[[0.5, 0.5], [0.0, 0.0]]]


def test_an_area_that_is_silent_enough_hardly_pulls() -> None:
    pulls = []
    for gamma in (0.0, 2.0):
        given = logits([-3.0])
        forget(given, chosen(True), gamma=gamma).backward()  # type: ignore[no-untyped-call]
        assert given.grad is not None
        pulls.append(float(given.grad))
    assert pulls[1] < pulls[0] / 50


def test_without_a_pattern_in_the_batch_there_is_no_loss_and_no_nan() -> None:
    given = logits([5.0], [0.0])
    loss = forget(given, chosen(False, False), gamma=0.5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert given.grad is not None
    assert not given.grad.any()


def test_keeping_is_the_distance_from_the_parents_scores() -> None:
    old = RawOutput(torch.tensor([[[0.0], [0.0]]]), None)
    new = logits([math.log(3)], [7.0])
    loss = keep(RawOutput(new, None), old, chosen(True, False))
    # KL(1/2 || 3/4) = 1/2 log(2/3) + 1/2 log(2); the parent's highest scores sum to 1/2, at least 1 is taken.
    assert float(loss.detach()) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2), abs=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    # p - s on the kept area, exactly nothing on the other.
    assert new.grad is not None
    assert new.grad.flatten().tolist() == pytest.approx([0.25, 0.0])
    assert float(new.grad[0, 1]) == 0.0


def test_equal_answers_cost_nothing_whatever_they_are() -> None:
    answer = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0)) * 4
    boxes = torch.tensor([[[0.0, 0.0, 8.0, 8.0]] * 6] * 2)
    same = RawOutput(answer, boxes)
    assert float(keep(same, same, torch.ones(2, 6, dtype=torch.bool))) == pytest.approx(0, abs=1e-6)


def test_a_box_that_moves_costs_as_much_as_its_area_fires() -> None:
    def moved(logit: float) -> float:
        answer = torch.full((1, 1, 1), logit)
        boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]])
        return float(keep(RawOutput(answer, boxes + 2.0), RawOutput(answer, boxes), chosen(True)))

    # Four sides by 2 / 10 of the anchor: smooth L1 with beta 0.1 is 0.2 - 0.05 each, times the score, 4 / 5.
    assert moved(math.log(4)) == pytest.approx(0.8 * 4 * 0.15, abs=1e-5)
    assert moved(-20.0) == pytest.approx(0, abs=1e-6)


def parent(head: str = "anchors", **changes: object) -> Detector:
    torch.manual_seed(3)
    made = Detector(tiny(head, **changes))
    torch.nn.init.normal_(made.classify.weight, std=0.5)
    return made.eval()


def batches(network: Detector) -> Sampler:
    pattern = lesson(network.config, {(9, kind): ABSENT for kind in range(2)}, grey=90)
    return Sampler(
        network.config,
        annotate_all(squares(8), network.config),
        (pattern,),
        size=4,
        seed=0,
        crop=CropConfig(side=32),
        augment=AugmentConfig(),
    )


def batch(network: Detector) -> Batch:
    return batches(network).batch(0)


@pytest.mark.parametrize("head", ["anchors", "cells"])
@pytest.mark.parametrize("moves", MOVES)
def test_only_what_may_move_moves_and_statistics_never_do(head: str, moves: str) -> None:
    before = parent(head)
    child, steps = mend(before, batches(before).batch, FixConfig(moves=moves, steps=3, learning_rate=0.1))
    assert steps == 3
    old, new = before.state_dict(), child.state_dict()
    changed = {name for name, value in new.items() if not torch.equal(value, old[name])}
    assert changed
    assert not any("running" in name or "num_batches" in name for name in changed)
    free = {
        "classifier": ("classify.",),
        "block": ("classify.", "locate.", "backbone.layers.2."),
        "network": ("classify.", "locate.", "backbone."),
    }
    assert all(name.startswith(free[moves]) for name in changed)
    assert not child.training


def test_a_backbone_that_joins_several_maps_moves_where_it_joins_them() -> None:
    before = parent(backbone=BackboneConfig(stem=4, widths=(8, 16), blocks=(0, 0), context=((16, 0),)))
    child, _ = mend(before, batches(before).batch, FixConfig(moves="block", steps=2, learning_rate=0.1))
    old = before.state_dict()
    changed = {name for name, value in child.state_dict().items() if not torch.equal(value, old[name])}
    assert any(name.startswith("backbone.merge.smooth.") for name in changed)
    assert all(name.startswith(("classify.", "locate.", "backbone.merge.smooth.")) for name in changed)


def test_a_clicked_area_and_those_beside_it_are_not_held_to_the_parent() -> None:
    network = parent()
    mender = Mender(network, FixConfig())
    drawn = batch(network)
    with torch.no_grad():
        mender.child.classify.bias.add_(2.0)
    _, whole = mender.losses(drawn)
    everything = drawn.new[:, None].expand_as(drawn.spoken)
    _, old_only = mender.losses(
        Batch(
            images=drawn.images,
            states=torch.full_like(drawn.states, -1),
            spoken=everything,
            targets=drawn.targets,
            taught=drawn.taught,
            new=drawn.new,
            unlit=drawn.unlit,
        )
    )
    # With every area of the new pictures beside the pattern, only the original half is left to be held.
    assert 0 < float(old_only.detach()) != float(whole.detach())


def test_a_limit_of_time_leaves_steps_out() -> None:
    network = parent()
    ticks = iter(range(10_000))
    _, steps = mend(
        network, batches(network).batch, FixConfig(steps=100), seconds=3.0, clock=lambda: float(next(ticks))
    )
    # The clock says one second for the first ten steps: three times that fit.
    assert steps == 30


def test_weights_that_became_no_number_are_never_given_back() -> None:
    network = parent()
    with torch.no_grad():
        network.classify.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="no number at step 1"):
        mend(network, batches(network).batch, FixConfig(steps=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"moves": "all"}, "classifier, block, network"), ({"batch": 3}, "even number"), ({"keep": -1.0}, "keep")],
)
def test_impossible_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FixConfig(**changes)  # type: ignore[arg-type]
