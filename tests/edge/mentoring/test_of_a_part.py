"""What is known of a part later, by its serial number: end-of-line tests and customers' returns."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.stream.feedback import FeedbackRouter
from lineside.client import feedback_cli
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent, Gesture, Outcome
from lineside.v1 import mentoring_pb2

BOX = (1.0, 1.0, 5.0, 5.0)


def returned(part: str = "part-1", *, key: str = "return-0001", operator: str = "returns") -> mentoring_pb2.Feedback:
    message = feedback("", None, Gesture.MISSED, key=key, operator=operator, class_name="dent", box=BOX)
    message.part_id = part
    return message


def test_a_late_missed_defect_finds_the_newest_frame_of_its_part(tmp_path: Path) -> None:
    told: list[FeedbackEvent] = []
    with MentoringLog(tmp_path, settings(), lambda event, _: told.append(event)) as log:
        frames = [frame(seed=seed) for seed in (1, 1, 1)]
        for one in frames[:2]:
            assert log.keep(one, inspection(one, detections=0), CHOSEN)
        first = log.submit(draft_of(returned())).result(30)
        # The same key again, after the part was seen once more: the same event, about the frame of then.
        assert log.keep(frames[2], inspection(frames[2], detections=0), CHOSEN)
        again = log.submit(draft_of(returned())).result(30)
        second = log.submit(draft_of(returned(key="return-0002"))).result(30)
        assert (first.duplicate, again.duplicate, again.log_sequence) == (False, True, first.log_sequence)
        with log.reader() as reader:
            events = list(reader.feedback())
    assert second.log_sequence == 2
    assert [event.frame_id for event in events] == [frames[1].frame_id, frames[2].frame_id]
    assert told == events
    assert events[0].missed_index == 1


def test_several_returns_of_one_part_are_several_defects(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), lambda *_: None) as log:
        one = frame(seed=1)
        assert log.keep(one, inspection(one, detections=0), CHOSEN)
        for number in range(3):
            log.submit(draft_of(returned(key=f"return-000{number}"))).result(30)
        with log.reader() as reader:
            record = reader.record(one.frame_id)
    assert record is not None
    assert [item.gesture for item in record.judgements] == [Gesture.MISSED] * 3


def test_a_part_that_is_not_in_the_log_is_refused_with_the_reason_why(tmp_path: Path) -> None:
    with MentoringLog(tmp_path, settings(), lambda *_: None) as log, pytest.raises(ContractError) as refused:
        log.submit(draft_of(returned("never-seen"))).result(30)
    assert refused.value.reason is Reason.DETECTION_UNKNOWN
    assert "never-seen" in refused.value.message


def test_a_part_and_a_frame_are_not_given_together_and_a_confirm_needs_its_frame() -> None:
    both = returned()
    both.frame_id = frame().frame_id
    confirm = feedback("", 0, Gesture.CONFIRM)
    confirm.part_id, confirm.detection_id = "part-1", ""
    for message in (both, confirm):
        with pytest.raises(ContractError, match="frame_id"):
            draft_of(message)


def test_the_command_says_it_over_the_socket_and_a_tested_part_disputes_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        MentoringLog(tmp_path, settings(), lambda *_: None) as log,
        FeedbackRouter("tcp://127.0.0.1:0", log) as router,
    ):
        one = frame(seed=1)
        assert log.keep(one, inspection(one, detections=1), CHOSEN)
        common = ["--station", router.endpoint, "--part", "part-1"]
        missed = ["missed", *common, "--class", "dent", "--box", "1,1,5,5", "--by", "end of line", "--key", "eol-0001"]
        assert [feedback_cli.main(missed), feedback_cli.main(missed)] == [0, 0]
        assert "said before" in capsys.readouterr().out
        assert feedback_cli.main(["missed", *common[:3], "unknown", "--class", "dent", "--box", "1,1,5,5"]) == 2
        assert "no frame of part 'unknown'" in capsys.readouterr().err
        with log.reader() as reader:
            record = reader.record(one.frame_id)
    assert record is not None
    (judgement,) = record.judgements
    assert (judgement.outcome, judgement.operators) == (Outcome.SAID, ("end of line",))
