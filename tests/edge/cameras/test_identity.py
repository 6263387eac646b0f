"""The answer is about the very picture that was sent or triggered; the proof fails where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import identity
from benchmarks.numbers import MOST, draw, read
from edge.models.slot import Answer, ServingModel


@pytest.mark.xdist_group("basler")
def test_the_number_in_the_picture_is_the_number_of_the_answer_with_models_that_overtake_each_other(
    tmp_path: Path,
) -> None:
    report = identity.run(tmp_path, frames=500)
    assert report.troubles == []
    assert (report.frames, report.mismatches, report.without_verdict) == (500, 0, 0)
    assert (report.events_mismatched, report.events_missing, report.events_twice) == (0, 0, 0)
    assert report.events == report.frames + report.free
    assert report.triggered > 0
    assert report.free > 0
    assert report.overtaken > 50  # else the order proves nothing


@pytest.mark.xdist_group("basler")
def test_one_answer_given_to_another_frame_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, kept = ServingModel.answer, []

    def mixed_up(self: ServingModel, *arguments: object, **fields: object) -> Answer:
        kept.append(answer(self, *arguments, **fields))  # type: ignore[arg-type]
        return kept[-2] if len(kept) == 40 else kept[-1]

    monkeypatch.setattr(ServingModel, "answer", mixed_up)
    report = identity.run(tmp_path, frames=60)
    assert report.mismatches + report.events_mismatched >= 1
    assert report.troubles


def test_a_number_is_read_as_it_was_drawn_or_not_at_all() -> None:
    for number in (0, 1, 255, 256, 65535, 1 << 23, MOST - 1):
        for size in (64, 128):
            pixels = draw(number, size)
            assert read(pixels) == number
            assert identity.box_of(number)[2] <= size
    torn = draw(123456)
    torn[16:32] = draw(654321)[16:32]
    assert read(torn) is None
    with pytest.raises(ValueError, match="number is 16777216"):
        draw(MOST)
