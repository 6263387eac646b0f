"""What the station decides, on ZeroMQ: by topic, numbered without holes, closed to strangers where there are keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
import zmq.auth

from edge.events import EventBus
from edge.stream.curve import CurveGuard, CurveSettings
from edge.stream.publisher import DetectionPublisher, StreamSettings
from lineside.v1 import inspection_pb2

ANYWHERE = StreamSettings(listen="tcp://127.0.0.1:0")
MILLISECONDS = 20_000


def about(camera: str) -> inspection_pb2.StationEvent:
    return inspection_pb2.StationEvent(inspection=inspection_pb2.InspectionResult(camera=camera, frame_id="f"))


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        yield made


def received(socket: zmq.Socket[bytes], milliseconds: int) -> bool:
    """Whether a message came; it is thrown away."""
    if not socket.poll(milliseconds):
        return False
    socket.recv_multipart()
    return True


def subscribed(socket: zmq.Socket[bytes], bus: EventBus, *, camera: str = "probe") -> None:
    """Waits until the subscription has reached the publisher: only then events are for us."""
    for _ in range(400):
        bus.publish(about(camera))
        if received(socket, 50):
            break
    while received(socket, 100):  # probes on their way
        pass
    socket.rcvtimeo = MILLISECONDS


def test_events_come_with_their_topic_in_order_and_the_bytes_watchers_get(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    bus = EventBus("boot")
    with DetectionPublisher(ANYWHERE, bus) as publisher, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"")
        socket.connect(publisher.endpoint)
        subscribed(socket, bus)
        first = bus.publish(about("top"))
        bus.publish(inspection_pb2.StationEvent(model={}))
        bus.publish(inspection_pb2.StationEvent(feedback={}))
        bus.publish(inspection_pb2.StationEvent(camera=inspection_pb2.CameraEvent(camera="top")))
        messages = [socket.recv_multipart() for _ in range(4)]
    assert [topic for topic, _ in messages] == [b"inspection.top", b"model", b"feedback", b"camera.top"]
    events = [inspection_pb2.StationEvent.FromString(data) for _, data in messages]
    assert [event.sequence for event in events] == list(range(first, first + 4))
    with bus.subscribe(from_sequence=first) as watcher:
        assert watcher.get(0) == events[0]


def test_a_subscriber_of_one_camera_gets_only_that(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    bus = EventBus("boot")
    with DetectionPublisher(ANYWHERE, bus) as publisher, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"inspection.a")
        socket.connect(publisher.endpoint)
        subscribed(socket, bus, camera="a")
        bus.publish(about("b"))
        wanted = bus.publish(about("a"))
        _, data = socket.recv_multipart()
    assert inspection_pb2.StationEvent.FromString(data).sequence == wanted


def test_stopping_sends_what_was_published_before(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    bus = EventBus("boot")
    publisher = DetectionPublisher(ANYWHERE, bus)
    with context.socket(zmq.SUB) as socket:
        with publisher:
            socket.subscribe(b"")
            socket.connect(publisher.endpoint)
            subscribed(socket, bus)
            sent = [bus.publish(about("top")) for _ in range(100)]
        publisher.close()
        got = [inspection_pb2.StationEvent.FromString(socket.recv_multipart()[1]).sequence for _ in sent]
    assert got == sent


def test_an_address_in_use_is_refused_in_one_line() -> None:
    bus = EventBus("boot")
    with (
        DetectionPublisher(ANYWHERE, bus) as first,
        pytest.raises(OSError, match="cannot be had"),
        DetectionPublisher(StreamSettings(listen=first.endpoint), bus),
    ):
        pass


def test_with_keys_the_known_subscribe_and_strangers_hear_nothing(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    clients, strangers = tmp_path / "clients", tmp_path / "strangers"
    for folder in (clients, strangers):
        folder.mkdir()
    zmq.auth.create_certificates(tmp_path, "station")
    zmq.auth.create_certificates(clients, "ada")
    zmq.auth.create_certificates(strangers, "eve")
    settings = CurveSettings(secret_key=tmp_path / "station.key_secret", clients=clients)
    bus = EventBus("boot")
    with CurveGuard(settings) as curve, DetectionPublisher(ANYWHERE, bus, curve) as publisher:
        sockets = {}
        for folder, name in ((clients, "ada"), (strangers, "eve")):
            socket = sockets[name] = context.socket(zmq.SUB)
            socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(folder / f"{name}.key_secret")
            socket.curve_serverkey = curve.public_key
            socket.subscribe(b"")
            socket.connect(publisher.endpoint)
        with sockets["ada"], sockets["eve"], context.socket(zmq.SUB) as plain:
            plain.subscribe(b"")
            plain.connect(publisher.endpoint)
            subscribed(sockets["ada"], bus)
            for _ in range(20):
                bus.publish(about("top"))
            for _ in range(20):
                sockets["ada"].recv_multipart()
            for deaf in (sockets["eve"], plain):
                with pytest.raises(zmq.Again):
                    deaf.recv_multipart(zmq.NOBLOCK)
