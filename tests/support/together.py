"""Runs that are made by one process and by several, to be compared; as a script it is what torchrun starts.

    python -m torch.distributed.run --standalone --nproc-per-node 2 tests/support/together.py FOLDER

Each process gets a folder of its own, FOLDER/RANK, so that a file written by any but the first is seen.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import distributed, nn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.lessons import lessons, quick, squares, tiny

from training.adapt.dann import DannConfig
from training.adapt.distil import DistilConfig
from training.adapt.teacher import TeacherConfig
from training.checkpoint import Checkpoint, Metadata
from training.config import TrainConfig
from training.device import CPU
from training.floor import FloorConfig
from training.learner import Learner
from training.loop import DivergedError, RunOptions, train
from training.material import Material
from training.models.detector import Detector
from training.models.joint_norm import count_jointly
from training.processes import ALONE, Processes, join, leave

STEPS = 6


def parent_of(config: TrainConfig) -> Checkpoint:
    """A network of the run's kind, with weights of its own."""
    torch.manual_seed(5)
    return Checkpoint(Detector(config.detector).eval(), Metadata(config=config.detector))


def cases() -> dict[str, TrainConfig]:
    """A baseline, and everything that a run can have at once: domain judge, soft answers, teacher, noise-aware loss,
    a floor; batches of which each of two processes gets another mixture of domains."""
    everything = quick(
        tiny(),
        recipe="everything",
        steps=STEPS,
        batch=6,
        new_labels="mentored",
        from_parent=True,
        dann=DannConfig(steepness=0.0),
        distil=DistilConfig(),
        teacher=TeacherConfig(start=0.0),
        floor=FloorConfig(every=3, share=0.25),
    )
    everything = dataclasses.replace(everything, objective=dataclasses.replace(everything.objective, robust=0.5))
    return {
        "baseline": quick(tiny("cells"), steps=STEPS),
        "everything": everything,
        "by_chance": quick(tiny(), steps=STEPS, batch=2, new_labels="mentored", balanced=False),
    }


def gradients(config: TrainConfig, processes: Processes = ALONE) -> dict[str, torch.Tensor]:
    """Of the first step, of the whole batch, by parameter."""
    parent = parent_of(config)
    material = Material.of(config, squares(16), lessons(config.detector), parent)
    learner = Learner(config, parent, processes=processes)
    batch = material.sampler(lambda _: None).batch(0, processes.share)
    total, _ = learner.losses(batch, 0, config.steps)
    (total * processes.share.count).backward()
    found = {f"network.{name}": value.grad for name, value in learner.network.named_parameters()}
    for auxiliary in learner.auxiliaries:
        found |= {f"{auxiliary.name}.{number}": value.grad for number, value in enumerate(auxiliary.parameters())}
    return {name: value.contiguous().clone() for name, value in found.items() if value is not None}


def trained(config: TrainConfig, out: Path, **options: object) -> Path:
    """The run itself."""
    return train(
        config,
        squares(16),
        lessons(config.detector),
        out,
        parent=parent_of(config),
        options=RunOptions(**options),  # type: ignore[arg-type]
    )


def normed(norm: nn.Module, images: torch.Tensor, wishes: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a batch norm answers, remembers and passes back."""
    images = images.clone().requires_grad_()
    answer = norm(images)
    (answer * wishes).sum().backward()
    assert images.grad is not None
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    own = {f"grad.{name}": value.grad.clone() for name, value in norm.named_parameters() if value.grad is not None}
    return {"answer": answer.detach(), "grad": images.grad, **state, **own}


def norm_case() -> tuple[nn.BatchNorm2d, torch.Tensor, torch.Tensor]:
    """A batch norm, four pictures of very different light, and a loss by weights."""
    generator = torch.Generator().manual_seed(3)
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(3, generator=generator) + 0.5)
        norm.bias.copy_(torch.rand(3, generator=generator))
    light = torch.tensor([0.0, 5.0, -3.0, 100.0]).view(4, 1, 1, 1)
    images = torch.randn((4, 3, 5, 7), generator=generator) + light
    return norm, images, torch.randn((4, 3, 5, 7), generator=generator)


def main(folder: Path) -> None:
    """One process's part; the first writes what is to be compared."""
    processes = join()
    rank = processes.share.rank
    out = folder / str(rank)
    for name, config in cases().items():
        found = gradients(config, processes)
        trained(config, out / name, processes=processes)
        if processes.first:
            safetensors.torch.save_file(found, out / name / "gradients.safetensors")
    # The first process has three of the pictures, the other one.
    norm, images, wishes = norm_case()
    holder = nn.Sequential(norm)
    count_jointly(holder, CPU)
    mine = slice(0, 3) if rank == 0 else slice(3, 4)
    kept = {name: value.contiguous() for name, value in normed(holder[0], images[mine], wishes[mine]).items()}
    told: list[dict[str, torch.Tensor]] = [{}] * processes.share.count
    distributed.all_gather_object(told, kept)
    if processes.first:
        for number, values in enumerate(told):
            safetensors.torch.save_file(values, out / f"norm{number}.safetensors")
    # A saved state lies with the first process alone.
    config = cases()["everything"]
    trained(config, out / "resumed", processes=processes, save_every=4, stop_after=4)
    trained(config, out / "resumed", processes=processes, save_every=4, resume=True)
    # By the first process's clock the budget is never spent; by the other's it is at once.
    ticks = iter(range(1000))
    trained(
        cases()["baseline"],
        out / "budget",
        processes=processes,
        budget_seconds=1000.0,
        clock=lambda: next(ticks) * (1.0 if processes.first else 1e6),
    )
    plain = cases()["baseline"]
    wild = dataclasses.replace(plain, steps=3, optimiser=dataclasses.replace(plain.optimiser, learning_rate=1e30))
    try:
        trained(wild, out / "wild", processes=processes)
    except DivergedError:
        (folder / f"diverged{rank}").touch()
    processes.wait()
    leave(processes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
