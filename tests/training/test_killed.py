"""A training that is killed in its middle and resumed ends with the very weights it would have had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from support.lessons import pcb_folder

from training.checkpoint import load
from training.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    data = f"deeppcb:{pcb_folder(tmp_path / 'pcb')}"
    words = ["train", "--data", data, "--size", "64", "--steps", "34", "--batch", "4", "--threads", "1"]
    words += ["--save-every", "8", "--budget-seconds", "10000", "--progress", "json"]
    broken = tmp_path / "broken"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto")])}
    with subprocess.Popen(
        [sys.executable, "-m", "training", *words, "--out", str(broken)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["stage"] == "training":
                process.kill()
                break
    assert process.returncode < 0
    assert not (broken / "checkpoint.safetensors").exists()
    assert (broken / "state.safetensors").is_file()
    assert main([*words, "--out", str(broken), "--resume"]) == 0
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    resumed, whole = (load(folder) for folder in (broken, tmp_path / "whole"))
    theirs = resumed.detector.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in whole.detector.state_dict().items())
    steps = [json.loads(line)["done"] for line in (broken / "history.jsonl").read_text().splitlines()]
    assert steps == [20, 34]
    assert resumed.metadata.figures["run"]["steps"] == 34
