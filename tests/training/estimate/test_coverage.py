"""The intervals cover the truth of a line that is known, and those that leave the probabilities out do not.

A reduced version of `benchmarks/estimate.py`, on a line that is drawn instead of one that a detector has looked at.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.judged import pool

from benchmarks.estimate import (
    HIGHER,
    SCENARIOS,
    SPARSE,
    USUAL,
    Line,
    Scenario,
    keeps_of,
    line_of,
    run_scenario,
)
from benchmarks.estimate_pool import load_pool, save_pool, tiled
from training.simulation.judging import Character, Habit
from training.simulation.partial_log import Operators

RUNS, PARTS = 30, 500
RIGHT = Operators(character=Character(habit=Habit.COMPLETES))


@pytest.fixture(scope="module")
def line() -> Line:
    return line_of(pool(400, seed=5), defective=0.2)


def coverage(line: Line, scenario: Scenario) -> dict[str, float]:
    rows = run_scenario(line, scenario, runs=RUNS, parts=PARTS, seed=7)
    return {name: float(row["covered"]) for name, row in rows.items()}


def test_limits_from_a_partial_log_cover_the_truth_and_without_the_weights_they_do_not(line: Line) -> None:
    scenario = Scenario(name="sparse", policies=SPARSE, operators=RIGHT)
    covered = coverage(line, scenario)
    assert {name: share for name, share in covered.items() if share < 0.9} == {}
    assert len(covered) == 9
    plain = coverage(line, dataclasses.replace(scenario, weighted=False))
    # Uncertain detections are kept three times as often as sure ones, rejected parts more often than passed ones.
    assert plain["precision, all"] < 0.5
    assert plain["false rejects per 1,000"] < 0.5


def test_frames_that_nobody_answered_and_unsure_answers_do_not_break_the_limits(line: Line) -> None:
    operators = dataclasses.replace(
        RIGHT, character=dataclasses.replace(RIGHT.character, indecision=0.05), answered=0.6
    )
    covered = coverage(line, Scenario(name="partly", policies=USUAL, operators=operators))
    assert {name: share for name, share in covered.items() if share < 0.9} == {}


def test_kept_probabilities_are_those_of_the_stations_own_policies() -> None:
    frames = pool(40, seed=1)
    keeps = keeps_of(frames, SPARSE)
    for frame, keep in zip(frames, keeps, strict=True):
        near = any(0 <= item.score - 0.5 <= 0.15 for item in frame.detections)
        # Kept unless all three let it pass: 1 - (1 - 0.8) (1 - 0.25) (1 - 0.1).
        expected = 0.865 if near else 0.325 if frame.detections else 0.1
        assert keep == pytest.approx(expected)


def test_a_pool_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    frames = pool(20, seed=2)
    save_pool(path, frames, {"seed": 2})
    loaded, made = load_pool(path)
    assert made == {"seed": 2}
    for one, other in zip(frames, loaded, strict=True):
        assert [(item.class_name, item.box) for item in one.detections] == [
            (item.class_name, item.box) for item in other.detections
        ]
        assert [item.score for item in one.detections] == pytest.approx([item.score for item in other.detections])
        assert one.truth.classes == other.truth.classes
        assert np.array_equal(one.truth.boxes, other.truth.boxes)


def test_the_pieces_of_a_frame_share_out_what_is_on_it() -> None:
    frames = pool(30, seed=3)
    pieces = tiled(frames, 2)
    assert len(pieces) == 120
    for number, frame in enumerate(frames):
        mine = pieces[4 * number : 4 * number + 4]
        assert sorted(item.detection_id for piece in mine for item in piece.detections) == sorted(
            item.detection_id for item in frame.detections
        )
        assert sum(len(piece.truth.classes) for piece in mine) == len(frame.truth.classes)
        assert all(len(piece.shown.detections) == len(piece.detections) for piece in mine)


def test_the_documents_table_is_the_committed_reports() -> None:
    root = Path(__file__).resolve().parents[3]
    report = json.loads((root / "docs" / "reports" / "estimate.json").read_text(encoding="utf-8"))
    text = (root / "docs" / "estimate.md").read_text(encoding="utf-8")
    figures = ("precision, all", f"precision from {HIGHER:g} on", "recall, all", "escapes per 1,000")
    for name, rows in report["scenarios"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        shares = re.findall(r"([0-9.]+) % ", line.partition(name)[2])
        measured = [rows[figure]["covered"] for figure in (*figures, "false rejects per 1,000")]
        measured.append(min(row["covered"] for row in rows.values()))
        assert shares == [f"{100 * share:.1f}" for share in measured]
    assert list(report["scenarios"]) == [scenario.name for scenario in SCENARIOS]
    assert report["least_coverage"] >= 0.9
    assert f"at least {100 * report['least_coverage']:.1f} %" in text
