"""Ten thousand messages, three in ten of them twice, in any order: the log folds to what was said."""

from __future__ import annotations

import random
from pathlib import Path

from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.mentoring.database import LogDatabase
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from lineside.fold import fold
from lineside.mentoring_log import MentoringLogReader
from lineside.records import FeedbackEvent, Gesture, Judgement
from lineside.v1 import mentoring_pb2

FRAMES, MESSAGES = 60, 10_000
GESTURES = (Gesture.CONFIRM, Gesture.REJECT, Gesture.UNSURE, Gesture.POOR_BOX, Gesture.WRONG_CLASS, Gesture.RETRACT)


def said_by_all(frame_ids: list[str], chance: random.Random) -> list[mentoring_pb2.Feedback]:
    """Different messages: three operators change their minds about detections and frames."""
    revisions: dict[tuple[str, int | None, str], int] = {}
    messages = []
    for number in range(MESSAGES * 10 // 13):
        frame_id = chance.choice(frame_ids)
        target = chance.choice((0, 1, 2, None))
        operator = chance.choice(("ada", "bea", "cem"))
        revision = revisions[frame_id, target, operator] = revisions.get((frame_id, target, operator), 0) + 1
        gesture = chance.choice(GESTURES)
        if target is None and gesture is not Gesture.RETRACT:
            gesture = chance.choice((Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE))
        name = "scratch" if gesture is Gesture.WRONG_CLASS else ""
        messages.append(
            feedback(
                frame_id, target, gesture, revision=revision, operator=operator, class_name=name, key=f"key-{number:06}"
            )
        )
    return messages


def without_places(judgements: tuple[Judgement, ...]) -> list[tuple[object, ...]]:
    """All but the log's numbers, which tell the order of arrival."""
    return [(item.outcome, item.detection_id, item.gesture, item.class_name, item.operators) for item in judgements]


def test_ten_thousand_messages_with_doubles_in_random_order_fold_right(tmp_path: Path) -> None:
    chance = random.Random(3)
    shown = [frame(seed=seed) for seed in range(FRAMES)]
    with MentoringLog(tmp_path, settings(), lambda *_: None) as log:
        for one in shown:
            assert log.keep(one, inspection(one, detections=3), CHOSEN)
        log.flush(60)
    messages = said_by_all([one.frame_id for one in shown], chance)
    arriving = messages + chance.sample(messages, MESSAGES - len(messages))
    chance.shuffle(arriving)
    database = LogDatabase(tmp_path)
    doubles = 0
    try:
        for start in range(0, len(arriving), 500):
            with database.transaction():
                for message in arriving[start : start + 500]:
                    doubles += database.add_feedback(draft_of(message), 1).duplicate
    finally:
        database.close()
    assert (len(arriving), doubles) == (MESSAGES, MESSAGES - len(messages))
    in_order: dict[str, list[FeedbackEvent]] = {}
    for number, message in enumerate(messages, 1):
        event = draft_of(message).event(number, 1)
        in_order.setdefault(event.frame_id, []).append(event)
    with MentoringLogReader(tmp_path) as reader:
        events = list(reader.feedback())
        assert [event.log_sequence for event in events] == list(range(1, len(messages) + 1))
        for record in reader.records():
            expected = fold(in_order[record.frame.frame_id])
            assert without_places(record.judgements) == without_places(expected)
            assert [set(item.operators) for item in record.judgements] == [set(item.operators) for item in expected]
