"""The feedback socket, with real sockets: acknowledgements, garbage, many clients, CURVE."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq
from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.frame import Frame
from edge.mentoring.database import Accepted
from edge.mentoring.feedback import FeedbackDraft
from edge.mentoring.log import MentoringLog
from edge.stream.curve import CurveGuard, CurveSettings, KeyRing
from edge.stream.feedback import LARGEST_MESSAGE, FeedbackRouter
from lineside.client.curve import CurveKeys, make_keys, read_key_file
from lineside.client.errors import StationUnreachableError
from lineside.client.feedback import FeedbackClient
from lineside.ids import new_frame_id
from lineside.reasons import Code, ContractError, Reason
from lineside.records import FeedbackEvent, Gesture
from lineside.v1 import mentoring_pb2
from loop.ports import steady_address

ANY_PORT = "tcp://127.0.0.1:0"
MILLISECONDS = 20_000


def ignore(event: FeedbackEvent, sequence: int) -> None:
    """Nobody listens."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[MentoringLog]:
    with MentoringLog(tmp_path / "log", settings(), ignore) as opened:
        yield opened


@pytest.fixture
def router(log: MentoringLog) -> Iterator[FeedbackRouter]:
    with FeedbackRouter(ANY_PORT, log) as opened:
        yield opened


def kept(log: MentoringLog, count: int = 1) -> list[Frame]:
    shown = [frame(seed=seed) for seed in range(count)]
    for one in shown:
        assert log.keep(one, inspection(one), CHOSEN)
    return shown


@contextlib.contextmanager
def dealer(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A bare client, for what a FeedbackClient would never send."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as bare:
        bare.linger = 0
        bare.rcvtimeo = MILLISECONDS
        bare.connect(endpoint)
        yield bare


def test_an_acknowledged_event_is_on_the_disk(log: MentoringLog, router: FeedbackRouter) -> None:
    (shown,) = kept(log)
    message = feedback(shown.frame_id, 0, Gesture.REJECT)
    with FeedbackClient(router.endpoint) as client:
        ack = client.send(message)
        assert (ack.key, ack.code, ack.log_sequence, ack.duplicate) == (message.key, 0, 1, False)
        with log.reader() as reader:
            assert [event.key for event in reader.feedback()] == [message.key]
        again = client.send(message)
        assert (again.log_sequence, again.duplicate) == (1, True)


def test_the_client_fills_in_what_was_left_out(log: MentoringLog, router: FeedbackRouter) -> None:
    (shown,) = kept(log)
    message = mentoring_pb2.Feedback(
        frame_id=shown.frame_id, detection_id=f"{shown.frame_id}/0", gesture=mentoring_pb2.GESTURE_CONFIRM
    )
    with FeedbackClient(router.endpoint, operator="ada") as client:
        client.send(message)
        assert client.send(message).duplicate  # the key is in the message now
    with log.reader() as reader:
        (event,) = reader.feedback()
    assert (event.operator, event.revision, event.key) == ("ada", 1, message.key)
    assert event.client_unix_ns > 0


def test_refusals_reach_the_caller_as_the_contracts_errors(log: MentoringLog, router: FeedbackRouter) -> None:
    (shown,) = kept(log)
    with FeedbackClient(router.endpoint) as client:
        for message, reason in (
            (feedback(new_frame_id(), 0), Reason.DETECTION_UNKNOWN),
            (feedback(shown.frame_id, 0, revision=0), None),
            (feedback(shown.frame_id, 0, key="a key with spaces"), Reason.FEEDBACK_MALFORMED),
            (feedback(shown.frame_id, 0, Gesture.REJECT), Reason.FEEDBACK_CONFLICT),
        ):
            if reason is None:
                client.send(message)
                continue
            with pytest.raises(ContractError) as caught:
                client.send(message)
            assert caught.value.reason is reason
        acks = client.send_many([feedback(shown.frame_id, 1), feedback(shown.frame_id, 9)])
    assert [(ack.code, ack.reason) for ack in acks] == [(0, ""), (Code.NOT_FOUND, "DETECTION_UNKNOWN")]


def test_many_events_are_pipelined_and_answered_in_the_callers_order(log: MentoringLog, router: FeedbackRouter) -> None:
    shown = kept(log, 50)
    messages = [feedback(one.frame_id, number) for one in shown for number in range(2)]
    chance = random.Random(3)
    arrivals = [*messages, *chance.sample(messages, 30)]
    chance.shuffle(arrivals)
    with FeedbackClient(router.endpoint, window=32) as client:
        acks = client.send_many(iter(arrivals))
    assert [ack.key for ack in acks] == [message.key for message in arrivals]
    assert sum(ack.duplicate for ack in acks) == 30
    assert {ack.log_sequence for ack in acks} == set(range(1, 101))


def test_several_operators_at_once_each_get_their_own_answers(log: MentoringLog, router: FeedbackRouter) -> None:
    shown = kept(log, 40)

    def work(operator: str) -> list[mentoring_pb2.FeedbackAck]:
        with FeedbackClient(router.endpoint, operator=operator) as client:
            return client.send_many(feedback(one.frame_id, 0, operator=operator) for one in shown)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, ["ada", "bob", "cy", "dee"]))
    assert all(ack.code == 0 for acks in answers for ack in acks)
    assert sorted(ack.log_sequence for acks in answers for ack in acks) == list(range(1, 161))


