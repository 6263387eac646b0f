"""Selection: who takes a frame, why, and with what probability."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mentoring import frame, inspection

from edge.inspection import Inspection, Verdict
from edge.mentoring.draws import draw
from edge.mentoring.selection import Selection, Selector
from edge.mentoring.settings import (
    AnyDetectionSettings,
    AuditSettings,
    MentoringSettings,
    NoVerdictSettings,
    UncertaintySettings,
)
from lineside.ids import new_frame_id


def seen(detections: int, score: float = 0.9) -> Inspection:
    value = inspection(frame(), detections=detections)
    return dataclasses.replace(
        value, detections=tuple(dataclasses.replace(item, score=score) for item in value.detections)
    )


def test_any_detection_takes_every_frame_that_has_one_and_no_other() -> None:
    selector = Selector([AnyDetectionSettings()])
    assert selector.choose(seen(1)) == Selection(because="any_detection", probability=1.0)
    assert selector.choose(seen(0)) is None


def test_uncertainty_takes_scores_just_above_the_threshold_of_their_class() -> None:
    selector = Selector([UncertaintySettings(margin=0.1, threshold=0.5)])
    assert selector.choose(seen(1, score=0.55)) == Selection(because="uncertainty", probability=1.0)
    assert selector.choose(seen(1, score=0.75)) is None
    assert selector.choose(seen(1, score=0.75), thresholds={"dent": 0.7}) is not None
    assert selector.choose(seen(1, score=0.55), thresholds={"dent": 0.3}) is None
    assert selector.choose(seen(0)) is None


def test_no_verdict_takes_what_the_station_could_not_judge() -> None:
    selector = Selector([NoVerdictSettings()])
    failed = dataclasses.replace(seen(0), verdict=Verdict.NO_VERDICT, verdict_reason="NO_MODEL")
    assert selector.choose(failed) == Selection(because="no_verdict", probability=1.0)
    assert selector.choose(seen(2)) is None


def test_the_probability_is_that_of_being_kept_by_any_policy() -> None:
    both = Selector([AnyDetectionSettings(share=0.5), AuditSettings(share=0.2)])
    found = [choice for choice in (both.choose(seen(1)) for _ in range(200)) if choice is not None]
    assert {choice.because for choice in found} == {"any_detection", "audit"}
    # 1 - (1 - 0.5) * (1 - 0.2) for whoever took it; without a detection only the audit could.
    assert {round(choice.probability, 9) for choice in found} == {0.6}
    empty = [choice for choice in (both.choose(seen(0)) for _ in range(200)) if choice is not None]
    assert {(choice.because, round(choice.probability, 9)) for choice in empty} == {("audit", 0.2)}


def test_shares_come_out_as_asked_for() -> None:
    audit = Selector([AuditSettings(share=0.1)], seed=3)
    frames = 4000
    kept = 0
    for number in range(frames):
        value = dataclasses.replace(seen(0), frame_id=new_frame_id(number * 1_000_000, number.to_bytes(10, "big")))
        kept += audit.choose(value) is not None
    # Binomial: mean 400, standard deviation 19; fixed frame ids, so this is one number and not a matter of luck.
    assert 320 < kept < 480


def test_the_choice_depends_on_seed_and_frame_alone() -> None:
    values = [seen(1) for _ in range(50)]
    policies = [AnyDetectionSettings(share=0.5)]
    first = [Selector(policies, seed=1).choose(value) for value in values]
    assert [Selector(policies, seed=1).choose(value) for value in reversed(values)] == first[::-1]
    assert [Selector(policies, seed=2).choose(value) for value in values] != first


@given(st.integers(0, 2**64), st.integers(0, 10), st.text(max_size=20), st.text(max_size=40))
def test_a_draw_is_in_the_half_open_unit_interval(seed: int, number: int, kind: str, frame_id: str) -> None:
    assert 0 <= draw(seed, number, kind, frame_id) < 1


def test_policies_are_read_by_kind_and_a_wrong_one_names_the_possible() -> None:
    settings = MentoringSettings.model_validate(
        {"policies": [{"kind": "audit", "share": 0.25}, {"kind": "uncertainty", "margin": 0.2}]}
    )
    assert settings.policies == (AuditSettings(share=0.25), UncertaintySettings(margin=0.2))
    with pytest.raises(ValueError, match="any_detection"):
        MentoringSettings.model_validate({"policies": [{"kind": "everything"}]})
    with pytest.raises(ValueError, match="share"):
        MentoringSettings.model_validate({"policies": [{"kind": "audit", "share": 0}]})


@pytest.mark.parametrize(("because", "probability"), [("", 0.5), ("audit", 0.0), ("audit", 1.1)])
def test_a_selection_without_reason_or_chance_is_refused(because: str, probability: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        Selection(because=because, probability=probability)
