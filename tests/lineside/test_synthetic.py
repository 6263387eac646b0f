"""The synthetic line: the same part under any light, boxes that hold what was damaged, setups that are checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.synthetic import CHANGED, CLASSES, ORIGINAL, SETUPS, SIZE, Setup, read_setup, render, write_setup

BARE = Setup(name="bare", light_angle=45)
"""Neither blur nor noise: what differs between two pictures differs on the part."""

numbers = st.integers(0, 10_000)
seeds = st.integers(0, 100)


@given(numbers, seeds, st.sampled_from(list(SETUPS.values())))
@settings(max_examples=15, deadline=None)
def test_the_same_arguments_give_the_same_pixels(number: int, seed: int, setup: Setup) -> None:
    first, again = (render(number, seed=seed, setup=setup) for _ in range(2))
    assert first.pixels.dtype == np.uint8
    assert first.pixels.shape == (SIZE, SIZE)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.defects == again.defects
    assert first.part_id == again.part_id


@given(numbers, seeds)
@settings(max_examples=15, deadline=None)
def test_another_light_changes_the_pixels_and_not_the_part(number: int, seed: int) -> None:
    before, after = (render(number, seed=seed, setup=setup) for setup in (ORIGINAL, CHANGED))
    assert before.defects == after.defects
    assert before.part_id == after.part_id
    assert np.abs(before.pixels.astype(int) - after.pixels).mean() > 5


@given(numbers, seeds, st.sampled_from([128, 256, 384]))
@settings(max_examples=40, deadline=None)
def test_everything_a_defect_changes_lies_in_its_box(number: int, seed: int, size: int) -> None:
    healthy, damaged = (render(number, seed=seed, setup=BARE, healthy=value, size=size) for value in (True, False))
    assert healthy.defects == ()
    assert 1 <= len(damaged.defects) <= 3
    outside = np.ones((size, size), bool)
    # A slope reaches one pixel further than the height it belongs to, and a groove's profile has a tail.
    margin = 2 + size / SIZE * 2
    for name, (x1, y1, x2, y2) in damaged.defects:
        assert name in CLASSES
        assert 0 <= x1 < x2 <= size
        assert 0 <= y1 < y2 <= size
        rows = slice(max(0, int(y1 - margin)), int(y2 + margin))
        outside[rows, max(0, int(x1 - margin)) : int(x2 + margin)] = False
    changed = np.abs(healthy.pixels.astype(int) - damaged.pixels) > 6
    assert not (changed & outside).any()


def test_a_box_is_no_larger_than_what_the_defect_changes() -> None:
    slack = []
    for number in range(60):
        healthy, damaged = (render(number, seed=3, setup=BARE, healthy=value) for value in (True, False))
        if len(damaged.defects) != 1:
            continue
        x1, y1, x2, y2 = damaged.defects[0][1]
        rows, columns = np.nonzero(np.abs(healthy.pixels.astype(int) - damaged.pixels) > 2)
        slack += [columns.min() - x1, rows.min() - y1, x2 - columns.max() - 1, y2 - rows.max() - 1]
    assert len(slack) > 40
    assert max(slack) <= 4


def test_every_class_occurs_and_about_half_the_parts_are_healthy() -> None:
    parts = [render(number, seed=0, setup=ORIGINAL, size=128) for number in range(200)]
    assert {name for part in parts for name, _ in part.defects} == set(CLASSES)
    assert 70 <= sum(part.healthy for part in parts) <= 130


def test_marks_of_the_tool_stand_out_only_under_the_changed_light() -> None:
    def unrest(setup: Setup) -> float:
        quiet = dataclasses.replace(setup, blur=0, noise=0, highlights=0, gradient=0)
        pictures = [render(number, seed=2, setup=quiet, healthy=True).pixels[60:180, 60:180] for number in range(10)]
        return float(np.mean([picture.std() for picture in pictures]))

    assert unrest(CHANGED) > 2 * unrest(ORIGINAL)


def test_a_setup_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "light.json"
    for setup in SETUPS.values():
        write_setup(path, setup)
        assert read_setup(path) == setup
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"gain": 1}', "expected name"),
        ('{"name": "x", "colour": 1}', "colour"),
        ('{"name": "x", "gain": 0}', "above 0"),
        ('{"name": "x", "blur": -1}', "setup.blur is -1"),
        ('{"name": "x", "noise": "much"}', "expected a number"),
        ('{"name": "x", "gain": NaN}', "expected a number"),
        ('{"name": "x", "highlights": 1.5}', "whole number"),
        ('{"name": ""}', "1 to 64"),
    ],
)
def test_an_impossible_setup_is_refused_by_name(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "light.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_setup(path)


def test_a_setup_file_may_leave_out_what_is_as_usual(tmp_path: Path) -> None:
    path = tmp_path / "light.json"
    path.write_text(json.dumps({"name": "dim", "gain": 0.6}))
    assert read_setup(path) == Setup(name="dim", gain=0.6)


@pytest.mark.parametrize("arguments", [{"number": -1}, {"seed": -1}, {"size": 127}, {"size": 4096}])
def test_an_impossible_part_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        render(**{"number": 0, "seed": 0, "setup": ORIGINAL} | arguments)
