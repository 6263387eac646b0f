"""A daemon with a PLC, an OPC UA client and a broker on it; each of them goes wrong, and the line does not notice."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymodbus.client import ModbusTcpClient
from support.broker import Broker
from support.daemon import daemon
from support.packages import make_anchor_package, picture
from support.plc import Message, Plc, scan
from support.station import write_pictures

from edge.outputs import registers
from edge.outputs.handshake import Counts, Trigger
from edge.outputs.signals import Signals, Status, VerdictCode
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.package import Package
from lineside.v1 import inspection_pb2
from loop.station import StationProcess

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("outputs")]
SECONDS = 60.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_anchor_package(tmp_path_factory.mktemp("package") / "p")


def sections(folder: Path, **outputs: object) -> dict[str, object]:
    write_pictures(folder / "pictures", {"a.png": picture(0, 1), "b.png": b"torn", "c.png": picture(2, 3)})
    camera = {"name": "top", "kind": "folder", "folder": "pictures", "loop": True}
    return {
        "cameras": [camera],
        "panel": {"enabled": False},
        "metrics": {"listen": "127.0.0.1:0"},
        "outputs": {name: {"verdict_seconds": 30.0, **values} for name, values in outputs.items()},  # type: ignore[dict-item]
    }


def serve(process: StationProcess, package: Package) -> None:
    with ModelsClient(process.addresses.grpc) as models:
        models.push(package.folder)
        models.activate(package.digest)


def address(process: StationProcess, output: str) -> str:
    return str(json.loads((process.data_dir / "run.json").read_text())["outputs"][output])


def health(process: StationProcess, output: str) -> int:
    with grpc.insecure_channel(process.addresses.grpc) as channel:
        request = health_pb2.HealthCheckRequest(service=f"lineside.output.{output}")
        return health_pb2_grpc.HealthStub(channel).Check(request).status


class ModbusPlc:
    """The PLC program of support.plc on the registers of a real client."""

    def __init__(self, where: str) -> None:
        host, _, port = where.rpartition(":")
        self.client = ModbusTcpClient(host, port=int(port), timeout=10)
        assert self.client.connect()
        self.memory = Plc()

    def read(self) -> Signals:
        block = self.client.read_holding_registers(registers.MIRROR, count=registers.SHOWN).registers
        return Signals(
            status=Status(block[registers.STATUS]),
            next_sequence=block[registers.NEXT_SEQUENCE],
            accepted_sequence=block[registers.ACCEPTED_SEQUENCE],
            result_sequence=block[registers.RESULT_SEQUENCE],
            verdict=VerdictCode(block[registers.VERDICT]),
            reason="",
            reason_code=block[registers.REASON],
            part_id=registers.unpacked(block[registers.RESULT_PART_ID :]),
            detections=block[registers.DETECTIONS],
            frame_id="",
            model_digest="",
            judged_unix_ns=0,
            boot=block[registers.BOOT],
            counts=Counts(),
            why_not_ready="",
        )

    def send(self, message: Message) -> None:
        if isinstance(message, Trigger):
            # The part first: the number is what begins the inspection.
            values = registers.packed(message.part_id, registers.PART_ID_REGISTERS)
            self.client.write_registers(registers.PART_ID, values)
            self.client.write_register(registers.TRIGGER_SEQUENCE, message.sequence)
        else:
            self.client.write_register(registers.ACK_SEQUENCE, message.sequence)

    def inspect(self, part_id: str) -> Signals:
        """One part through the line; the signals that held its verdict."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            seen = self.read()
            result = scan(self.memory, seen, part=True, part_id=part_id)
            self.memory = result.plc
            for message in result.send:
                self.send(message)
            if result.verdict is not VerdictCode.NONE:
                assert result.verdict is seen.verdict
                return seen
            time.sleep(0.005)
        raise AssertionError(f"no verdict for {part_id}")

    def __enter__(self) -> ModbusPlc:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


