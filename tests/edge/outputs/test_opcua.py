"""The OPC UA server, asked by an OPC UA client over loopback, by browse names as an engineer would find them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from support.outputs import SECONDS, Bench, output, until

from edge.outputs.contract import OutputState
from edge.outputs.handshake import Able, Mode, Rules, State, Trigger, step
from edge.outputs.opcua import NO_RESULT, NOT_READY, OK
from edge.outputs.opcua_nodes import NAMESPACE, automatic_state, handshake_of, job_id, result_of
from edge.outputs.signals import signals_of
from edge.outputs.thread import OutputThread


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def station(bench: Bench) -> Iterator[OutputThread]:
    """One for all tests: a server takes two seconds of processor time to build its address space."""
    with output(bench, "opcua", verdict_seconds=60.0) as thread:
        yield thread


class Plc:
    """An OPC UA client that knows the station's names."""

    def __init__(self, client: Client, index: int) -> None:
        self.client = client
        self.index = index

    def node(self, *path: str) -> Any:
        return self.client.nodes.objects.get_child([f"{self.index}:{name}" for name in ("Lineside", "top", *path)])

    async def read(self, *path: str) -> Any:
        return await (await self.node(*path)).read_value()

    async def write(self, name: str, value: object, kind: ua.VariantType = ua.VariantType.UInt16) -> None:
        await (await self.node("Handshake", name)).write_value(ua.DataValue(ua.Variant(value, kind)))

    async def call(self, place: tuple[str, ...], method: str, *arguments: ua.Variant) -> Any:
        return await (await self.node(*place)).call_method(f"{self.index}:{method}", *arguments)

    async def until(self, path: tuple[str, ...], value: object) -> None:
        async def look() -> None:
            while await self.read(*path) != value:
                await asyncio.sleep(0.05)

        await asyncio.wait_for(look(), SECONDS)

    async def start(self, part_id: str) -> tuple[str, int, int]:
        empty = ua.Variant("", ua.VariantType.String)
        part = ua.Variant(part_id, ua.VariantType.String)
        place = ("VisionStateMachine", "AutomaticModeStateMachine")
        job, sequence, error = await self.call(place, "StartSingleJob", empty, part, empty, empty)
        return job, sequence, error


def as_plc(station: OutputThread, what: Callable[[Plc], Awaitable[None]]) -> None:
    """Runs a PLC's part against the station."""

    async def connected() -> None:
        async with Client(station.address, timeout=SECONDS) as client:
            await what(Plc(client, await client.get_namespace_index(NAMESPACE)))

    asyncio.run(connected())


AUTOMATIC = ("VisionStateMachine", "AutomaticModeStateMachine")


def test_the_handshake_by_variables(station: OutputThread, bench: Bench) -> None:
    async def plc(plc: Plc) -> None:
        await plc.until(("Handshake", "Ready"), True)
        number = await plc.read("Handshake", "NextSequence")
        before = await plc.read("Counts", "Triggers")
        for part, verdict, text, state in (
            ("GOOD-1", 1, "PASS", 1),
            ("BAD-2", 2, "REJECT", 1),
            ("LOST-3", 3, "NO_VERDICT", 4),
        ):
            await plc.write("PartId", part, ua.VariantType.String)
            await plc.write("TriggerSequence", number)
            await plc.until(("Handshake", "ResultSequence"), number)
            await plc.until(("Handshake", "ResultValid"), True)
            assert await plc.read("ResultManagement", "Result", "Verdict") == verdict
            assert await plc.read("ResultManagement", "Result", "VerdictText") == text
            assert await plc.read("ResultManagement", "Result", "PartId") == part
            assert await plc.read("ResultManagement", "Result", "ResultState") == state
            await plc.write("AckSequence", number)
            await plc.until(("Handshake", "ResultValid"), False)
            assert await plc.read("ResultManagement", "Result", "Verdict") == 0
            number = await plc.read("Handshake", "NextSequence")
        assert await plc.read("Counts", "Triggers") == before + 3

    as_plc(station, plc)
    assert bench.parts[-3:] == ["GOOD-1", "BAD-2", "LOST-3"]


def test_jobs_by_methods_and_states_in_the_specifications_words(station: OutputThread, bench: Bench) -> None:
    async def plc(plc: Plc) -> None:
        await plc.until((*AUTOMATIC, "Number"), 6)
        assert (await plc.read(*AUTOMATIC, "CurrentState")).Text == "Ready"
        assert (await plc.read("VisionStateMachine", "CurrentState")).Text == "Operational"
        bench.hold()
        job, sequence, error = await plc.start("BAD-7")
        assert error == OK
        await plc.until((*AUTOMATIC, "Number"), 7)
        assert (await plc.read(*AUTOMATIC, "CurrentState")).Text == "SingleExecution"
        assert (await plc.start("BAD-8"))[2] == NOT_READY
        bench.let_go()
        await plc.until(("Handshake", "ResultValid"), True)
        result_id = await plc.read("ResultManagement", "Result", "ResultId")
        wrong = ua.Variant(sequence + 1, ua.VariantType.UInt16)
        assert await plc.call(("ResultManagement",), "AcknowledgeResults", wrong) == NO_RESULT
        right = ua.Variant(sequence, ua.VariantType.UInt16)
        assert await plc.call(("ResultManagement",), "AcknowledgeResults", right) == OK
        await plc.until((*AUTOMATIC, "Number"), 6)
        # It can still be asked for by its id, and says so with its job.
        found = await plc.call(("ResultManagement",), "GetResultById", ua.Variant(result_id, ua.VariantType.String))
        assert found[:4] == [job, "BAD-7", 1, 2]
        unknown = await plc.call(("ResultManagement",), "GetResultById", ua.Variant("?", ua.VariantType.String))
        assert unknown[-1] == NO_RESULT

    as_plc(station, plc)


