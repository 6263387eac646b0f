"""The simulated second camera repeats the check values of the image sets' READMEs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lineside.pixels import decode
from training.shift import Shift

RECIPE = {
    "default": {"seed": 20240, "level": "medium"},
    "levels": {
        "medium": {
            "blur_sigma": 1.4,
            "contrast": 0.5,
            "brightness": -0.06,
            "gradient": 0.3,
            "angle_deg": 35,
            "noise": 0.05,
        }
    },
}


@pytest.mark.parametrize(
    ("dataset", "file", "level", "mean", "deviation"),
    [
        ("deeppcb", "PCBData/group50600/50600/50600000_test.png", "mild", 85.87, 89.79),
        ("deeppcb", "PCBData/group50600/50600/50600000_test.png", "medium", 86.16, 58.34),
        ("deeppcb", "PCBData/group50600/50600/50600000_test.png", "strong", 81.14, 45.84),
        ("magnetic_tile", "MT_Crack/Imgs/exp4_num_116553.jpg", "mild", 105.18, 28.63),
    ],
)
def test_it_repeats_the_readmes_check_values(
    data_folder: Path, dataset: str, file: str, level: str, mean: float, deviation: float
) -> None:
    recipe = json.loads((data_folder / dataset / "splits.json").read_text())["acquisition_shift"]
    path = data_folder / dataset / file
    shifted = Shift.from_splits(recipe, level=level).apply(decode(path.read_bytes()), path.stem)
    assert shifted.mean() == pytest.approx(mean, abs=0.011)
    assert shifted.std() == pytest.approx(deviation, abs=0.011)


def test_it_depends_on_seed_and_name_alone() -> None:
    shift = Shift.from_splits(RECIPE)
    picture = np.full((32, 48), 128, np.uint8)
    once = shift.apply(picture, "a")
    shift.apply(picture, "b")
    assert np.array_equal(once, shift.apply(picture, "a"))
    assert not np.array_equal(once, shift.apply(picture, "b"))


def test_every_channel_of_a_colour_picture_gets_the_same_noise() -> None:
    shifted = Shift.from_splits(RECIPE).apply(np.full((32, 48, 3), 128, np.uint8), "a")
    assert np.array_equal(shifted[:, :, 0], shifted[:, :, 2])


def test_an_unknown_level_is_refused_with_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="expected one of medium"):
        Shift.from_splits(RECIPE, level="worst")
