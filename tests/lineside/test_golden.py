"""Golden cases: what they notice and what they forgive."""

from __future__ import annotations

import numpy as np
import pytest

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid, write_head
from lineside.golden import GoldenCase, compare, pack, unpack
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2


def manifest(kind: str) -> model_pb2.PackageManifest:
    made = model_pb2.PackageManifest(parity=model_pb2.ParityTolerance(score=0.01, box=0.5))
    if kind == "cells":
        write_head(CellGrid(rows=2, columns=2, stride=8), made)
    else:
        level = AnchorLevel(rows=2, columns=2, stride=8, shapes=((8, 8),))
        write_head(AnchorGrid(levels=(level,)), made, top_k=3)
    return made


def candidates(scores: list[float], areas: list[int], shift: float = 0.0) -> dict[str, np.ndarray]:
    boxes = np.array([[area, area, area + 8, area + 8] for area in areas], np.float32) + shift
    return {
        "boxes": boxes,
        "scores": np.array(scores, np.float32),
        "classes": np.zeros(len(areas), np.int32),
        "areas": np.array(areas, np.int32),
    }


def test_cases_survive_the_file_and_the_file_is_the_same_each_time() -> None:
    case = GoldenCase(frame=np.arange(12, dtype=np.uint8).reshape(3, 4), outputs=candidates([0.9], [1]))
    raw = pack([case, case])
    assert raw == pack([case, case])
    back = unpack(raw, manifest("anchors"))
    assert len(back) == 2
    assert (back[1].frame == case.frame).all()
    assert compare(case.outputs, back[0].outputs, manifest("anchors")).fault is None


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_a_torn_file_is_refused(raw: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        unpack(raw, manifest("anchors"))
    assert caught.value.reason is Reason.PKG_MALFORMED


def test_a_file_without_cases_is_refused() -> None:
    with pytest.raises(ContractError, match="no case"):
        unpack(pack([]), manifest("cells"))


def test_order_among_near_equals_is_forgiven_and_a_lost_candidate_is_not() -> None:
    expected = candidates([0.9, 0.502, 0.5], [1, 2, 3])
    swapped = candidates([0.9, 0.501, 0.5], [1, 3, 2])
    assert compare(expected, swapped, manifest("anchors")).fault is None
    lost = candidates([0.502, 0.5, 0.499], [2, 3, 0])
    assert "area 1" in str(compare(expected, lost, manifest("anchors")).fault)


def test_a_candidate_at_the_end_of_the_list_may_change_places_with_one_just_outside() -> None:
    assert compare(candidates([0.9, 0.5], [1, 2]), candidates([0.9, 0.499], [1, 3]), manifest("anchors")).fault is None


def test_scores_and_boxes_have_their_own_tolerance() -> None:
    expected = candidates([0.9], [1])
    assert "score" in str(compare(expected, candidates([0.8], [1]), manifest("anchors")).fault)
    assert "box" in str(compare(expected, candidates([0.9], [1], shift=0.6), manifest("anchors")).fault)
    near = compare(expected, candidates([0.895], [1], shift=0.4), manifest("anchors"))
    assert near.fault is None
    assert near.score == pytest.approx(0.005, abs=1e-6)
    assert near.box == pytest.approx(0.4, abs=1e-6)


def test_a_runtime_that_answers_nothing_or_nan_is_caught() -> None:
    expected = candidates([0.9], [1])
    assert "one side" in str(compare(expected, candidates([0.0], [0]), manifest("anchors")).fault)
    assert "nothing" in str(compare(expected, {}, manifest("anchors")).fault)
    heat = {"heat": np.zeros((2, 2, 1), np.float32)}
    assert compare(heat, heat, manifest("cells")).fault is None
    assert "NaN" in str(compare(heat, {"heat": heat["heat"] * np.nan}, manifest("cells")).fault)
    assert "heat differs" in str(compare(heat, {"heat": heat["heat"] + 0.1}, manifest("cells")).fault)