def test_events_tell_of_jobs_and_results(station: OutputThread, bench: Bench) -> None:
    class Heard:
        def __init__(self) -> None:
            self.events: asyncio.Queue[Any] = asyncio.Queue()

        def event_notification(self, event: Any) -> None:
            self.events.put_nowait(event)

    async def plc(plc: Plc) -> None:
        heard = Heard()
        subscription = await plc.client.create_subscription(50, heard)
        types = [
            await plc.client.nodes.base_event_type.get_child(f"{plc.index}:{name}")
            for name in ("JobStartedEventType", "ResultReadyEventType")
        ]
        await subscription.subscribe_events(await plc.node(), types)
        await plc.until(("Handshake", "Ready"), True)
        job, sequence, _ = await plc.start("GOOD-9")
        started = await asyncio.wait_for(heard.events.get(), SECONDS)
        ready = await asyncio.wait_for(heard.events.get(), SECONDS)
        assert (started.JobId, started.Sequence) == (job, sequence)
        assert (ready.JobId, ready.Sequence, ready.VerdictText, ready.PartId) == (job, sequence, "PASS", "GOOD-9")
        await plc.write("AckSequence", sequence)
        await subscription.delete()

    as_plc(station, plc)


def test_the_states_of_the_specification_follow_from_the_handshake() -> None:
    rules = Rules(mode=Mode.TRIGGERED, verdict_ns=100, ack_ns=100)
    state, _ = step(State(next=7), Able(able=False, why="no model"), 0, rules)
    assert automatic_state(signals_of(state, mode=rules.mode, boot=1)) == ("Initialized", 5)
    state, _ = step(state, Able(able=True), 0, rules)
    assert automatic_state(signals_of(state, mode=rules.mode, boot=1)) == ("Ready", 6)
    state, _ = step(state, Trigger(sequence=7), 0, rules)
    signals = signals_of(state, mode=rules.mode, boot=3)
    assert automatic_state(signals) == ("SingleExecution", 7)
    assert job_id(signals) == "3-7"
    assert result_of(signals)["ResultState"] == 0
    assert automatic_state(signals_of(state, mode=Mode.FOLLOWING, boot=1)) == ("ContinuousExecution", 8)
    # Nothing but numbers and the handshake's own order: ResultValid is written last.
    assert list(handshake_of(signals))[-1] == "ResultValid"


def test_what_the_station_says_cannot_be_written(station: OutputThread) -> None:
    async def plc(plc: Plc) -> None:
        for name in ("ResultValid", "NextSequence", "Boot"):
            node = await plc.node("Handshake", name)
            with pytest.raises(ua.UaStatusCodeError):
                await node.write_value(await node.read_data_value())
        with pytest.raises(ua.UaStatusCodeError):
            await plc.write("TriggerSequence", "7", ua.VariantType.String)

    as_plc(station, plc)


def test_connection_is_told_once_a_change(station: OutputThread, bench: Bench) -> None:
    async def plc(plc: Plc) -> None:
        await asyncio.to_thread(bench.wait_state, OutputState.CONNECTED)

    until(lambda: station.state is OutputState.WAITING)
    while not bench.states.empty():
        bench.states.get()
    as_plc(station, plc)
    bench.wait_state(OutputState.WAITING)
    assert bench.states.empty()


def test_an_address_that_is_taken_is_said_so(station: OutputThread, bench: Bench) -> None:
    taken = station.address.split("//")[1].split("/")[0]
    with (
        pytest.raises(OSError, match=r"\[outputs.opcua\] listen: .* cannot be had"),
        output(bench, "opcua", listen=taken),
    ):
        pass


def make_certificate(folder: Path, name: str, uri: str) -> tuple[Path, Path]:
    """A self-signed one as OPC UA wants it: DER, and its key as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    names = [x509.UniformResourceIdentifier(uri), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.der", folder / f"{name}.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(pem, pkcs8, plain))
    return paths


def test_with_certificates_only_trusted_clients_come_in_and_nobody_in_the_clear(tmp_path: Path) -> None:
    bench = Bench()
    certificate, key = make_certificate(tmp_path / "station", "station", "urn:lineside:station")
    trusted, trusted_key = make_certificate(tmp_path / "trusted", "plc", "urn:plc")
    other, other_key = make_certificate(tmp_path / "other", "stranger", "urn:stranger")
    folder = tmp_path / "clients"
    folder.mkdir()
    (folder / "plc.der").write_bytes(trusted.read_bytes())
    keys = {"certificate": certificate, "private_key": key, "trusted": folder}

    async def connect(address: str, own: tuple[Path, Path] | None, uri: str) -> None:
        client = Client(address, timeout=SECONDS)
        client.application_uri = uri
        if own is not None:
            await client.set_security_string(f"Basic256Sha256,SignAndEncrypt,{own[0]},{own[1]},{certificate}")
        async with client:
            plc = Plc(client, await client.get_namespace_index(NAMESPACE))
            await plc.until(("Handshake", "Ready"), True)
            assert (await plc.start("GOOD"))[2] == OK

    with output(bench, "opcua", **keys) as station:
        asyncio.run(connect(station.address, (trusted, trusted_key), "urn:plc"))
        for own, uri in (((other, other_key), "urn:stranger"), (None, "urn:nobody")):
            with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
                asyncio.run(connect(station.address, own, uri))
    assert bench.parts == ["GOOD"]