@pytest.mark.parametrize(
    "garbage",
    [
        [b""],
        [b"\xff\xff\xff\xff garbage"],
        [pickle.dumps({"key": "value"})],
        [json.dumps({"feedback": {}}).encode()],
        [b"", mentoring_pb2.FeedbackRequest(feedback=feedback(new_frame_id(), 0)).SerializeToString()],
        [b"a", b"b", b"c"],
    ],
    ids=["empty", "bytes", "pickle", "json", "two parts", "three parts"],
)
def test_garbage_is_answered_and_the_next_request_is_served(
    log: MentoringLog, router: FeedbackRouter, garbage: list[bytes]
) -> None:
    (shown,) = kept(log)
    with dealer(router.endpoint) as client:
        client.send_multipart(garbage)
        ack = mentoring_pb2.FeedbackAck.FromString(client.recv())
        assert (ack.code, ack.reason, ack.log_sequence) == (Code.INVALID_ARGUMENT, "FEEDBACK_MALFORMED", 0)
        assert ack.message
        client.send(mentoring_pb2.FeedbackRequest(feedback=feedback(shown.frame_id, 0)).SerializeToString())
        assert mentoring_pb2.FeedbackAck.FromString(client.recv()).log_sequence == 1


def test_a_message_beyond_the_limit_is_cut_off_and_hurts_nobody_else(log: MentoringLog, router: FeedbackRouter) -> None:
    (shown,) = kept(log)
    with dealer(router.endpoint) as rude, FeedbackClient(router.endpoint) as client:
        rude.rcvtimeo = 300
        rude.send(b"x" * (LARGEST_MESSAGE + 1))
        with pytest.raises(zmq.Again):
            rude.recv()
        assert client.send(feedback(shown.frame_id, 0)).log_sequence == 1


def test_bytes_that_are_not_zeromq_hurt_nobody(log: MentoringLog, router: FeedbackRouter) -> None:
    (shown,) = kept(log)
    host, port = router.endpoint.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        with FeedbackClient(router.endpoint) as client:
            assert client.send(feedback(shown.frame_id, 0)).log_sequence == 1


def test_a_client_that_goes_away_does_not_stop_the_rest(log: MentoringLog, router: FeedbackRouter) -> None:
    shown = kept(log, 20)
    for one in shown[:10]:
        with dealer(router.endpoint) as hasty:
            hasty.linger = 1000
            hasty.send(mentoring_pb2.FeedbackRequest(feedback=feedback(one.frame_id, 0)).SerializeToString())
    with FeedbackClient(router.endpoint) as client:
        acks = client.send_many(feedback(one.frame_id, 1) for one in shown)
    assert all(ack.code == 0 for ack in acks)


class SlowLog:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[FeedbackDraft, Future[Accepted]]] = []
        self.came = threading.Semaphore(0)

    def submit(self, draft: FeedbackDraft) -> Future[Accepted]:
        future: Future[Accepted] = Future()
        self.asked.append((draft, future))
        self.came.release()
        return future


