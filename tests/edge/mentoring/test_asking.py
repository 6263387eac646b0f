"""What is put to operators: who wants which detection, with what probability, within which time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.mentoring import frame, inspection, settings

from edge.inspection import Detection, Inspection
from edge.mentoring.ask_settings import (
    AnyAskSettings,
    AskingSettings,
    BalanceAskSettings,
    BandAskSettings,
    BelowAskSettings,
    NoveltyAskSettings,
)
from edge.mentoring.asking import Asked, Asker
from edge.mentoring.budget import LEAST_FILL, Budget, BudgetSettings
from edge.mentoring.log import MentoringLog
from edge.mentoring.novelty import look_of
from edge.mentoring.selection import Selector
from edge.mentoring.settings import AnyDetectionSettings, AuditSettings
from lineside.mentoring_log import MentoringLogReader

HALF = {"dent": 0.5}
HOUR = 3600 * 10**9


def scored(*scores: float, class_name: str = "dent") -> tuple[Detection, ...]:
    found = inspection(frame(), detections=len(scores), class_name=class_name).detections
    return tuple(dataclasses.replace(item, score=score) for item, score in zip(found, scores, strict=True))


def ask(*policies: object, detections: tuple[Detection, ...], raised: bool = True, seed: int = 0) -> dict[str, Asked]:
    asker = Asker(AskingSettings(policies=policies), seed)  # type: ignore[arg-type]
    return asker.ask(detections, raised=raised, thresholds=HALF, unix_ns=0)


def test_a_band_wants_scores_on_both_sides_of_the_threshold() -> None:
    band = BandAskSettings(above=0.2, below=0.1)
    raised = scored(0.95, 0.6)
    assert list(ask(band, detections=raised)) == [raised[1].detection_id]
    below = scored(0.45, 0.35)
    assert list(ask(band, detections=below, raised=False)) == [below[0].detection_id]


def test_candidates_below_are_wanted_by_those_who_look_there_alone() -> None:
    below = scored(0.45, 0.2)
    assert ask(AnyAskSettings(), detections=below, raised=False) == {}
    assert list(ask(BelowAskSettings(down_to=0.3), detections=below, raised=False)) == [below[0].detection_id]


def test_what_any_policy_wants_is_asked_and_the_probability_is_that_of_all_together() -> None:
    answers = [
        asked
        for seed in range(300)
        for asked in ask(
            AnyAskSettings(share=0.5), BandAskSettings(share=0.2), detections=scored(0.6), seed=seed
        ).values()
    ]
    assert {round(asked.probability, 9) for asked in answers} == {0.6}
    assert {asked.because for asked in answers} == {"any_detection", "band", ""}
    # Binomial with p = 0.6 of 300: mean 180, standard deviation 8.5; the seeds are fixed.
    assert 150 < sum(bool(asked.because) for asked in answers) < 210


def test_balance_wants_a_rare_class_more_than_a_frequent_one() -> None:
    asker = Asker(AskingSettings(policies=(BalanceAskSettings(),)))
    both = {"dent": 0.5, "scratch": 0.5}
    for _ in range(40):
        asker.ask(scored(0.6), raised=True, thresholds=both, unix_ns=0)
    (dent,) = asker.ask(scored(0.6), raised=True, thresholds=both, unix_ns=0).values()
    (scratch,) = asker.ask(scored(0.6, class_name="scratch"), raised=True, thresholds=both, unix_ns=0).values()
    # Only dents were asked about: an equal part would be half of them.
    assert dent.probability == pytest.approx(0.5)
    assert scratch.probability == 1.0


def test_what_looks_like_what_was_asked_is_not_novel_whatever_the_light() -> None:
    asker = Asker(AskingSettings(policies=(NoveltyAskSettings(distance=0.3),)))
    pixels = np.random.default_rng(0).integers(60, 160, (32, 32), np.uint8)
    other = np.random.default_rng(1).integers(60, 160, (32, 32), np.uint8)
    brighter = np.clip(pixels * 1.4 + 10, 0, 255).astype(np.uint8)
    box = (8.0, 8.0, 20.0, 20.0)

    def novel(picture: np.ndarray) -> bool:  # type: ignore[type-arg]
        found = tuple(dataclasses.replace(item, box=box) for item in scored(0.7))
        return bool(asker.ask(found, raised=True, thresholds=HALF, unix_ns=0, pixels=picture))

    assert [novel(picture) for picture in (pixels, brighter, other)] == [True, False, True]


def test_a_flat_place_has_no_look_and_odd_boxes_have_one() -> None:
    flat = np.full((16, 16, 3), 90, np.uint8)
    assert not look_of(flat, (2, 2, 6, 6)).any()
    noisy = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
    for box in ((-9.0, -9.0, -4.0, -4.0), (15.5, 15.5, 16.0, 16.0), (0.0, 0.0, 16.0, 16.0), (3.2, 3.2, 3.3, 3.3)):
        assert look_of(noisy, box).shape == (64,)


def test_a_budget_fills_evenly_and_never_closes() -> None:
    budget = Budget(BudgetSettings(seconds_per_shift=800, shift_hours=8, burst_seconds=100))
    assert budget.fill(0) == 1.0
    budget.spend_on_questions(100)
    assert budget.fill(0) == LEAST_FILL
    # 100 seconds an hour: after half an hour 50 of the 150 that were spent are back, after two all of them.
    assert budget.fill(HOUR // 2) == LEAST_FILL
    assert budget.fill(HOUR) == pytest.approx(0.5)
    assert budget.fill(0) == pytest.approx(0.5)
    assert budget.fill(30 * HOUR) == 1.0


def test_a_shift_asks_for_about_the_seconds_it_has() -> None:
    limits = BudgetSettings(seconds_per_shift=900, shift_hours=8, burst_seconds=60)
    asker = Asker(AskingSettings(budget=limits))
    asked = 0
    wanted = 3000
    for number in range(wanted):
        answers = asker.ask(scored(0.7), raised=True, thresholds=HALF, unix_ns=8 * HOUR * number // wanted)
        asked += sum(bool(item.because) for item in answers.values())
    # 900 s at 1.5 s a question, and what was saved up at first.
    assert 560 <= asked <= 680


def test_a_frame_is_kept_for_a_question_below_the_threshold_alone() -> None:
    asking = AskingSettings(policies=(BandAskSettings(above=0.5, below=0.1, share=0.5),))
    selector = Selector([AnyDetectionSettings()], asking=asking)
    assert selector.down_to({"dent": 0.5, "scratch": 0.7}) == pytest.approx(0.4)
    assert Selector([AnyDetectionSettings()]).down_to({"dent": 0.5}) is None
    silent = inspection(frame(), detections=0)
    chosen = [selector.choose(silent, thresholds=HALF, candidates=scored(0.45)) for _ in range(40)]
    kept = [item for item in chosen if item is not None]
    assert 5 < len(kept) < 35
    assert {(item.because, item.probability) for item in kept} == {("band", 0.5)}


def test_the_audit_asks_for_a_search_of_frames_with_and_without_detections() -> None:
    selector = Selector([AnyDetectionSettings(), AuditSettings(share=1.0)])
    for detections in (0, 2):
        chosen = selector.choose(inspection(frame(), detections=detections), thresholds=HALF)
        assert chosen is not None
        assert chosen.search == Asked(because="audit", probability=1.0)


def test_questions_are_kept_beside_detections_and_only_what_is_asked_waits(tmp_path) -> None:  # type: ignore[no-untyped-def]
    asking = AskingSettings(policies=(BandAskSettings(above=0.2, below=0.1),))
    selector = Selector([AnyDetectionSettings()], asking=asking)
    shown = frame()
    seen = inspection(shown, detections=2)
    first, second = seen.detections
    seen = dataclasses.replace(
        seen, detections=(dataclasses.replace(first, score=0.95), dataclasses.replace(second, score=0.6))
    )
    below = tuple(
        dataclasses.replace(item, score=score, detection_id=f"{shown.frame_id}/{number}")
        for number, (item, score) in enumerate(zip(scored(0.45, 0.2), (0.45, 0.2), strict=True), 2)
    )
    chosen = selector.choose(seen, thresholds=HALF, candidates=below)
    assert chosen is not None
    with MentoringLog(tmp_path, settings(), lambda *_: None) as log:
        assert log.keep(shown, seen, chosen, candidates=below)
        log.flush(30)
    with MentoringLogReader(tmp_path) as reader:
        record = reader.record(shown.frame_id)
        waiting, number = reader.undecided(frames=10, limit=10)
    assert record is not None
    assert [(item.raised, item.asked_because) for item in record.detections] == [
        (True, ""),
        (True, "band"),
        (False, "band"),
    ]
    assert [item.detection_id for item in record.raised] == [f"{shown.frame_id}/{place}" for place in (0, 1)]
    assert number == 2
    assert [item.detection_id for _, item in waiting] == [f"{shown.frame_id}/{place}" for place in (1, 2)]


def test_who_saw_only_the_frame_is_told_nothing_of_questions() -> None:
    value: Inspection = inspection(frame(), detections=1)
    assert len(value.to_message().detections) == 1
