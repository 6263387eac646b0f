"""Several processes, started by torchrun, learn what one would; only the first writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import together
from support.lessons import pcb_folder, quick, squares, tiny
from torch import nn

from training.checkpoint import load, load_metadata
from training.cli import main
from training.loop import RunOptions, train
from training.models.detector import Detector
from training.models.joint_norm import count_jointly
from training.processes import ALONE, Processes, Share, announced

ROOT = Path(__file__).resolve().parents[2]

# One worker runs them all, so that what they share is made once.
pytestmark = pytest.mark.xdist_group("processes")

MOVED = 1e-3
"""Tolerance: how far the weights of two processes may be from those of one, as a share of how far training moved them.
Sums in another order differ in the seventh digit, and Adam divides by gradients that may be as small."""


def torchrun(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto")]),
    }
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a script that two processes went through."""
    folder = tmp_path_factory.mktemp("two")
    done = torchrun(str(ROOT / "tests" / "support" / "together.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def whole(values: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.detach().double().flatten() for value in values])


def history(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", ["baseline", "everything", "by_chance"])
def test_the_gradient_of_two_shares_is_that_of_the_whole_batch(two: Path, case: str) -> None:
    found = safetensors.torch.load_file(two / "0" / case / "gradients.safetensors")
    expected = together.gradients(together.cases()[case])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Of the largest entry: single ones are differences of sums that nearly cancel.
        limit = 1e-4 * float(value.abs().max()) + 1e-7
        torch.testing.assert_close(
            found[name], value, atol=limit, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_the_gradient_reaches_the_domain_judge_too(two: Path) -> None:
    found = safetensors.torch.load_file(two / "0" / "everything" / "gradients.safetensors")
    judge = [value for name, value in found.items() if name.startswith("dann.")]
    assert len(judge) == 6
    assert all(value.abs().max() > 0 for value in judge)


@pytest.mark.parametrize("case", ["baseline", "everything", "by_chance"])
def test_two_processes_end_where_one_does(two: Path, tmp_path: Path, case: str) -> None:
    config = together.cases()[case]
    one = load(together.trained(config, tmp_path))
    both = load(two / "0" / case)
    start = together.parent_of(config).detector
    if not config.from_parent:
        torch.manual_seed(config.seed)
        start = Detector(config.detector)
    begin, end, other = (whole(item.parameters()) for item in (start, one.detector, both.detector))
    assert (other - end).norm() < MOVED * (end - begin).norm()
    ended, others = (dict(item.named_buffers()) for item in (one.detector, both.detector))
    for name, value in ended.items():
        torch.testing.assert_close(others[name], value, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(history(tmp_path), history(two / "0" / case), strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-4)
        assert theirs["loss_auxiliary"] == pytest.approx(mine["loss_auxiliary"], rel=1e-4)
        assert theirs["watched"] == pytest.approx(mine["watched"], abs=0.01)
    assert both.metadata.figures["run"]["processes"] == 2
    assert both.metadata.lineage == one.metadata.lineage


def test_only_the_first_process_writes(two: Path) -> None:
    assert (two / "0" / "everything" / "checkpoint.safetensors").is_file()
    assert not (two / "1").exists()


def test_a_joint_batch_norm_counts_the_pictures_of_all_processes(two: Path) -> None:
    norm, images, wishes = together.norm_case()
    expected = together.normed(norm, images, wishes)
    first, second = (safetensors.torch.load_file(two / "0" / f"norm{number}.safetensors") for number in (0, 1))
    for name in ("answer", "grad"):
        torch.testing.assert_close(torch.cat([first[name], second[name]]), expected[name], atol=1e-5, rtol=1e-4)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(first[name], expected[name], atol=1e-5, rtol=1e-5)
        assert torch.equal(first[name], second[name])
    for name in ("grad.weight", "grad.bias"):
        torch.testing.assert_close(first[name] + second[name], expected[name], atol=1e-4, rtol=1e-4)


def test_a_state_that_only_the_first_process_has_is_resumed_by_both(two: Path) -> None:
    uninterrupted, resumed = (load(two / "0" / name).detector.state_dict() for name in ("everything", "resumed"))
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)


def test_a_time_budget_is_decided_by_the_first_process(two: Path) -> None:
    assert load_metadata(two / "0" / "budget").figures["run"]["steps"] == together.STEPS


def test_all_processes_stop_when_the_loss_is_no_number(two: Path) -> None:
    assert (two / "diverged0").exists()
    assert (two / "diverged1").exists()
    assert not (two / "0" / "wild" / "checkpoint.safetensors").exists()


def test_the_command_line_is_the_same_under_torchrun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"deeppcb:{pcb_folder(tmp_path / 'pcb')}"
    words = ["train", "--data", data, "--size", "64", "--steps", "4", "--batch", "4", "--progress", "json"]
    done = torchrun("-m", "training", *words, "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    said = [[json.loads(line) for line in text.splitlines()] for text in (done.stdout, capsys.readouterr().out)]
    assert [line["stage"] for line in said[0]] == ["pictures", "training", "done"]
    assert said[0][1]["loss"] == pytest.approx(said[1][1]["loss"], rel=1e-3)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["checkpoint.safetensors", "history.jsonl"]
    one, both = (load_metadata(tmp_path / name) for name in ("one", "two"))
    assert both.training == one.training
    assert both.lineage == one.lineage


def test_more_processes_than_pictures_are_refused(tmp_path: Path) -> None:
    many = Processes(share=Share(rank=0, count=5))
    with pytest.raises(ValueError, match="batch is 4 for 5 processes"):
        train(quick(tiny()), squares(), None, tmp_path, options=RunOptions(processes=many))


@given(size=st.integers(1, 40), count=st.integers(1, 9))
def test_shares_are_the_batch_and_differ_by_a_picture_at_most(size: int, count: int) -> None:
    shares = [list(range(size))[Share(rank=rank, count=count).chosen] for rank in range(count)]
    assert sorted(number for share in shares for number in share) == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_torchrun_announces_is_believed_or_named() -> None:
    assert announced({}) == ALONE
    assert announced({"WORLD_SIZE": "1"}) == ALONE
    said = {"WORLD_SIZE": "3", "RANK": "2", "LOCAL_RANK": "0"}
    assert announced(said) == Processes(share=Share(rank=2, count=3))
    with pytest.raises(ValueError, match="start several processes with torchrun"):
        announced({"WORLD_SIZE": "3"})
    with pytest.raises(ValueError, match="process 3 of 3"):
        announced({**said, "RANK": "3"})


def test_norms_become_joint_without_new_names_or_weights() -> None:
    for kind, expected in (("cpu", "JointBatchNorm2d"), ("cuda", "SyncBatchNorm")):
        detector = Detector(tiny())
        before = {name: value.data_ptr() for name, value in detector.named_parameters()}
        names = set(detector.state_dict())
        count_jointly(detector, torch.device(kind))
        assert {name: value.data_ptr() for name, value in detector.named_parameters()} == before
        assert set(detector.state_dict()) == names
        norms = [
            type(part).__name__ for part in detector.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
        ]
        assert set(norms) == {expected}


def test_a_norm_that_nobody_made_joint_is_refused() -> None:
    for norm in (nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False)):
        with pytest.raises(TypeError, match="train with one process"):
            count_jointly(nn.Sequential(norm), torch.device("cpu"))
