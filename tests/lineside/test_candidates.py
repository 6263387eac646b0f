"""What lies below the thresholds: questions that change nothing about what was raised."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid
from lineside.boxes import iou
from lineside.candidates import candidates_below
from lineside.decode import decode_outputs
from lineside.v1 import model_pb2

CELLS = CellGrid(rows=4, columns=4, stride=8)
PARAMETERS = model_pb2.DecodeParameters(
    nms_iou=0.45, area_iou=0.3, minimum_cells=1, maximum_detections=100, exclusive_classes=True
)
ANCHORS = AnchorGrid(levels=(AnchorLevel(rows=8, columns=8, stride=8, shapes=((8.0, 8.0),)),))


def below(outputs: dict[str, np.ndarray], head: AnchorGrid | CellGrid, thresholds: list[float], down_to: float):  # type: ignore[no-untyped-def,type-arg]
    limits = np.array(thresholds, np.float32)
    raised = decode_outputs(outputs, head, thresholds=limits, parameters=PARAMETERS)
    found = candidates_below(outputs, head, raised, thresholds=limits, down_to=down_to, parameters=PARAMETERS)
    return raised, found


def test_a_weak_cell_apart_is_a_question_and_one_that_touches_a_raised_region_is_not() -> None:
    heat = np.zeros((4, 4, 1), np.float32)
    heat[0, 0], heat[0, 1], heat[3, 3] = 0.9, 0.4, 0.35
    raised, found = below({"heat": heat}, CELLS, [0.5], 0.3)
    assert [areas.tolist() for areas in raised.areas] == [[0]]
    assert [areas.tolist() for areas in found.areas] == [[15]]
    assert found.scores.tolist() == [np.float32(0.35)]


def test_an_anchor_that_would_raise_the_same_box_is_no_question() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], np.float32)
    outputs = {
        "boxes": boxes,
        "scores": np.array([0.8, 0.4, 0.4], np.float32),
        "classes": np.zeros(3, np.int32),
        "areas": np.array([3, 4, 5], np.int32),
    }
    raised, found = below(outputs, ANCHORS, [0.5], 0.3)
    assert raised.areas[0].tolist() == [3, 4]
    assert [areas.tolist() for areas in found.areas] == [[5]]


candidate = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(6, 16), st.floats(0.02, 1), st.integers(0, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(candidate, max_size=14), st.floats(0.05, 0.6))
def test_no_area_of_a_question_is_a_raised_ones_and_none_reaches_its_threshold(
    rows: list[tuple[int, int, int, float, int]], down_to: float
) -> None:
    outputs = {
        "boxes": np.array([(x, y, x + side, y + side) for x, y, side, _, _ in rows], np.float32).reshape(-1, 4),
        "scores": np.array([score for *_, score, _ in rows], np.float32),
        "classes": np.array([kind for *_, kind in rows], np.int32),
        "areas": np.arange(len(rows), dtype=np.int32),
    }
    raised, found = below(outputs, ANCHORS, [0.5, 0.4], down_to)
    limits = np.array([0.5, 0.4], np.float32)
    assert (found.scores < limits[found.classes]).all()
    assert (found.scores >= np.minimum(limits, np.float32(down_to))[found.classes]).all()
    taken = [area for areas in (*raised.areas, *found.areas) for area in areas.tolist()]
    assert len(taken) == len(set(taken))
    assert (iou(found.boxes, raised.boxes) < PARAMETERS.area_iou).all()
