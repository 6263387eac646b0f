"""The MQTT client against a real broker, and another client beside it that stands for the PLC's gateway."""

from __future__ import annotations

import datetime
import ipaddress
import json
import queue
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from support.broker import Broker, free_port
from support.outputs import SECONDS, Bench, outputs, until

from edge.inspection import Verdict
from edge.outputs.contract import OutputState
from edge.outputs.handshake import Acknowledge, Trigger
from edge.outputs.messages import BadMessageError, read_ack, read_trigger
from edge.outputs.settings import OutputsSettings

STATION = "lineside/line-1"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def settings(port: int, **keys: object) -> OutputsSettings:
    values = {"port": port, "keepalive_seconds": 1, "verdict_seconds": 60.0, "ack_seconds": 60.0, **keys}
    return OutputsSettings.model_validate({"mqtt": values})


class Gateway:
    """A client that remembers the newest of every topic."""

    def __init__(self, port: int, name: str = "gateway", username: str = "", password: str = "") -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        if username:
            self.client.username_pw_set(username, password)
        self.latest: dict[str, bytes] = {}
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()
        self.retained: dict[str, bool] = {}
        self.client.on_message = self._take
        self.client.on_connect = lambda *_: self.client.subscribe(f"{STATION}/#", qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _take(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        self.latest[message.topic] = message.payload
        self.retained[message.topic] = message.retain
        if message.topic.endswith("/result"):
            self.results.put(json.loads(message.payload))

    def state(self, camera: str = "top") -> dict[str, Any]:
        payload = self.latest.get(f"{STATION}/{camera}/state")
        return {} if payload is None else json.loads(payload)

    def status(self) -> bytes:
        return self.latest.get(f"{STATION}/status", b"")

    def send(self, what: str, values: object, *, retain: bool = False) -> None:
        payload = values if isinstance(values, bytes) else json.dumps(values)
        self.client.publish(f"{STATION}/top/{what}", payload, qos=1, retain=retain).wait_for_publish(SECONDS)

    def result(self) -> dict[str, Any]:
        return self.results.get(timeout=SECONDS)

    def ready(self) -> int:
        until(lambda: self.state().get("ready") is True)
        return int(self.state()["next_sequence"])

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_parts_one_after_the_other(broker: Broker) -> None:
    bench = Bench()
    with outputs(bench, settings(broker.port)), Gateway(broker.port) as plc:
        number = plc.ready()
        assert plc.status() == b"online"
        for part, verdict, reason in (("GOOD-1", "PASS", ""), ("BAD-2", "REJECT", "recipe default: 1 found")):
            plc.send("trigger", {"sequence": number, "part_id": part})
            plc.send("trigger", {"sequence": number, "part_id": part})  # as QoS 1 may
            result = plc.result()
            assert (result["sequence"], result["verdict"], result["reason"]) == (number, verdict, reason)
            assert (result["part_id"], result["boot"]) == (part, plc.state()["boot"])
            until(lambda: plc.state()["result_valid"])
            assert plc.state()["result_sequence"] == number
            plc.send("ack", {"sequence": number})
            until(lambda: not plc.state()["result_valid"])
            number = plc.ready()
        assert plc.state()["counts"] == {**plc.state()["counts"], "triggers": 2, "passed": 1, "rejected": 1}
        assert plc.results.empty()
        assert bench.parts == ["GOOD-1", "BAD-2"]
        # Whoever comes later finds the state, and no verdict.
        with Gateway(broker.port, "late") as late:
            assert late.ready() == number
            assert late.retained[f"{STATION}/top/state"]
            assert not any(topic.endswith("/result") for topic in late.latest)
            assert b"PASS" not in b"".join(late.latest.values())
    with Gateway(broker.port, "afterwards") as afterwards:
        until(lambda: afterwards.status() == b"offline")


def test_retained_and_broken_messages_are_ignored_and_scolded_once(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    with Gateway(broker.port) as plc:
        plc.send("trigger", {"sequence": 5}, retain=True)
        with outputs(bench, settings(broker.port)):
            number = plc.ready()
            for payload in (b"", b"[]", b"nonsense", b'{"sequence":true}', b'{"sequence":65536}', b"[" * 4000):
                plc.send("trigger", payload)
                plc.send("ack", payload)
            plc.send("trigger", {"sequence": number, "part_id": "GOOD"})
            assert plc.result()["sequence"] == number
        plc.send("trigger", b"", retain=True)  # the broker forgets it
    assert bench.parts == ["GOOD"]
    ignored = [record.message for record in caplog.records if "is ignored" in record.message]
    assert len(ignored) == 2
    assert "it is retained" in ignored[0]


def test_following_publishes_every_inspection(broker: Broker) -> None:
    bench = Bench()
    with outputs(bench, settings(broker.port, mode="following")), Gateway(broker.port) as plc:
        until(lambda: plc.state().get("following") is True)
        first = plc.state()["next_sequence"]
        until(lambda: not plc.state()["ready"])
        for place in range(50):
            bench.publish(Verdict.PASS if place % 2 else Verdict.REJECT, part_id=f"P-{place}")
        results = [plc.result() for _ in range(50)]
        assert [result["part_id"] for result in results] == [f"P-{place}" for place in range(50)]
        assert [result["sequence"] for result in results] == [(first + place - 1) % 65535 + 1 for place in range(50)]


def test_a_broker_that_dies_is_told_once_and_found_again(tmp_path: Path) -> None:
    bench = Bench()
    broker = Broker(tmp_path)
    # It is not even there when the station starts.
    with outputs(bench, settings(broker.port)) as board:
        assert "broker at 127.0.0.1" in bench.wait_state(OutputState.LOST)
        broker.start()
        bench.wait_state(OutputState.CONNECTED)
        with Gateway(broker.port) as plc:
            number = plc.ready()
        broker.stop()
        bench.wait_state(OutputState.LOST)
        assert board.threads[0].channels[0].signals.next_sequence == number
        with broker:
            bench.wait_state(OutputState.CONNECTED)
            with Gateway(broker.port) as plc:
                assert plc.ready() == number
                plc.send("trigger", {"sequence": number, "part_id": "GOOD"})
                assert plc.result()["verdict"] == "PASS"
    told = [state for _, state, _ in bench.states.queue]
    assert told in ([], [OutputState.LOST])  # nothing, or that it went before the station did


def test_the_broker_says_that_a_station_is_gone_when_it_dies_without_a_word(broker: Broker) -> None:
    bench = Bench()
    with outputs(bench, settings(broker.port)) as board, Gateway(broker.port) as plc:
        plc.ready()
        # Another client with the station's name throws it out without a goodbye, as a dead link would.
        thief = paho.Client(CallbackAPIVersion.VERSION2, client_id="lineside-line-1", protocol=paho.MQTTv5)
        thief.connect("127.0.0.1", broker.port)
        thief.loop_start()
        until(lambda: plc.status() == b"offline")
        thief.disconnect()
        thief.loop_stop()
        until(lambda: plc.status() == b"online")
        assert board.threads[0].state is OutputState.CONNECTED


def test_a_broker_that_hangs_holds_up_neither_inspections_nor_the_stop(tmp_path: Path) -> None:
    bench = Bench()
    with Broker(tmp_path) as broker, outputs(bench, settings(broker.port)) as board:
        channel = board.threads[0].channels[0]
        with Gateway(broker.port) as plc:
            plc.ready()
        broker.freeze(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for _ in range(200):
                bench.publish(Verdict.PASS)
            assert time.monotonic() - began < 2
            began = time.monotonic()
            board.threads[0].close()
            assert time.monotonic() - began < 6
            assert channel.state.stopping
        finally:
            broker.freeze(signal.SIGCONT)


def test_with_a_password_only_who_knows_it_comes_in(tmp_path: Path) -> None:
    maker = shutil.which("mosquitto_passwd") or pytest.skip("mosquitto_passwd is not installed: apt install mosquitto")
    subprocess.run([maker, "-b", "-c", str(tmp_path / "users"), "station", "secret"], check=True, capture_output=True)
    (tmp_path / "right").write_text("secret\n")
    (tmp_path / "wrong").write_text("guess\n")
    with Broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path / 'users'}\n") as broker:
        for name, state in (("right", OutputState.CONNECTED), ("wrong", OutputState.LOST)):
            bench = Bench()
            with outputs(bench, settings(broker.port, username="station", password_file=tmp_path / name)):
                assert bench.states.get(timeout=SECONDS)[1] is state


def test_a_missing_password_file_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        outputs(Bench(), settings(free_port(), password_file=tmp_path / "nowhere")).__enter__()


@given(st.integers(0, 65535), st.text(max_size=256))
def test_messages_are_read_as_they_are_written(sequence: int, part_id: str) -> None:
    payload = json.dumps({"sequence": sequence, "part_id": part_id}).encode()
    if len(payload) <= 4096:
        assert read_trigger(payload) == Trigger(sequence=sequence, part_id=part_id)
    assert read_ack(payload[:0] + json.dumps({"sequence": sequence}).encode()) == Acknowledge(sequence=sequence)


@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.floats() | st.text(), st.lists).map(repr)))
def test_anything_else_is_refused_in_words(payload: bytes | str) -> None:
    data = payload.encode(errors="replace") if isinstance(payload, str) else payload
    for read in (read_trigger, read_ack):
        with pytest.raises(BadMessageError):
            read(data)


def make_authority(folder: Path) -> tuple[Path, Path, Path]:
    """A certificate authority, and a certificate with its key for 127.0.0.1, as PEM files."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def begin(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    signer, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        begin("authority", signer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = begin("broker", own).add_extension(address, critical=False).sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    contents = {
        "ca.pem": authority.public_bytes(pem),
        "broker.pem": server.public_bytes(pem),
        "broker.key": own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    folder.mkdir()
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return folder / "ca.pem", folder / "broker.pem", folder / "broker.key"


# The library leaves the socket of a failed TLS handshake to the garbage collector, which closes it at once.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_with_tls_only_a_broker_whose_certificate_is_trusted_is_spoken_to(tmp_path: Path) -> None:
    authority, certificate, key = make_authority(tmp_path / "right")
    stranger, _, _ = make_authority(tmp_path / "wrong")
    with Broker(tmp_path, f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n") as broker:
        for trusted, state in ((authority, OutputState.CONNECTED), (stranger, OutputState.LOST)):
            bench = Bench()
            with outputs(bench, settings(broker.port, tls=True, ca_file=trusted)):
                assert bench.states.get(timeout=SECONDS)[1] is state
