"""Figures by hand: matching, precision and recall at the thresholds, average precision, false alarms, thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import CLASSES, squares, tiny

from lineside.areas import CellGrid
from lineside.boxes import as_boxes
from lineside.decode import Found, decode_cells
from lineside.pixels import Pixels
from training.data.sample import ArrayPicture, Dataset, Sample
from training.evaluate.figures import Figures, evaluate, evaluate_predictor
from training.evaluate.matching import match
from training.evaluate.predictor import Predictor, at_thresholds, cells_by_falling_threshold, decode_parameters
from training.evaluate.text import table
from training.evaluate.thresholds import best_thresholds
from training.models.detector import Detector

Row = tuple[tuple[float, float, float, float], float, int]
"""Box, score, class."""


def found(*rows: Row) -> Found:
    ordered = sorted(rows, key=lambda row: -row[1])
    return Found(
        boxes=as_boxes([box for box, _, _ in ordered]),
        scores=np.array([score for _, score, _ in ordered], np.float32),
        classes=np.array([kind for _, _, kind in ordered], np.int32),
        areas=tuple(np.array([number], np.int32) for number in range(len(ordered))),
    )


def sample(number: int, boxes: Sequence[Sequence[float]], classes: Sequence[int]) -> Sample:
    """Its picture's grey level is its number, so that a fake detector knows what it is looking at."""
    return Sample(
        name=str(number),
        picture=ArrayPicture(pixels=np.full((40, 40), number, np.uint8)),
        boxes=as_boxes(boxes),
        classes=np.array(classes, np.int32),
    )


def figures(samples: Sequence[Sample], answers: Mapping[int, Found], threshold: float = 0.5) -> Figures:
    def detect(pixels: Pixels) -> Found:
        return answers.get(int(pixels[0, 0]), found())

    return evaluate(
        detect,
        [item for item in samples if not item.healthy],
        [item for item in samples if item.healthy],
        threshold,
        classes=CLASSES,
        domain="new",
    )


A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0)


def test_a_defect_is_met_once_and_by_its_own_class() -> None:
    outcome = match(found((A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 1)), as_boxes([A, B]), np.array([0, 0], np.int32))
    assert outcome.right.tolist() == [True, False, False]
    assert outcome.met.tolist() == [True, False]


def test_the_better_detection_chooses_first_and_the_other_takes_what_is_left() -> None:
    near = (4.0, 0.0, 14.0, 10.0)
    outcome = match(found((A, 0.9, 0), (near, 0.8, 0)), as_boxes([A, near]), np.array([0, 0], np.int32))
    assert outcome.right.all()
    assert outcome.met.all()


def test_precision_recall_false_alarms_and_escapes_by_hand() -> None:
    samples = [sample(1, [A, B], [0, 1]), sample(2, [A], [0]), sample(3, [], []), sample(4, [], [])]
    answers = {
        1: found((A, 0.9, 0), (B, 0.8, 0), (B, 0.3, 1)),
        2: found((A, 0.4, 0)),
        3: found((A, 0.9, 0), (B, 0.6, 1), (B, 0.2, 0)),
    }
    result = figures(samples, answers)
    # Raised at 0.5 on defective pictures: A (right), B as class 0 (wrong). Defects: three, one met.
    assert result.precision == pytest.approx(1 / 2)
    assert result.recall == pytest.approx(1 / 3)
    # Two raised on two healthy pictures.
    assert result.false_alarms_per_healthy == pytest.approx(1.0)
    # Nothing raised on one of two defective pictures.
    assert result.escapes == pytest.approx(0.5)
    dark, bright = result.classes
    assert (dark.precision, dark.recall, dark.defects) == (0.5, 0.5, 2)
    assert (bright.precision, bright.recall, bright.defects) == (None, 0.0, 1)


def test_average_precision_by_hand() -> None:
    # IoU of A with a box shifted by 4 of 10 pixels: 60 / 140 = 0.43, between 0.33 and 0.5.
    shifted = (4.0, 0.0, 14.0, 10.0)
    samples = [sample(1, [A], [0]), sample(2, [B], [1])]
    result = figures(samples, {1: found((shifted, 0.6, 0)), 2: found((A, 0.9, 1), (B, 0.1, 1))})
    # Class 0: found at 0.33 (AP 1), not at 0.5 (AP 0). Class 1: a false alarm comes first: precision 1/2 at recall 1.
    assert result.classes[0].ap_33 == pytest.approx(1.0)
    assert result.classes[0].ap_50 == pytest.approx(0.0)
    assert result.classes[1].ap_33 == pytest.approx(0.5)
    assert result.map_33 == pytest.approx(0.75)
    assert result.map_50 == pytest.approx(0.25)


def test_a_class_without_defects_does_not_count_in_the_mean() -> None:
    result = figures([sample(1, [A], [0])], {1: found((A, 0.9, 0), (B, 0.9, 1))})
    assert result.map_33 == pytest.approx(1.0)
    assert result.classes[1].ap_33 is None


def test_nothing_to_measure_gives_no_figure_and_no_crash() -> None:
    result = figures([], {})
    assert (result.map_33, result.precision, result.recall, result.false_alarms_per_healthy) == (None,) * 4
    assert figures([sample(1, [A], [0])], {}).map_33 == 0.0
    assert "–" in table([result], title="nothing")