def test_no_acknowledgement_before_the_log_is_done_and_the_same_key_is_asked_again() -> None:
    log = SlowLog()
    with FeedbackRouter(ANY_PORT, log) as router, ThreadPoolExecutor(1) as pool:
        with FeedbackClient(router.endpoint, timeout=0.2, tries=100) as client:
            answer = pool.submit(client.send, feedback(new_frame_id(), 0))
            for _ in range(3):
                assert log.came.acquire(timeout=20)
            assert not answer.done()
            assert len({draft.key for draft, _ in log.asked}) == 1
            log.asked[0][1].set_result(Accepted(log_sequence=5, duplicate=False))
            assert answer.result(20).log_sequence == 5
        for _, future in log.asked[1:]:
            future.set_result(Accepted(log_sequence=5, duplicate=True))


def test_stopping_sends_what_is_on_its_way_and_refuses_what_comes() -> None:
    log = SlowLog()
    with FeedbackRouter(ANY_PORT, log) as router, dealer(router.endpoint) as client:
        first, second = feedback(new_frame_id(), 0), feedback(new_frame_id(), 0)
        client.send(mentoring_pb2.FeedbackRequest(feedback=first).SerializeToString())
        assert log.came.acquire(timeout=20)
        stopping = threading.Thread(target=router.close)
        stopping.start()
        assert router._stop.wait(20)
        client.send(mentoring_pb2.FeedbackRequest(feedback=second).SerializeToString())
        ack = mentoring_pb2.FeedbackAck.FromString(client.recv())
        assert (ack.key, ack.reason) == (second.key, "DRAINING")
        log.asked[0][1].set_result(Accepted(log_sequence=1, duplicate=False))
        ack = mentoring_pb2.FeedbackAck.FromString(client.recv())
        assert (ack.key, ack.log_sequence) == (first.key, 1)
        stopping.join(20)
        assert not stopping.is_alive()


def test_a_client_waits_for_a_station_that_is_started_again(log: MentoringLog) -> None:
    (shown,) = kept(log)
    endpoint = f"tcp://{steady_address()}"
    with (
        FeedbackRouter(endpoint, log) as first,
        FeedbackClient(endpoint, timeout=0.2, tries=100) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.send(feedback(shown.frame_id, 0))
        first.close()
        answer = pool.submit(client.send, feedback(shown.frame_id, 1))
        with FeedbackRouter(endpoint, log):
            assert answer.result(20).log_sequence == 2


def test_nobody_there_is_said_after_the_last_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            FeedbackClient(endpoint, timeout=0.05, tries=2) as client,
            pytest.raises(StationUnreachableError, match=r"2 times 0\.05 s"),
        ):
            client.send(feedback(new_frame_id(), 0))


def test_an_address_in_use_is_said_at_the_start(log: MentoringLog, router: FeedbackRouter) -> None:
    with pytest.raises(OSError, match="cannot listen on"), FeedbackRouter(router.endpoint, log):
        pass


# CURVE


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A station's keys, ada's among its clients, and eve's who is a stranger."""
    folder = tmp_path / "keys"
    make_keys(folder, "station")
    make_keys(folder, "eve")
    ada, _ = make_keys(folder, "ada")
    (folder / "clients").mkdir()
    (folder / "clients" / "ada.key").write_bytes(ada.read_bytes())
    return folder


@pytest.fixture
def guard(keys: Path) -> Iterator[CurveGuard]:
    with CurveGuard(CurveSettings(secret_key=keys / "station.key_secret", clients=keys / "clients")) as opened:
        yield opened


def keys_of(keys: Path, name: str) -> CurveKeys:
    return CurveKeys.from_files(own=keys / f"{name}.key_secret", server=keys / "station.key")


def test_who_an_operator_is_comes_from_the_key_and_not_from_the_message(
    log: MentoringLog, guard: CurveGuard, keys: Path
) -> None:
    (shown,) = kept(log)
    with FeedbackRouter(ANY_PORT, log, guard) as router:
        with FeedbackClient(router.endpoint, operator="mallory", curve=keys_of(keys, "ada")) as client:
            client.send(feedback(shown.frame_id, 0, operator="mallory"))
        with log.reader() as reader:
            assert [event.operator for event in reader.feedback()] == ["ada"]


def test_a_strangers_key_is_refused_and_told_so(log: MentoringLog, guard: CurveGuard, keys: Path) -> None:
    (shown,) = kept(log)
    with FeedbackRouter(ANY_PORT, log, guard) as router:
        with (
            FeedbackClient(router.endpoint, curve=keys_of(keys, "eve")) as client,
            pytest.raises(ContractError, match="does not know the key") as caught,
        ):
            client.send(feedback(shown.frame_id, 0))
        assert caught.value.reason is Reason.UNAUTHENTICATED
        with log.reader() as reader:
            assert list(reader.feedback()) == []


