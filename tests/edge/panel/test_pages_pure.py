"""Counts, precision, people and drift by themselves; the drift on the synthetic line, whose light really changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.panel.pages.drift import Alarms, answer_findings, picture_findings
from edge.panel.pages.figures import precision_json
from edge.panel.pages.people import people_json
from edge.panel.pages.sight import Looks, look_at, shift, together
from edge.panel.pages.tally import SPAN_SECONDS, Span, Tally, span_of
from edge.panel.pages.tally_file import TallyFile
from lineside.fold import fold
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from lineside.synthetic import CHANGED, ORIGINAL, Setup, render
from lineside.v1 import inspection_pb2

# Counts


def part(seconds: float, verdict: inspection_pb2.Verdict.ValueType, *classes: str) -> inspection_pb2.InspectionResult:
    return inspection_pb2.InspectionResult(
        verdict=verdict,
        captured_unix_ns=int(seconds * 1e9),
        detections=[inspection_pb2.Detection(class_name=name) for name in classes],
    )


def test_parts_are_counted_in_spans_of_ten_minutes_and_a_span_is_over_with_the_next() -> None:
    tally, start = Tally(), SPAN_SECONDS * 1000
    assert tally.see(part(start + 1, inspection_pb2.VERDICT_PASS)) is None
    assert tally.see(part(start + 599, inspection_pb2.VERDICT_REJECT, "dent", "dent")) is None
    over = tally.see(part(start + 601, inspection_pb2.VERDICT_UNSPECIFIED))
    assert over == Span(at=start, parts=2, rejected=1, found={"dent": 2})
    assert tally.see(part(start + 5, inspection_pb2.VERDICT_PASS)) is None, (
        "one that comes late is counted where it was"
    )
    assert [(span.at - start, span.parts, span.no_verdict) for span in tally.spans()] == [(0, 3, 0), (600, 1, 1)]
    assert [span.parts for span in tally.spans(start + 600)] == [1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 39))
def test_a_restart_at_any_moment_loses_no_count(parts: list[tuple[int, bool]], cut: int) -> None:
    import tempfile

    def run(tally: Tally, file: TallyFile, some: Sequence[tuple[int, bool]]) -> None:
        for span, bad in some:
            verdict = inspection_pb2.VERDICT_REJECT if bad else inspection_pb2.VERDICT_PASS
            over = tally.see(part(span * SPAN_SECONDS, verdict, *(["dent"] if bad else [])))
            if over is not None:
                file.keep(over)
        for span in tally.spans():
            file.keep(span)

    whole = Tally()
    for span, bad in parts:
        verdict = inspection_pb2.VERDICT_REJECT if bad else inspection_pb2.VERDICT_PASS
        whole.see(part(span * SPAN_SECONDS, verdict, *(["dent"] if bad else [])))
    with tempfile.TemporaryDirectory() as folder:
        for some in (parts[:cut], parts[cut:]):
            file = TallyFile(Path(folder))
            run(file.load(), file, some)
        assert TallyFile(Path(folder)).load().spans() == whole.spans()


def test_a_damaged_file_of_counts_costs_its_lines_and_nothing_else(tmp_path: Path) -> None:
    good = Span(at=600, parts=3, rejected=1, found={"dent": 1})
    file = TallyFile(tmp_path)
    file.load()
    file.keep(good)
    path = tmp_path / "counts.jsonl"
    path.write_text(
        '{"at": 600\n[]\n{"at": 7, "parts": 1, "rejected": 0, "no_verdict": 0, "found": {}}\n' + path.read_text()
    )
    assert TallyFile(tmp_path).load().spans() == [good]
    with pytest.raises(ValueError, match="negative"):
        span_of({**good.to_json(), "parts": -1})


# Precision and people

FRAME = RecordedFrame(
    frame_id="f",
    boot_id="",
    station="line-1",
    camera="top",
    part_id="",
    camera_sequence=0,
    width=10,
    height=10,
    captured_unix_ns=0,
    captured_monotonic_ns=0,
    image_sha256="",
    image_suffix="pgm",
    image_bytes=0,
    model_digest="",
    verdict="REJECT",
    verdict_reason="",
    selected_because="",
    selection_probability=1.0,
    recorded_unix_ns=int(50e9),
)


def said(gesture: Gesture, number: int | None = 0, operator: str = "ada", revision: int = 1) -> FeedbackEvent:
    return FeedbackEvent(
        log_sequence=1,
        key=f"{gesture}{number}{operator}{revision}",
        frame_id="f",
        detection_id=None if number is None else f"f/{number}",
        gesture=gesture,
        class_name=None,
        box=None,
        missed_index=0,
        revision=revision,
        operator=operator,
        seconds=2.0,
        client_unix_ns=0,
        received_unix_ns=0,
    )


def record(classes: Sequence[str], *events: FeedbackEvent, at: float = 50.0) -> MentoringRecord:
    return MentoringRecord(
        frame=dataclasses.replace(FRAME, recorded_unix_ns=int(at * 1e9)),
        detections=tuple(
            RecordedDetection(
                detection_id=f"f/{number}",
                class_index=0,
                class_name=name,
                score=0.9,
                box=(0, 0, 1, 1),
                areas=np.zeros(1, np.int32),
            )
            for number, name in enumerate(classes)
        ),
        judgements=fold(events),
    )


def test_precision_counts_what_was_settled_by_class_and_by_time() -> None:
    records = [
        record(["dent", "dent", "stain"], said(Gesture.CONFIRM, 0), said(Gesture.REJECT, 1), said(Gesture.UNSURE, 2)),
        record(["dent"], said(Gesture.POOR_BOX, 0), at=150),
        record(["stain"], said(Gesture.WRONG_CLASS, 0), at=150),
        record(["stain"], said(Gesture.FRAME_HEALTHY, None), at=150),
        record(["dent"], said(Gesture.CONFIRM, 0), said(Gesture.REJECT, 0, "grace"), at=150),  # disputed
        record(["dent"], said(Gesture.REJECT, 0), said(Gesture.RETRACT, 0, revision=2), at=150),  # taken back
        record(["dent"], said(Gesture.CONFIRM, 0), at=999),  # outside
    ]
    shown = precision_json(records, [0, 100, 200])
    assert {name: shown["all"][name] for name in ("right", "wrong", "open")} == {"right": 2, "wrong": 3, "open": 2}
    assert shown["all"]["share"] == 0.4
    # Wilson at 2 of 5, z = 1.96: (0.4 + 0.384 -+ 1.96 sqrt(0.048 + 0.0384)) / 1.768
    assert (shown["all"]["low"], shown["all"]["high"]) == (
        pytest.approx(0.118, abs=2e-3),
        pytest.approx(0.769, abs=2e-3),
    )
    by_class = {item["name"]: (item["right"], item["wrong"], item["open"]) for item in shown["classes"]}
    assert by_class == {"dent": (2, 1, 1), "stain": (0, 2, 1)}
    assert [(item["right"], item["wrong"]) for item in shown["over_time"]] == [(1, 1), (1, 2)]
    assert precision_json([], [0, 1])["all"]["share"] is None


def test_two_who_judged_the_same_are_compared_and_one_alone_is_not() -> None:
    frames = [
        [said(Gesture.CONFIRM, 0), said(Gesture.POOR_BOX, 0, "grace")],
        [said(Gesture.REJECT, 0), said(Gesture.CONFIRM, 0, "grace")],
        [said(Gesture.REJECT, 1), said(Gesture.UNSURE, 1, "grace"), said(Gesture.RETRACT, 2, "grace")],
    ]
    ada, grace = people_json(frames)
    assert (ada["name"], ada["clicks"], ada["compared"], ada["agreed"], ada["agreement"]) == ("ada", 3, 2, 1, 0.5)
    assert (grace["clicks"], grace["unsure"], grace["taken_back"], grace["seconds"]) == (3, 1, 1, 2.0)
    (alone,) = people_json([[said(Gesture.CONFIRM, 0)]])
    assert (alone["agreement"], alone["low"]) == (None, None)


# Drift


def looks(setup: Setup, numbers: range, change: object = None) -> Looks:
    def seen(number: int) -> NDArray[np.uint8]:
        pixels = render(number, seed=3, setup=setup, size=128).pixels
        return pixels if change is None else change(pixels)  # type: ignore[operator, no-any-return]

    return together([look_at(seen(number)) for number in numbers])


@pytest.fixture(scope="module")
def reference() -> Looks:
    return looks(ORIGINAL, range(20))


def kinds(before: Looks, now: Looks) -> set[str]:
    return {finding.kind for finding in picture_findings(before, now, None)}


def test_other_parts_in_the_same_light_are_no_drift(reference: Looks) -> None:
    assert kinds(reference, looks(ORIGINAL, range(100, 120))) == set()


def test_the_synthetic_lines_changed_light_is_noticed(reference: Looks) -> None:
    found = kinds(reference, looks(CHANGED, range(100, 120)))
    assert found & {"sharper", "uneven"}
    assert "moved" not in found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda pixels: (pixels * 0.7).astype(np.uint8), "darker"),
        (lambda pixels: np.clip(pixels * 1.3, 0, 255).astype(np.uint8), "brighter"),
        (lambda pixels: np.roll(pixels, 8, axis=1), "moved"),
        (lambda pixels: __import__("cv2").GaussianBlur(pixels, (0, 0), 2.5), "unsharp"),
        (lambda pixels: (pixels * np.linspace(0.6, 1.0, pixels.shape[1])).astype(np.uint8), "uneven"),
    ],
    ids=["darker", "brighter", "moved", "unsharp", "uneven"],
)
def test_each_change_has_its_own_word(reference: Looks, change: object, kind: str) -> None:
    assert kind in kinds(reference, looks(ORIGINAL, range(100, 120), change))


def test_a_shift_is_measured_in_shares_of_the_picture(reference: Looks) -> None:
    moved = looks(ORIGINAL, range(20), lambda pixels: np.roll(pixels, (0, 16), axis=(0, 1)))
    x, y, peak = shift(reference.small, moved.small)
    assert (x, y) == (pytest.approx(16 / 128, abs=0.011), pytest.approx(0, abs=0.011))
    assert peak > 0.3


def test_a_light_unlike_the_packages_own_pictures_is_said(reference: Looks) -> None:
    level = reference.mean["brightness"]
    assert picture_findings(reference, reference, (level * 0.9, level * 1.1)) == []
    (finding,) = picture_findings(reference, reference, (level * 1.5, level * 1.8))
    assert (finding.kind, finding.before) == ("unlike_training", level * 1.5)


def alarms(parts: int, rejected: int, score: float) -> Alarms:
    scores = max(20, rejected)
    return Alarms(
        parts=parts,
        rejected=rejected,
        scores=scores,
        score_sum=scores * score,
        score_squares=scores * (score**2 + 0.01),
    )


def test_more_alarms_are_said_when_chance_cannot_explain_them() -> None:
    before = alarms(200, 10, 0.8)
    assert answer_findings(before, alarms(100, 6, 0.8)) == []
    assert answer_findings(before, alarms(100, 12, 0.8)) == [], "twice as many of few may be chance"
    assert [item.kind for item in answer_findings(before, alarms(100, 25, 0.8))] == ["more_alarms"]
    assert [item.kind for item in answer_findings(before, alarms(100, 6, 0.6))] == ["less_sure"]
    assert answer_findings(Alarms(), Alarms()) == []
