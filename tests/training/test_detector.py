"""The network: areas in the contract's order, boxes decoded in model pixels, normalisation inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.lessons import tiny

from lineside.areas import AnchorGrid, CellGrid
from lineside.boxes import as_boxes, iou
from training.models.anchors import fit_shapes
from training.models.candidates import top_candidates
from training.models.detector import Detector, RawOutput, decode_boxes


def test_untrained_boxes_are_the_contracts_anchors_in_its_order() -> None:
    detector = Detector(tiny()).eval()
    assert detector.locate is not None
    with torch.no_grad():
        detector.locate.weight.zero_()
        output = detector(torch.zeros((1, 1, 64, 64)))
    assert output.boxes is not None
    torch.testing.assert_close(output.boxes[0], torch.from_numpy(detector.head.boxes().copy()))


def test_a_crop_has_the_areas_of_its_own_size() -> None:
    detector = Detector(tiny()).eval()
    output = detector(torch.zeros((2, 1, 32, 48)))
    assert output.logits.shape == (2, detector.config.head_for(48, 32).count, 2)


def test_a_logit_answers_for_its_own_place() -> None:
    # A bright pixel block at row 5, column 2 of the cell grid moves the logits there most.
    torch.manual_seed(0)
    detector = Detector(tiny("cells")).eval()
    dark = torch.full((1, 1, 64, 64), 50.0)
    bright = dark.clone()
    bright[:, :, 40:48, 16:24] = 255
    with torch.no_grad():
        moved = (detector(bright).logits - detector(dark).logits).abs().sum(dim=2)[0].reshape(8, 8)
    row, column = divmod(int(moved.argmax()), 8)
    assert abs(row - 5) <= 1
    assert abs(column - 2) <= 1


def test_each_anchor_has_class_logits_of_its_own() -> None:
    detector = Detector(tiny())
    assert detector.classify.out_channels == 3 * 2
    output = detector(torch.rand((1, 1, 64, 64)) * 255)
    output.logits[0, 30, 1].backward()
    gradient = detector.classify.bias.grad
    assert gradient is not None
    # Area 30 is the first shape of its cell: only the logit of that shape and class is touched.
    assert torch.nonzero(gradient).ravel().tolist() == [1]


def test_normalisation_is_part_of_the_network() -> None:
    torch.manual_seed(0)
    first = Detector(tiny(mean=100.0, deviation=50.0)).eval()
    second = Detector(tiny(mean=0.0, deviation=1.0)).eval()
    state = {name: value for name, value in first.state_dict().items() if name not in ("mean", "deviation")}
    second.load_state_dict(state, strict=False)
    images = torch.rand((1, 1, 64, 64)) * 255
    with torch.no_grad():
        torch.testing.assert_close(first(images).logits, second((images - 100) / 50).logits)


@pytest.mark.parametrize(("head", "kind"), [("anchors", AnchorGrid), ("cells", CellGrid)])
def test_the_head_is_the_contracts(head: str, kind: type) -> None:
    detector = Detector(tiny(head))
    assert isinstance(detector.head, kind)
    assert detector(torch.zeros((1, 1, 64, 64))).logits.shape[1] == detector.head.count


def test_boxes_are_decoded_by_hand() -> None:
    # Prior: middle (20, 30), 10 wide, 20 high. Moved by 0.1 of its width, as high as exp(ln 2) times.
    boxes = decode_boxes(torch.tensor([[[0.1, 0.0, 0.0, math.log(2)]]]), torch.tensor([[20.0, 30.0, 10.0, 20.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[[16.0, 10.0, 26.0, 50.0]]]))


def test_a_box_never_grows_without_bound() -> None:
    boxes = decode_boxes(torch.full((1, 1, 4), 1e6), torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
    assert torch.isfinite(boxes).all()


def test_candidates_are_the_best_pairs_of_area_and_class() -> None:
    logits = torch.tensor([[[0.0, 3.0], [2.0, -1.0]]])
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 6.0]]])
    best = top_candidates(RawOutput(logits, boxes), 3)
    assert best.areas.tolist() == [[0, 1, 0]]
    assert best.classes.tolist() == [[1, 0, 0]]
    assert best.boxes[0, 1].tolist() == [5, 5, 6, 6]
    torch.testing.assert_close(best.scores[0], torch.sigmoid(torch.tensor([3.0, 2.0, 0.0])))
    with pytest.raises(ValueError, match="no candidates"):
        top_candidates(RawOutput(logits, None), 3)


@given(st.lists(st.tuples(st.floats(4, 200), st.floats(4, 200)), min_size=1, max_size=30))
def test_fitted_shapes_can_be_turned_and_are_positive(sizes: list[tuple[float, float]]) -> None:
    shapes = fit_shapes(as_boxes([(0, 0, width, height) for width, height in sizes]))
    assert 1 <= len(shapes) <= 7
    assert {(height, width) for width, height in shapes} == set(shapes)
    assert all(width >= 6 and height >= 6 for width, height in shapes)


def test_compact_boxes_of_every_size_between_overlap_a_fitted_shape_well() -> None:
    sides = np.linspace(13, 27, 60)
    shapes = fit_shapes(as_boxes([(0, 0, side, side) for side in sides]))
    centred = as_boxes([(-width / 2, -height / 2, width / 2, height / 2) for width, height in shapes])
    boxes = as_boxes([(-side / 2, -side / 2, side / 2, side / 2) for side in sides])
    assert iou(boxes, centred).max(axis=1).min() > 0.6


def test_no_box_to_fit_shapes_to_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no defect"):
        fit_shapes(as_boxes([]))
