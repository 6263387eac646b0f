"""Which device a process takes, and that everything of a run moves there."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.lessons import lessons, quick, squares, tiny

from training.data.batches import Batch
from training.device import CPU, choose_device, uses_bfloat16
from training.learner import Learner
from training.material import Material


@pytest.mark.parametrize(
    ("name", "local_rank", "gpus", "device"),
    [
        ("auto", 0, 0, "cpu"),
        ("auto", 3, 0, "cpu"),
        ("auto", 0, 1, "cuda:0"),
        ("auto", 3, 4, "cuda:3"),
        ("cuda", 1, 2, "cuda:1"),
        ("cpu", 0, 8, "cpu"),
    ],
)
def test_a_process_takes_the_gpu_of_its_number_where_there_are_gpus(
    name: str, local_rank: int, gpus: int, device: str
) -> None:
    assert choose_device(name, local_rank=local_rank, gpus=gpus) == torch.device(device)


@pytest.mark.parametrize(("name", "local_rank", "gpus"), [("cuda", 0, 0), ("auto", 2, 2)])
def test_a_process_without_a_gpu_of_its_own_says_what_to_do(name: str, local_rank: int, gpus: int) -> None:
    with pytest.raises(ValueError, match="use --device cpu"):
        choose_device(name, local_rank=local_rank, gpus=gpus)


def test_an_unknown_device_is_answered_with_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="expected one of auto, cpu, cuda"):
        choose_device("tpu")


def test_a_precision_that_is_named_holds_on_any_device() -> None:
    assert uses_bfloat16("bfloat16", CPU)
    assert not uses_bfloat16("float32", torch.device("cuda", 0))


def whole_batch() -> Batch:
    config = quick(tiny(), new_labels="mentored")
    material = Material.of(config, squares(), lessons(config.detector), None)
    return material.sampler(lambda _: None).batch(0)


def test_a_batch_moves_whole() -> None:
    batch = whole_batch()
    assert batch.to(CPU) is batch
    moved = batch.to(torch.device("meta"))
    for field in dataclasses.fields(Batch):
        assert getattr(moved, field.name).device.type == "meta", field.name
        assert getattr(moved, field.name).shape == getattr(batch, field.name).shape


def test_all_that_is_learned_is_where_the_run_is() -> None:
    learner = Learner(quick(tiny()), None, device=CPU)
    assert {value.device.type for value in learner.tensors().values()} == {"cpu"}
    assert learner.network.classify.weight.is_contiguous(memory_format=torch.channels_last)
