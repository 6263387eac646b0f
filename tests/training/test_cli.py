"""The command line, from a folder of pictures to a report, and one clear line for whatever it cannot use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.lessons import pcb_folder

from training.checkpoint import load_metadata
from training.cli import main
from training.recipes import RECIPES

SMALL = ["--size", "64", "--steps", "3", "--batch", "4", "--progress", "json"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"deeppcb:{pcb_folder(tmp_path_factory.mktemp('pcb'))}"


@pytest.fixture(scope="module")
def baseline(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("baseline")
    assert main(["train", "--data", data, "--out", str(out), *SMALL]) == 0
    return out / "checkpoint.safetensors"


def last_line(text: str) -> dict[str, object]:
    values = json.loads(text.strip().splitlines()[-1])
    assert isinstance(values, dict)
    return values


def test_training_tells_its_progress_as_json_lines(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", data, "--out", str(tmp_path), *SMALL, "--steps", "21"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["stage"] for line in lines] == ["pictures", "training", "training", "done"]
    assert (lines[1]["done"], lines[1]["total"]) == (20, 21)
    assert lines[-1]["checkpoint"] == str(tmp_path / "checkpoint.safetensors")


def test_a_network_is_fitted_to_its_data(baseline: Path) -> None:
    metadata = load_metadata(baseline)
    assert metadata.config.classes == ("open", "short", "mousebite", "spur", "copper", "pin-hole")
    assert metadata.config.shapes == ((12.0, 12.0), (14.0, 14.0))
    assert metadata.config.mean == pytest.approx(128, abs=3)
    assert metadata.training["augment"]["turn"] == "all"


def test_the_upper_bound_starts_from_a_parent(data: str, baseline: Path, tmp_path: Path) -> None:
    arguments = ["train", "--recipe", "full", "--parent", str(baseline), "--data", data, "--out", str(tmp_path)]
    assert main([*arguments, "--steps", "3", "--batch", "4", "--progress", "none"]) == 0
    metadata = load_metadata(tmp_path)
    assert metadata.recipe == "full"
    assert metadata.config == load_metadata(baseline).config


def test_figures_are_printed_and_kept_in_the_checkpoint(
    data: str, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    assert main(["evaluate", str(baseline), "--data", data, "--json", str(file), "--progress", "json"]) == 0
    printed = last_line(capsys.readouterr().out)
    assert [entry["domain"] for entry in json.loads(file.read_text())] == ["original", "new"]
    assert printed["figures"] == json.loads(file.read_text())
    assert set(load_metadata(baseline).figures) == {"run", "original", "new"}
    assert main(["evaluate", str(baseline), "--data", data, "--progress", "none"]) == 0
    assert "mAP@0.33" in capsys.readouterr().out


def test_thresholds_are_chosen_and_kept(data: str, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(baseline), "--data", data, "--progress", "none"]) == 0
    thresholds = load_metadata(baseline).thresholds
    assert set(thresholds) == set(load_metadata(baseline).config.classes)
    assert all(0.05 <= value <= 0.95 for value in thresholds.values())
    assert "pin-hole" in capsys.readouterr().out


def test_a_report_is_one_file_that_needs_no_network(data: str, baseline: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    assert main(["report", str(baseline), "--data", data, "--out", str(out), "--progress", "none"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "mAP@0.33" in text
    assert "pin-hole" in text
    images = re.findall(r'<img [^>]*src="([^"]*)"', text)
    # Loss, and for each domain precision over recall and pictures.
    assert len(images) == 5
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_every_recipe_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "deeppcb:/nowhere"], "no splits.json in /nowhere"),
        (["--data", "voc:/nowhere"], "expected KIND:PLACE"),
        (["--data", "DATA", "--recipe", "magic"], "expected one of baseline"),
        (["--data", "DATA", "--recipe", "transfer", "--log", "/nowhere"], "no mentoring log"),
        (["--data", "DATA", "--recipe", "mentored"], "name a mentoring log with --log"),
        (["--data", "DATA", "--recipe", "full"], "name its checkpoint with --parent"),
        (["--data", "DATA", "--parent", "/nowhere"], "no checkpoint at /nowhere"),
        (["--data", "DATA", "--experiment", "moon"], "there are same_parts_and_acquisition"),
        (["--data", "DATA", "--size", "63"], "expected a multiple of 8"),
        (["--data", "DATA", "--batch", "3"], "expected an even number"),
        (["--data", "DATA", "--threads", "0"], "expected at least 1"),
        (["--data", "DATA", "--floor", "0.01"], "too few to hold some out"),
        (["--data", "DATA", "--floor", "2"], "floor.fall is 2.0"),
        (["--data", "DATA", "--watch-every", "5"], "say the floor as well"),
        (["--data", "DATA", "--budget-seconds", "0"], "budget_seconds is 0.0"),
    ],
)
def test_what_it_cannot_use_is_one_line_and_exit_code_2(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [data if word == "DATA" else word for word in arguments]
    assert main(["train", "--out", str(tmp_path / "out"), "--progress", "none", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_a_head_that_is_not_the_parents_is_refused(
    data: str, baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--recipe", "full", "--head", "cells", "--parent", str(baseline)]
    assert main([*arguments, "--data", data, "--out", str(tmp_path)]) == 2
    assert "transfer keeps the network" in capsys.readouterr().err


def test_the_page_about_training_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
    lines = [line.split("-m training ")[1] for line in page.splitlines() if "-m training train" in line]
    assert len(lines) >= 6
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    known = capsys.readouterr().out
    options = {word for line in lines for word in line.split() if word.startswith("--")}
    options |= set(re.findall(r"`(--[a-z-]+)", page))
    assert {option for option in options if option not in known} == set()