def test_without_keys_or_with_another_stations_nothing_gets_through(
    log: MentoringLog, guard: CurveGuard, keys: Path
) -> None:
    (shown,) = kept(log)
    other, _ = make_keys(keys, "other-station")
    mistaken = CurveKeys.from_files(own=keys / "ada.key_secret", server=other)
    with FeedbackRouter(ANY_PORT, log, guard) as router:
        for curve in (None, mistaken):
            with (
                FeedbackClient(router.endpoint, curve=curve, timeout=0.2, tries=2) as client,
                pytest.raises((StationUnreachableError, ContractError)),
            ):
                client.send(feedback(shown.frame_id, 0))
    with log.reader() as reader:
        assert list(reader.feedback()) == []


def test_a_protected_socket_without_its_authenticator_lets_nobody_in(log: MentoringLog, keys: Path) -> None:
    (shown,) = kept(log)
    guard = CurveGuard(CurveSettings(secret_key=keys / "station.key_secret", clients=keys / "clients"))
    with (
        contextlib.closing(guard),
        FeedbackRouter(ANY_PORT, log, guard) as router,
        FeedbackClient(router.endpoint, curve=keys_of(keys, "ada"), timeout=0.2, tries=2) as client,
        pytest.raises((StationUnreachableError, ContractError)),
    ):
        client.send(feedback(shown.frame_id, 0))


def test_a_key_taken_away_stops_a_live_connection_and_a_new_one_needs_no_restart(
    log: MentoringLog, guard: CurveGuard, keys: Path
) -> None:
    (shown,) = kept(log)
    with FeedbackRouter(ANY_PORT, log, guard) as router:
        with FeedbackClient(router.endpoint, curve=keys_of(keys, "ada")) as client:
            client.send(feedback(shown.frame_id, 0))
            (keys / "clients" / "ada.key").unlink()
            with pytest.raises(ContractError) as caught:
                client.send(feedback(shown.frame_id, 1))
            assert caught.value.reason is Reason.UNAUTHENTICATED
        (keys / "clients" / "bob.key").write_bytes((keys / "eve.key").read_bytes())
        with FeedbackClient(router.endpoint, curve=keys_of(keys, "eve")) as client:
            client.send(feedback(shown.frame_id, 1))
    with log.reader() as reader:
        assert [event.operator for event in reader.feedback()] == ["ada", "bob"]


def test_a_damaged_key_file_keeps_the_known_operators_working(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing(keys / "clients")
    ada = read_key_file(keys / "ada.key")[0]
    assert ring.operator_of(ada) == "ada"
    (keys / "clients" / "zoe.key").write_text("half a fi")
    with caplog.at_level(logging.ERROR):
        assert ring.operator_of(ada) == "ada"
    assert "cannot be read anew" in caplog.text


def test_keys_that_are_none_are_refused_at_the_start(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no key file"):
        CurveGuard(CurveSettings(secret_key=tmp_path / "nothing.key_secret", clients=keys / "clients"))
    with pytest.raises(ValueError, match="no secret key"):
        CurveGuard(CurveSettings(secret_key=keys / "station.key", clients=keys / "clients"))
    with pytest.raises(FileNotFoundError, match="no folder"):
        CurveGuard(CurveSettings(secret_key=keys / "station.key_secret", clients=tmp_path / "nobody"))
    (keys / "clients" / "twin.key").write_bytes((keys / "ada.key").read_bytes())
    with pytest.raises(ValueError, match="hold the same key"):
        KeyRing(keys / "clients")


def test_a_socket_of_another_context_is_not_protected_in_vain(guard: CurveGuard) -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.PUB) as socket_elsewhere,
        pytest.raises(ValueError, match="another context"),
    ):
        guard.protect(socket_elsewhere)


def test_secret_keys_are_for_their_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path, "ada")
    assert secret.stat().st_mode & 0o077 == 0
    assert read_key_file(public)[1] is None
    assert "secret" not in repr(CurveKeys.from_files(own=secret, server=public)).replace("secret_key", "")
    before = secret.read_bytes()
    with pytest.raises(FileExistsError):
        make_keys(tmp_path, "ada")
    assert secret.read_bytes() == before
