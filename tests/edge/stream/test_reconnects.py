"""Connections that break again and again: what was said is in the log once, whoever heard of it."""

from __future__ import annotations

import random
from pathlib import Path

import zmq
from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.mentoring.log import MentoringLog
from edge.stream.feedback import FeedbackRouter
from lineside.records import Gesture
from lineside.v1 import mentoring_pb2

RECONNECTS = 200


def test_two_hundred_reconnects_leave_no_hole_and_no_double(tmp_path: Path) -> None:
    """Each connection sends two new answers and all that was never acknowledged, and often goes without listening."""
    chance = random.Random(5)
    shown = [frame(seed=seed) for seed in range(20)]
    unheard: dict[str, bytes] = {}
    acknowledged: dict[str, int] = {}
    given = 0
    with (
        MentoringLog(tmp_path / "log", settings(), lambda *_: None) as log,
        FeedbackRouter("tcp://127.0.0.1:0", log) as router,
        zmq.Context() as context,
    ):
        for one in shown:
            assert log.keep(one, inspection(one), CHOSEN)
        for reconnect in range(RECONNECTS + 1):
            last = reconnect == RECONNECTS
            with context.socket(zmq.DEALER) as operator:
                operator.linger = 20
                operator.rcvtimeo = 20_000
                operator.connect(router.endpoint)
                for _ in range(0 if last else 2):
                    revision, place = divmod(given, 2 * len(shown))
                    message = feedback(
                        shown[place // 2].frame_id,
                        place % 2,
                        Gesture.REJECT,
                        revision=revision + 1,
                        key=f"key-{given:06}",
                    )
                    unheard[message.key] = mentoring_pb2.FeedbackRequest(feedback=message).SerializeToString()
                    given += 1
                waiting = list(unheard)
                for key in waiting:
                    operator.send(unheard[key])
                for _ in range(len(waiting) if last or chance.random() < 0.4 else chance.randrange(2)):
                    ack = mentoring_pb2.FeedbackAck.FromString(operator.recv())
                    assert ack.code == 0
                    assert acknowledged.setdefault(ack.key, ack.log_sequence) == ack.log_sequence
                    unheard.pop(ack.key, None)
        with log.reader() as reader:
            events = list(reader.feedback())
    assert unheard == {}
    assert given == 2 * RECONNECTS
    assert [event.log_sequence for event in events] == list(range(1, given + 1))
    assert {event.key: event.log_sequence for event in events} == acknowledged
