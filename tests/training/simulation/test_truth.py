"""The truth of a live synthetic part is found again from the number in its id."""

from __future__ import annotations

import numpy as np

from lineside.synthetic import CHANGED, render
from training.data.synthetic import load
from training.simulation.truth import of_dataset, of_synthetic_line


def test_a_live_part_is_known_by_its_id_whatever_its_light() -> None:
    for number in range(20):
        part = render(number, seed=5, setup=CHANGED)
        truth = of_synthetic_line(part.part_id, seed=5)
        assert truth is not None
        assert truth.classes == tuple(name for name, _ in part.defects)
        np.testing.assert_array_equal(truth.boxes, np.array([box for _, box in part.defects]).reshape(-1, 4))


def test_parts_of_other_lines_are_not_known() -> None:
    assert of_synthetic_line("S6-000001", seed=5) is None
    assert of_synthetic_line("S5-abc", seed=5) is None
    assert of_synthetic_line("", seed=5) is None


def test_a_set_is_known_by_its_pictures_names() -> None:
    dataset = load(0, 4, seed=1, setup=CHANGED)
    truths = of_dataset(dataset)
    assert list(truths) == [sample.name for sample in dataset]
    assert [len(truth.classes) == 0 for truth in truths.values()] == [False, True, False, True]