def test_the_stations_own_answer_is_used_for_precision_where_it_is_given() -> None:
    result = evaluate(
        lambda _: found((A, 0.9, 0)),
        [sample(1, [A], [0])],
        [],
        0.5,
        classes=CLASSES,
        domain="new",
        deployed=lambda _: found(),
    )
    assert result.map_33 == pytest.approx(1.0)
    assert result.recall == 0.0


def test_figures_survive_json() -> None:
    result = figures([sample(1, [A], [0])], {1: found((A, 0.9, 0))})
    assert Figures.from_json(result.to_json()) == result


def test_the_best_threshold_lies_between_the_last_kept_and_the_first_left_out() -> None:
    samples = [sample(1, [A, B], [0, 0])]
    # Right 0.9, right 0.7, wrong 0.3: best F with two kept; middle of 0.7 and 0.3.
    answers = [(samples[0], found((A, 0.9, 0), (B, 0.7, 0), ((12, 0, 18, 6), 0.3, 0)))]
    chosen = best_thresholds(answers, CLASSES)
    assert chosen == {"dark": pytest.approx(0.5), "bright": 0.5}


def test_a_false_alarm_on_a_healthy_picture_raises_the_threshold() -> None:
    answers = [
        (sample(1, [A], [0]), found((A, 0.9, 0))),
        (sample(2, [], []), found((A, 0.8, 0))),
    ]
    assert best_thresholds(answers, CLASSES)["dark"] == pytest.approx(0.85)


@given(st.lists(st.tuples(st.integers(2, 14), st.booleans()), min_size=1, max_size=12))
def test_no_other_threshold_has_a_better_f_measure(rows: list[tuple[int, bool]]) -> None:
    answers = [
        (sample(number, [A], [0]), found((A if right else B, sixteenths / 16, 0)))
        for number, (sixteenths, right) in enumerate(rows)
    ]

    def measure(threshold: float) -> float:
        raised = [right for sixteenths, right in rows if sixteenths / 16 >= threshold]
        return 2 * sum(raised) / (len(raised) + len(rows))

    chosen = best_thresholds(answers, CLASSES)["dark"]
    if any(right for _, right in rows):
        assert measure(chosen) == max(measure(sixteenths / 16) for sixteenths, _ in rows)
    else:
        assert chosen == 0.5


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_a_predictor_answers_in_frame_pixels_whatever_the_frames_size(head: str) -> None:
    torch.manual_seed(0)
    detector = Detector(tiny(head))
    with torch.no_grad():
        detector.classify.bias.fill_(0.0)
    predictor = Predictor(detector, {"dark": 0.51, "bright": 0.49})
    answer = predictor.answer(np.random.default_rng(0).integers(0, 256, (96, 160), np.uint8))
    assert len(answer.found) >= len(answer.deployed) > 0
    assert answer.found.boxes.min() >= 0
    assert answer.found.boxes[:, 2].max() <= 160
    assert answer.found.boxes[:, 3].max() <= 96
    assert (answer.deployed.scores >= predictor.thresholds[answer.deployed.classes]).all()
    kept = at_thresholds(answer.found, predictor.thresholds)
    assert (kept.scores >= predictor.thresholds[kept.classes]).all()


def test_below_its_thresholds_a_cell_head_keeps_defects_apart() -> None:
    # Two peaks on one ridge: at 0.5 two regions, at any low threshold one. A faint third peak stands alone.
    heat = np.full((6, 6, 1), 0.01, np.float32)
    heat[1, 0:5, 0] = [0.9, 0.3, 0.3, 0.3, 0.8]
    heat[4, 4, 0] = 0.2
    grid = CellGrid(rows=6, columns=6, stride=8)
    limits = np.array([0.5], np.float32)
    found_below = cells_by_falling_threshold(heat, grid, limits, decode_parameters())
    assert [cells.tolist() for cells in found_below.areas] == [[6], [10], [28]]
    assert found_below.scores.tolist() == pytest.approx([0.9, 0.8, 0.2])
    blob = decode_cells(heat, grid, thresholds=np.array([0.02], np.float32), parameters=decode_parameters())
    assert len(blob.areas[0]) == 5


@given(seed=st.integers(0, 300), threshold=st.floats(0.05, 0.95))
@settings(deadline=None)
def test_what_a_cell_head_raises_is_what_the_station_raises(seed: int, threshold: float) -> None:
    heat = np.random.default_rng(seed).random((5, 5, 2)).astype(np.float32) ** 3
    grid = CellGrid(rows=5, columns=5, stride=8)
    limits = np.full(2, threshold, np.float32)
    raised = decode_cells(heat, grid, thresholds=limits, parameters=decode_parameters())
    found_below = cells_by_falling_threshold(heat, grid, limits, decode_parameters())
    kept = at_thresholds(found_below, limits)
    assert {tuple(cells) for cells in kept.areas} == {tuple(cells) for cells in raised.areas}
    for kind in range(2):
        mine = [areas for areas, of in zip(found_below.areas, found_below.classes, strict=True) if of == kind]
        cells = [cell for areas in mine for cell in areas]
        assert len(cells) == len(set(cells))


def test_evaluating_a_checkpoint_counts_every_picture_once() -> None:
    torch.manual_seed(0)
    data: Dataset = squares(8)
    seen: list[tuple[int, int]] = []
    result = evaluate_predictor(
        Predictor(Detector(tiny())), data, domain="original", on_picture=lambda done, total: seen.append((done, total))
    )
    assert seen == [(number, 8) for number in range(1, 9)]
    assert (result.images, result.healthy_images) == (6, 2)
