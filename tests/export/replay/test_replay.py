"""The gate on real logs and real packages: the parts are named, the exit code is right, nothing is changed."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support import packages
from support.replays import Part, Word, cell, dent, picture_of, write_log

from export.cli import main
from export.replay.html import area_around
from lineside.package import GRAPH_NAME, Package
from lineside.records import Gesture

CONFIRM, REJECT = Gesture.CONFIRM, Gesture.REJECT
POLICY = "least_records = 1\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What made the log's detections: raises what is brighter than a half."""
    return packages.make_anchor_package(tmp_path_factory.mktemp("model") / "tiles")


@pytest.fixture(scope="module")
def doctored(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Raises what is brighter than 0.6."""
    return packages.make_anchor_package(tmp_path_factory.mktemp("doctored") / "tiles", version="1.1.0", bias=-0.1)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, model: Package) -> Path:
    """Eight confirmed dents, three of them faint, and a rejected one that is faint too."""
    parts = [dent(f"AX-{number}", CONFIRM) for number in range(5)]
    parts += [dent(f"FAINT-{number}", CONFIRM, brightness=0.55) for number in range(3)]
    parts += [dent("SOUND-1", REJECT, brightness=0.58)]
    return write_log(tmp_path_factory.mktemp("log") / "log", model, parts)


def gate(
    tmp_path: Path, package: Package, log: Path, *more: str, policy: str = POLICY
) -> tuple[int, dict[str, object]]:
    file = tmp_path / "gate.toml"
    file.write_text(policy)
    out = tmp_path / "out"
    code = main(["replay", str(package.folder), "--log", str(log), "--policy", str(file), "--out", str(out), *more])
    return code, json.loads((out / "replay.json").read_text())


def test_a_candidate_that_misses_three_confirmed_defects_is_refused_and_the_parts_are_named(
    tmp_path: Path, doctored: Package, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = gate(tmp_path, doctored, log)
    assert code == 1
    assert document["refusals"][0]["limit"] == "most_escapes"
    assert document["refusals"][0]["parts"] == ["FAINT-0", "FAINT-1", "FAINT-2"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["escape", f"FAINT-{number}"] for number in range(3)]
    assert any("3 of 8 known defects escape, 0 allowed: FAINT-0, FAINT-1, FAINT-2" in line for line in lines)
    assert "REFUSED" in lines
    assert document["figures"]["flips"] == {"REJECT to PASS, defective": 3, "REJECT to PASS, not known": 1}


def test_a_candidate_that_still_fires_where_everything_was_rejected_is_refused(
    tmp_path: Path, model: Package, log: Path
) -> None:
    code, document = gate(tmp_path, model, log)
    assert code == 1
    assert [item["limit"] for item in document["refusals"]] == ["most_firing_share"]
    assert document["refusals"][0]["parts"] == ["SOUND-1"]


def test_a_policy_that_allows_it_lets_it_pass(tmp_path: Path, model: Package, log: Path) -> None:
    assert gate(tmp_path, model, log, policy=POLICY + "most_firing_share = 1.0")[0] == 0


def test_another_threshold_is_tried_without_changing_the_package(tmp_path: Path, doctored: Package, log: Path) -> None:
    before = {path.name: path.read_bytes() for path in doctored.folder.iterdir()}
    looser, document = gate(
        tmp_path, doctored, log, "--thresholds", "dent=0.44", policy=POLICY + "most_firing_share = 1"
    )
    assert looser == 0
    assert document["thresholds_changed"] == {"dent": 0.44}
    stricter, document = gate(tmp_path, doctored, log, "--thresholds", "dent=0.75")
    assert stricter == 1
    assert document["figures"]["escapes"]["hits"] == 8
    assert {path.name: path.read_bytes() for path in doctored.folder.iterdir()} == before


def test_what_other_thresholds_change_is_told_before_anybody_sets_them(
    tmp_path: Path, model: Package, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 0.57 the three faint dents (0.55) are lost; the false alarm (0.58) still fires. At 0.6 both are silent."""
    policy = POLICY + "most_firing_share = 1\n"
    code, document = gate(tmp_path, model, log, "--thresholds", "dent=0.57", policy=policy)
    effect = document["effect"]
    assert (code, effect["passed_before"], effect["gone"]) == (1, True, [])
    assert [(item["group"], item["part_id"]) for item in effect["new"]] == [
        *[("escape", f"FAINT-{number}") for number in range(3)],
        *[("verdict", f"FAINT-{number}") for number in range(3)],
    ]
    code, document = gate(tmp_path, model, log, "--thresholds", "dent=0.6", policy=policy)
    assert [(item["group"], item["part_id"]) for item in document["effect"]["gone"]] == [("still fires", "SOUND-1")]
    out = capsys.readouterr().out
    assert "gone         still fires: SOUND-1" in out
    assert "escape: 3 new, 0 gone" in out
    assert "with the package's own thresholds: passed" in out
    page = (tmp_path / "out" / "replay.html").read_text()
    assert "What these thresholds change" in page
    assert "With its own thresholds the package is passed, with these refused." in page
    # Asked for what it has already, nothing is compared with anything.
    _, document = gate(tmp_path, model, log, "--thresholds", f"dent={packages.THRESHOLD}", policy=policy)
    assert document["effect"] is None


def test_the_result_is_told_by_part_reference_and_by_class(
    tmp_path: Path, doctored: Package, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document = gate(tmp_path, doctored, log, "--part-reference", "^([A-Z]+)-")
    lines = {line["reference"]: line for line in document["references"]}
    assert list(lines) == ["FAINT", "SOUND", "AX"]  # the worst first: escapes, then a verdict that changes
    assert (lines["FAINT"]["defects"], lines["FAINT"]["escapes"], lines["FAINT"]["verdicts"]) == (3, 3, 3)
    assert (lines["AX"]["frames"], lines["AX"]["escapes"]) == (5, 0)
    assert (lines["SOUND"]["rejected"], lines["SOUND"]["still_fire"]) == (1, 0)
    assert document["figures"]["escapes_by_class"]["dent"]["hits"] == 3
    assert "FAINT: 3 of 3 defects escape" in capsys.readouterr().out
    assert "<td>FAINT</td><td>3</td><td>3</td><td>3</td>" in (tmp_path / "out" / "replay.html").read_text()
    # Without a pattern each part id is its own reference.
    _, document = gate(tmp_path, doctored, log)
    assert [line["reference"] for line in document["references"]][:3] == ["FAINT-0", "FAINT-1", "FAINT-2"]
    assert len(document["references"]) == 9
    assert main(["replay", str(doctored.folder), "--log", str(log), "--part-reference", "("]) == 2
    assert "is no regular expression" in capsys.readouterr().err


def test_what_the_line_would_see_is_weighted_by_the_probability_of_selection(
    tmp_path: Path, model: Package, doctored: Package
) -> None:
    """Found: 4 frames kept for sure and none of the audited one, which stands for 4: 4 of 5 raw, 4 of 8 weighted."""
    parts = [dent(f"AX-{number}", CONFIRM) for number in range(4)]
    parts += [dent("AUDIT", CONFIRM, brightness=0.55, probability=0.25)]
    log = write_log(tmp_path / "log", model, parts)
    lenient = POLICY + "most_escapes = 1\nleast_found_share = 0.7\n"
    assert gate(tmp_path, doctored, log, policy=lenient + 'shares = "raw"')[0] == 0
    code, document = gate(tmp_path, doctored, log, policy=lenient)
    assert code == 1
    found = document["figures"]["found"]
    assert (found["raw"], found["weighted"]) == (pytest.approx(0.8), pytest.approx(0.5))
    assert document["refusals"][0]["limit"] == "least_found_share"


def test_every_record_is_used_or_skipped_with_a_reason(
    tmp_path: Path, model: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    """Altered, missing, disputed and taken back: none is fatal, each is said, and totals add up."""
    argued = (Word(gesture=CONFIRM, operator="ada"), Word(gesture=REJECT, operator="bo"))
    regretted = (Word(gesture=CONFIRM), Word(gesture=Gesture.RETRACT, revision=2))
    bright = packages.picture
    one = (("dent", cell(1, 1)),)
    parts = [
        dent("GOOD", CONFIRM),
        dent("ALTERED", CONFIRM, brightness=0.7),
        dent("GONE", REJECT, brightness=0.71),
        Part(part_id="ARGUED", pixels=bright(brightness=0.72), detections=one, words=argued),
        Part(part_id="REGRETTED", pixels=bright(brightness=0.73), detections=one, words=regretted),
        Part(part_id="SILENT", pixels=bright(brightness=0.74), detections=one),
    ]
    log = write_log(tmp_path / "log", model, parts)
    altered = picture_of(log, "ALTERED")
    altered.chmod(0o644)
    altered.write_bytes(altered.read_bytes()[:-1] + b"\x07")
    picture_of(log, "GONE").unlink()
    code, document = gate(tmp_path, model, log)
    assert code == 0
    assert document["records"] == {"total": 5, "used": 1}
    assert sum(document["figures"]["skipped"].values()) == 4
    assert document["figures"]["skipped"]["RECORD_CORRUPT"] == 2
    assert document["figures"]["judgements"] == 4
    reasons = {item["part"]: item["detail"] or item["reason"] for item in document["skipped_records"]}
    assert "does not have the SHA-256" in reasons["ALTERED"]
    assert "cannot be read" in reasons["GONE"]
    assert "disputed" in reasons["ARGUED"]
    assert "taken back" in reasons["REGRETTED"]
    printed = capsys.readouterr().out
    assert all(part in printed for part in reasons)
    assert "SILENT" not in printed


def test_a_candidate_that_answers_nan_is_refused_whatever_the_policy_allows(
    tmp_path: Path, model: Package, log: Path
) -> None:
    manifest = packages.manifest_for(packages.cell_head())
    broken = packages.write(tmp_path / "broken", manifest, packages.graph_for(packages.cell_head(), bias=float("nan")))
    code, document = gate(tmp_path, broken, log, policy="least_records = 1\nmost_escapes = 1000\n")
    assert code == 1
    assert document["refusals"][0]["limit"] == "answers"
    assert "NaN" in document["refusals"][0]["text"]
    assert document["figures"]["unanswered"] == {"output heat holds NaN or infinity": 9}


def test_both_heads_and_frames_of_another_shape_are_answered_in_frame_pixels(tmp_path: Path, model: Package) -> None:
    """A frame twice the model's size: the same areas, every side twice as long."""
    large = np.ascontiguousarray(np.kron(packages.picture(2, 3), np.ones((2, 2), np.uint8)))
    drawn = Word(gesture=Gesture.MISSED, number=None, class_name="dent", box=(96.0, 64.0, 128.0, 96.0))
    log = write_log(tmp_path / "log", model, [Part(part_id="WIDE", pixels=large, words=(drawn,))])
    cells = packages.make_cell_package(tmp_path / "cells")
    for package in (model, cells):
        code, document = gate(tmp_path, package, log)
        assert code == 0
        assert document["figures"]["answered"] == {"found": 1}
        assert document["findings"][0]["group"] == "verdict"
        assert document["findings"][0]["text"].endswith("the part is defective: better")


def test_judgements_after_the_training_are_counted_apart(tmp_path: Path, model: Package, log: Path) -> None:
    manifest = packages.manifest_for(packages.anchor_head(), version="2.0.0")
    manifest.lineage.last_log_sequence = 6
    taught = packages.write(tmp_path / "taught", manifest, model.read(GRAPH_NAME))
    figures = gate(tmp_path, taught, log)[1]["figures"]
    assert (figures["found"]["total"], figures["found_unseen"]["total"]) == (8, 2)


class Page(HTMLParser):
    """Collects tags and where their links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]


def test_the_page_needs_nothing_else_shows_escapes_first_and_quotes_what_others_named(
    tmp_path: Path, model: Package, doctored: Package
) -> None:
    hostile = "<script>alert(1)</script>\x1b[2J"
    parts = [dent("FINE", REJECT, brightness=0.9), dent(hostile, CONFIRM, brightness=0.55)]
    log = write_log(tmp_path / "log", model, parts)
    gate(tmp_path, doctored, log)
    text = (tmp_path / "out" / "replay.html").read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert page.tags.count("article") == 3
    assert page.tags.count("image") == 3
    assert all(link.startswith(("data:image/png;base64,", "#i")) for link in page.links)
    groups = re.findall(r"<p><b>([a-z ]+)</b>", text)
    assert groups == ["escape", "still fires", "verdict"]


def test_nothing_from_the_log_steers_the_terminal(
    tmp_path: Path, model: Package, doctored: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", model, [dent("[bold]\x1b[2J", CONFIRM, brightness=0.55)])
    gate(tmp_path, doctored, log)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]" in printed


def test_calling_it_wrongly_is_exit_code_two_with_one_line(
    tmp_path: Path, model: Package, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gate.toml"
    package, given = str(model.folder), ["--log", str(log)]
    for text, arguments, words in (
        ("most_escape = 1", [package, *given, "--policy", str(file)], "names most_escape;"),
        ("[least_found_share_by_class]\ndint = 1.0", [package, *given, "--policy", str(file)], "dent, scratch"),
        ("", [package, "--log", str(tmp_path)], "no mentoring log"),
        ("", [str(tmp_path), *given], "does not belong into a package"),
        ("", [package, *given, "--policy", str(tmp_path / "none.toml")], "no policy file"),
        ("", [package, *given, "--thresholds", "dint=0.5"], "they are dent, scratch"),
    ):
        file.write_text(text)
        assert main(["replay", *arguments]) == 2
        seen = capsys.readouterr().err.strip().splitlines()
        assert words in seen[-1]
        assert seen[-1].startswith("lineside export replay: ")


def test_a_crop_shows_the_boxes_and_stays_inside_the_frame() -> None:
    assert area_around([], 640, 480) == (0, 0, 640, 480)
    assert area_around([(300, 200, 310, 210)], 640, 480) == (257, 157, 353, 253)
    assert area_around([(0, 0, 10, 10)], 640, 480) == (0, 0, 53, 53)
    assert area_around([(630, 470, 640, 480)], 640, 480) == (587, 427, 640, 480)
    assert area_around([(100, 100, 300, 300)], 640, 480) == (0, 0, 400, 400)
