"""Mentoring logs on the command line: several at once, the account, what is left out, and what cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.lessons import SIDE, pcb_folder, tiny
from support.mentored_line import Line
from support.mentoring import settings as log_settings

from edge.mentoring.log import MentoringLog
from lineside.pixels import encode_png
from lineside.records import Gesture
from training.checkpoint import load_metadata
from training.cli import main

SMALL = ["--steps", "2", "--batch", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in DeepPCB's layout, one of whose evaluation pictures a station has seen as well."""
    folder = pcb_folder(tmp_path_factory.mktemp("pcb"))
    for number, template in enumerate(sorted(folder.rglob("*_temp.png"))):  # plain grey is one picture in all sets
        noise = np.random.default_rng([number, 7]).integers(100, 156, (SIDE, SIDE), np.uint8)
        template.write_bytes(encode_png(noise))
    pixels = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE), np.uint8)
    seen = folder / "PCBData" / "group00001" / "00001" / "00001000_test.png"
    assert seen.is_file()
    seen.write_bytes(encode_png(pixels))
    return folder


@pytest.fixture(scope="module")
def baseline(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("baseline")
    assert main(["--data", f"deeppcb:{data}", "--size", "64", "--out", str(out), *SMALL, "--progress", "none"]) == 0
    return out / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two stations; ada and bob."""
    made = []
    for station, seeds in (("north", range(1, 4)), ("south", range(4, 6))):
        folder = tmp_path_factory.mktemp("logs") / station
        with MentoringLog(folder, log_settings(), lambda event, sequence: None) as log:
            line = Line(log, tiny())
            for seed in seeds:
                frame_id = line.keep([[60], [120]], seed=seed, station=station, class_name="open")
                line.say(frame_id, 0, Gesture.REJECT)
                line.say(frame_id, 1, Gesture.CONFIRM, operator="bob")
        made.append(folder)
    return made[0], made[1]


def train(data: Path, baseline: Path, out: Path, *more: str) -> int:
    return main(
        [
            "--recipe",
            "reliable",
            "--data",
            f"deeppcb:{data}",
            "--parent",
            str(baseline),
            "--out",
            str(out),
            *SMALL,
            *more,
        ]
    )


def test_two_logs_teach_and_their_account_is_shown_and_kept(
    data: Path, baseline: Path, logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    north, south = map(str, logs)
    assert train(data, baseline, tmp_path / "a", "--log", north, "--log", south, "--progress", "none") == 0
    shown = capsys.readouterr().out
    assert "its picture is in the evaluation too" in shown
    assert train(data, baseline, tmp_path / "b", "--log", south, "--log", north, "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lineage = load_metadata(tmp_path / "a").lineage
    assert lines[0] == {"stage": "account", "account": lineage.account}
    assert lineage.mentoring_digest == load_metadata(tmp_path / "b").lineage.mentoring_digest
    assert lineage.account["answers"] == {
        "read": 10,
        "used": 8,
        "skipped": {"its picture is in the evaluation too": 2},
        "disputed": {},
    }
    assert (lineage.feedback_events, set(lineage.account["stations"])) == (8, {"north", "south"})
    assert lineage.account["operators"]["bob"]["mean"] == pytest.approx(0.9)
    assert len(lineage.seen["pictures"]) == 8 + 4


def test_operators_and_stretches_are_left_out_on_request(
    data: Path, baseline: Path, logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--log", str(logs[0]), "--log", str(logs[1]), "--progress", "none"]
    rules = ["--without-operator", "bob", "--without", "station=south,sequences=1-2"]
    assert train(data, baseline, tmp_path, *both, *rules) == 0
    account = load_metadata(tmp_path).lineage.account
    assert account["answers"]["skipped"]["left out on request: operator bob"] == 5
    assert account["answers"]["skipped"]["left out on request: station south, sequences 1-2"] == 1
    assert train(data, baseline, tmp_path, *both, "--without", "everybody") == 2
    assert "operator=bob" in capsys.readouterr().err


def test_a_damaged_log_is_one_line_that_says_what_to_do_and_can_be_rescued(
    data: Path,
    baseline: Path,
    logs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = Path(shutil.copytree(logs[0], tmp_path / "damaged"))
    whole = (damaged / "log.sqlite").read_bytes()
    (damaged / "log.sqlite").write_bytes(whole[: -len(whole) // 8])
    assert train(data, baseline, tmp_path / "out", "--log", str(damaged), "--progress", "none") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"lineside train rescue {damaged} NEW" in error
    assert main(["rescue", str(damaged), str(tmp_path / "rescued")]) == 0
    assert "feedback" in capsys.readouterr().out
    assert main(["rescue", str(damaged), str(tmp_path / "rescued")]) == 2
    assert train(data, baseline, tmp_path / "out", "--progress", "none") == 2
    assert "--log" in capsys.readouterr().err


def test_figures_on_pictures_that_were_trained_on_come_with_a_warning(
    data: Path, baseline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["evaluate", str(baseline), "--data", f"deeppcb:{data}", "--progress", "none"]) == 0
    assert "flatter" not in caplog.text
    original = data / "PCBData" / "group00000" / "00000"
    held = data / "PCBData" / "group00001" / "00001"
    shutil.copyfile(original / "00000000_test.png", held / "00001001_test.png")
    assert main(["evaluate", str(baseline), "--data", f"deeppcb:{data}", "--progress", "none"]) == 0
    assert "original: 1 of 8 pictures were trained on; its figures flatter the model" in caplog.text


def test_a_model_is_trained_anew_without_an_operator_and_says_what_moved(
    data: Path, baseline: Path, logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught = ["--data", f"deeppcb:{data}", "--parent", str(baseline), "--log", str(logs[0]), "--progress", "none"]
    plain = [*taught, "--recipe", "transfer", *SMALL, "--seed", "3"]
    assert main([*plain, "--out", str(tmp_path / "with")]) == 0
    assert main([*plain, "--without-operator", "bob", "--out", str(tmp_path / "never")]) == 0
    capsys.readouterr()
    command = ["unlearn", str(tmp_path / "with"), *taught, "--without", "operator=bob", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "3 answers left out on request: operator bob" in said
    # Ada's third is about a picture of the evaluation.
    assert "2 of 6 answers are taught now" in said
    report = json.loads((tmp_path / "out" / "unlearned.json").read_text())
    assert set(report["figures"]) == {"original", "new"}
    # Not weakened but never there: bit for bit the model that was never taught them.
    weights = [(tmp_path / name / "checkpoint.safetensors") for name in ("out", "never")]
    assert load_metadata(weights[0]).lineage.mentoring_digest == load_metadata(weights[1]).lineage.mentoring_digest
    assert main(["unlearn", str(baseline), *command[2:]]) == 2
