"""A log drawn from a pool: the truth by hand, what is kept and said, and that a seed repeats it."""

from __future__ import annotations

import numpy as np
import pytest
from support.judged import CLASSES, PLACES, pool

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.records import Gesture, MentoringRecord
from training.simulation.judging import Character, Habit
from training.simulation.partial_log import Inspected, Operators, draw_log, inspected, true_figures
from training.simulation.truth import Truth

RIGHT = Operators(character=Character(habit=Habit.COMPLETES))


def shown(name: str, raised: tuple[tuple[int, int], ...], defects: tuple[tuple[int, int], ...]) -> Inspected:
    """Detections and defects as (place, class)."""
    return inspected(
        name,
        Found(
            boxes=as_boxes([PLACES[place] for place, _ in raised]),
            scores=np.linspace(0.9, 0.6, len(raised), dtype=np.float32),
            classes=np.array([kind for _, kind in raised], np.int32),
            areas=tuple(np.zeros(0, np.int32) for _ in raised),
        ),
        Truth(
            boxes=as_boxes([PLACES[place] for place, _ in defects]), classes=tuple(CLASSES[kind] for _, kind in defects)
        ),
        CLASSES,
        width=200,
        height=80,
    )


LINE = (
    # Found, and a false alarm beside it.
    shown("both", ((0, 0), (1, 1)), ((0, 0),)),
    # A dent called a scratch, and a dent missed.
    shown("named", ((0, 1),), ((0, 0), (2, 0))),
    shown("escape", (), ((3, 1),)),
    shown("false", ((0, 0),), ()),
    shown("sound", (), ()),
)


def log(seed: int, *, keeps: tuple[float, ...] = (1.0,) * 5, operators: Operators = RIGHT) -> list[MentoringRecord]:
    return draw_log(
        LINE,
        50,
        meets=np.full(5, 0.2),
        keeps=np.array(keeps),
        operators=operators,
        generator=np.random.default_rng(seed),
    )


def test_the_truth_of_a_line_by_hand() -> None:
    truth = true_figures(LINE, np.full(5, 0.2))
    # Raised: dents in `both` (right) and `false`; scratches in `both` and `named`, neither right.
    assert truth.precision == pytest.approx({None: 1 / 4, "dent": 1 / 2, "scratch": 0})
    # There: dents in `both` (found) and two in `named`; one scratch, missed.
    assert truth.recall == pytest.approx({None: 1 / 4, "dent": 1 / 3, "scratch": 0})
    assert truth.escapes == pytest.approx(0.2)
    assert truth.false_rejects == pytest.approx(0.2)


def test_frames_met_more_often_count_more() -> None:
    truth = true_figures(LINE, np.array([0.4, 0.0, 0.1, 0.2, 0.3]))
    assert truth.precision["dent"] == pytest.approx(0.4 / 0.6)
    assert truth.escapes == pytest.approx(0.1)


def test_what_is_kept_says_with_which_probability_and_all_of_it_is_judged() -> None:
    records = log(1, keeps=(1.0, 1.0, 0.5, 1.0, 0.0))
    assert {record.frame.selection_probability for record in records} == {1.0, 0.5}
    assert all(record.judgements for record in records)
    assert len({record.frame.part_id for record in records}) == len(records)
    for record in records:
        assert record.frame.verdict == ("REJECT" if record.detections else "PASS")


def test_only_part_is_answered_and_some_by_two() -> None:
    records = log(2, operators=Operators(character=RIGHT.character, answered=0.5, second=0.5))
    people = [{name for item in record.judgements for name in item.operators} for record in records]
    assert {len(names) for names in people} == {0, 1, 2}
    assert any(item.gesture is Gesture.FRAME_HEALTHY for record in records for item in record.judgements)


def test_a_seed_repeats_a_log() -> None:
    one, other = ([(item.frame, item.judgements) for item in log(seed)] for seed in (3, 3))
    assert one == other
    assert one != [(item.frame, item.judgements) for item in log(4)]


def test_a_pool_of_frames_knows_its_truth() -> None:
    frames = pool(200, seed=1)
    truth = true_figures(frames, np.full(200, 1 / 200))
    # A dent is missed in 3 of 10 cases, a scratch in 1 of 10.
    assert truth.recall["dent"] == pytest.approx(0.7, abs=0.12)
    assert truth.recall["scratch"] == pytest.approx(0.9, abs=0.08)
