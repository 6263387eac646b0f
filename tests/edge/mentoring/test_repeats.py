"""Hidden repeats: somebody else's answered questions among one's own, at a settable rate, never one's own twice."""

from __future__ import annotations

from pathlib import Path

from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.mentoring.ask_settings import AskingSettings
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.repeats import mixed, queue_for
from lineside.records import Gesture


def test_repeats_come_at_the_asked_rate_and_stay_at_their_places() -> None:
    fresh = [f"fresh-{number}" for number in range(4000)]
    repeats = [f"repeat-{number}" for number in range(4000)]
    shown = mixed(fresh, repeats, share=0.2, seed=1, operator="ada", name=str)
    # Binomial: mean 1000 of 5000, standard deviation 27; the names are fixed.
    assert 900 < sum(item.startswith("repeat") for item in shown) < 1100
    assert (
        mixed(fresh[:50], repeats, share=0.2, seed=1, operator="ada", name=str) == shown[: shown.index("fresh-49") + 1]
    )
    assert mixed([], repeats, share=0.2, seed=1, operator="ada", name=str) == []
    assert mixed(fresh[:9], [], share=0.2, seed=1, operator="ada", name=str) == fresh[:9]


def test_only_what_others_answered_is_repeated_and_whose_can_be_chosen(tmp_path: Path) -> None:
    frames = [frame(seed=seed) for seed in range(4)]
    ada, bob, both, open_one = (one.frame_id for one in frames)
    with MentoringLog(tmp_path, settings(), lambda *_: None) as log:
        for one in frames:
            assert log.keep(one, inspection(one, detections=1), CHOSEN)
        said = [(ada, "ada", 1), (bob, "bob", 1), (both, "ada", 1), (both, "bob", 1)]
        for frame_id, operator, revision in said:
            log.submit(draft_of(feedback(frame_id, 0, Gesture.REJECT, operator=operator, revision=revision))).result(30)
        with log.reader() as reader:

            def repeated(operator: str, *by: str) -> set[str]:
                found = reader.answered_by_others(operator, frames=10, limit=10, by=by)
                return {item.frame_id for item, _ in found}

            assert repeated("ada") == {bob}
            assert repeated("cem") == {ada, bob, both}
            assert repeated("cem", "bob") == {bob, both}
            asking = AskingSettings(repeat_share=0.5, known_by=("bob",))
            shown, waiting, hidden = queue_for(reader, "cem", asking, frames=10, limit=10)
            assert waiting == 1
            assert [item.frame_id for item, _ in shown][-1] == open_one
            assert hidden == {shown[0][1].detection_id}
            assert queue_for(reader, "cem", AskingSettings(), frames=10, limit=10)[2] == frozenset()
