"""The synthetic line as a camera, and its light that can be changed while it runs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.synthetic import SyntheticCamera, SyntheticCameraSettings
from lineside.synthetic import CHANGED, ORIGINAL, render, write_setup


def camera(setup_file: Path | None = None, first: int = 0) -> SyntheticCamera:
    settings = SyntheticCameraSettings(
        name="top", kind="synthetic", seed=3, first=first, size=128, setup_file=setup_file
    )
    return SyntheticCamera(settings)


def test_it_shows_the_lines_parts_in_order() -> None:
    with camera(first=5) as line:
        for number in (5, 6):
            part, picture = render(number, seed=3, setup=ORIGINAL, size=128), line.grab()
            assert picture.part_id == part.part_id
            assert np.array_equal(picture.pixels, part.pixels)


def test_another_light_takes_effect_with_the_next_picture(tmp_path: Path) -> None:
    file = tmp_path / "setup.json"
    with camera(file) as line:
        assert np.array_equal(line.grab().pixels, render(0, seed=3, setup=ORIGINAL, size=128).pixels)
        write_setup(file, CHANGED)
        assert np.array_equal(line.grab().pixels, render(1, seed=3, setup=CHANGED, size=128).pixels)


def test_a_setup_that_makes_no_sense_is_told_once_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "setup.json"
    file.write_text("{ not json")
    with caplog.at_level(logging.WARNING), camera(file) as line:
        line.grab()
        assert np.array_equal(line.grab().pixels, render(1, seed=3, setup=ORIGINAL, size=128).pixels)
    assert len([line for line in caplog.messages if "keeps its setup" in line]) == 1