def test_a_plc_gets_each_parts_own_verdict_and_no_old_one_after_the_station_has_started_anew(
    tmp_path: Path, package: Package
) -> None:
    config = sections(tmp_path, modbus={"listen": "127.0.0.1:0"})
    told: list[tuple[str, VerdictCode]] = []
    with daemon(tmp_path, config) as process:
        serve(process, package)
        with (
            InspectionClient(process.addresses.grpc) as client,
            client.watch(from_sequence=1) as events,
            ModbusPlc(address(process, "modbus")) as plc,
        ):
            for number in range(6):
                seen = plc.inspect(f"P-{number}")
                told.append((seen.part_id, seen.verdict))
                event = next(event for event in events if event.WhichOneof("event") == "inspection")
                # What the PLC was told is what the station decided about the picture taken for this part.
                assert event.inspection.part_id == seen.part_id
                assert event.inspection.verdict == int(seen.verdict)
                assert len(event.inspection.detections) == seen.detections
            first_boot = seen.boot
            # Whoever is connected is told on from another thread, a moment after the first word.
            until = time.monotonic() + SECONDS
            while health(process, "modbus") != health_pb2.HealthCheckResponse.SERVING:
                assert time.monotonic() < until
                time.sleep(0.05)
        with urllib.request.urlopen(f"http://{process.addresses.metrics}/metrics", timeout=SECONDS) as page:
            figures = page.read().decode()
        assert 'lineside_output_triggers_total{camera="top",output="modbus"} 6.0' in figures
        assert 'lineside_output_connected{output="modbus"} 1.0' in figures
        assert process.stop() == 0, process.tail()
    reject, none = VerdictCode.REJECT, VerdictCode.NO_VERDICT
    assert told == [(f"P-{number}", none if number % 3 == 1 else reject) for number in range(6)]
    with daemon(tmp_path, config) as process, ModbusPlc(address(process, "modbus")) as plc:
        # A number of before, as a PLC would send again that did not notice: it is answered, and not with a verdict.
        plc.send(Trigger(sequence=7, part_id="OLD"))
        seen = plc.read()
        assert seen.boot != first_boot
        assert (seen.result_sequence, seen.verdict, seen.reason_code) == (7, VerdictCode.NO_VERDICT, 1)
        assert plc.inspect("NEW").part_id == "NEW"
        assert process.stop() == 0, process.tail()


def test_no_plc_and_no_broker_can_hold_up_an_inspection(tmp_path: Path, package: Package, broker: Broker) -> None:
    config = sections(
        tmp_path,
        modbus={"listen": "127.0.0.1:0"},
        opcua={"listen": "127.0.0.1:0", "mode": "following", "cameras": ["grpc"]},
        mqtt={"port": broker.port, "keepalive_seconds": 1, "mode": "following", "cameras": ["grpc"]},
    )
    with daemon(tmp_path, config) as process:
        serve(process, package)
        with InspectionClient(process.addresses.grpc) as client, client.watch(from_sequence=1) as events:

            def inspect(count: int) -> float:
                """Seconds the slowest of so many took."""
                slowest = 0.0
                for _ in range(count):
                    began = time.monotonic()
                    assert client.inspect_pixels(picture(0, 1)).verdict == inspection_pb2.VERDICT_REJECT
                    slowest = max(slowest, time.monotonic() - began)
                return slowest

            inspect(10)
            host, _, port = address(process, "modbus").rpartition(":")
            opcua = address(process, "opcua").split("//")[1].split("/")[0].rpartition(":")
            with (
                socket.create_connection((host, int(port))) as hanging,
                socket.create_connection((opcua[0], int(opcua[2]))) as silent,
            ):
                hanging.sendall(b"\0\1\0\0\0\6\1")
                silent.sendall(b"HELF")
                broker.freeze(signal.SIGSTOP)
                # The broker is missed after at most 5 s; inspections go on before and afterwards.
                slowest, until = 0.0, time.monotonic() + 8
                while time.monotonic() < until:
                    slowest = max(slowest, inspect(1))
                    time.sleep(0.1)
                broker.freeze(signal.SIGCONT)
            assert slowest < 2.0
            # Told once that it went and once that it is back, at most 30 s later.
            assert _states(events, "mqtt", 3) == ["CONNECTED", "LOST", "CONNECTED"]
            assert health(process, "mqtt") == health_pb2.HealthCheckResponse.SERVING
        assert process.stop() == 0, process.tail()


def _states(events: Iterator[inspection_pb2.StationEvent], output: str, count: int) -> list[str]:
    """The first so many states of an output that watchers were told."""
    told = (event.output for event in events if event.WhichOneof("event") == "output" and event.output.output == output)
    return [
        inspection_pb2.OutputState.Name(event.state).removeprefix("OUTPUT_STATE_")
        for event in itertools.islice(told, count)
    ]
