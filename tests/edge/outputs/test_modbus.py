"""The Modbus TCP server, asked by a Modbus client of another make than ours over loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient
from support.outputs import Bench, output, until

from edge.inspection import Verdict
from edge.outputs import registers
from edge.outputs.contract import OutputState
from edge.outputs.signals import Status
from edge.outputs.thread import OutputThread


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def station(bench: Bench) -> Iterator[OutputThread]:
    with output(bench, "modbus", cameras=("top", "side"), verdict_seconds=2.0) as thread:
        yield thread


class Plc:
    """The PLC's side: blocks of registers, as a PLC's function blocks read and write them."""

    def __init__(self, address: str, camera: int = 0) -> None:
        host, _, port = address.rpartition(":")
        self.client = ModbusTcpClient(host, port=int(port), timeout=5)
        assert self.client.connect()
        self.base = camera * registers.BLOCK

    def __enter__(self) -> Plc:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def read(self) -> list[int]:
        answer = self.client.read_input_registers(self.base, count=registers.SHOWN)
        assert not answer.isError(), answer
        return answer.registers

    def status(self) -> Status:
        return Status(self.read()[registers.STATUS])

    def write(self, at: int, values: list[int]) -> None:
        answer = self.client.write_registers(self.base + at, values)
        assert not answer.isError(), answer

    def trigger(self, sequence: int, part_id: str = "") -> None:
        self.write(registers.TRIGGER_SEQUENCE, [sequence, 0, *registers.packed(part_id, 16)])

    def ready(self) -> int:
        until(lambda: Status.READY in self.status())
        return self.read()[registers.NEXT_SEQUENCE]

    def result(self) -> list[int]:
        until(lambda: Status.RESULT_VALID in self.status())
        return self.read()


def test_parts_one_after_the_other(station: OutputThread, bench: Bench) -> None:
    with Plc(station.address) as plc:
        number = plc.ready()
        for part, bit, verdict in (("GOOD-1", Status.PASS, 1), ("BAD-2", Status.REJECT, 2), ("LOST-3", None, 3)):
            plc.trigger(number, part)
            found = plc.result()
            assert found[registers.RESULT_SEQUENCE] == found[registers.ACCEPTED_SEQUENCE] == number
            assert found[registers.VERDICT] == verdict
            assert registers.unpacked(found[registers.RESULT_PART_ID :]) == part
            assert Status(found[registers.STATUS]) == Status.ONLINE | Status.RESULT_VALID | (bit or Status.NO_VERDICT)
            assert found[registers.REASON] == (6 if bit is None else 0)  # CAMERA_LOST
            plc.write(registers.ACK_SEQUENCE, [number])
            number = plc.ready()
        counts = dict(zip(registers.COUNTED, plc.read()[registers.COUNTS :], strict=False))
    assert counts == {**dict.fromkeys(registers.COUNTED, 0), "triggers": 3, "passed": 1, "rejected": 1, "no_verdict": 1}
    assert bench.parts == ["GOOD-1", "BAD-2", "LOST-3"]


def test_the_mirror_shows_the_same_as_the_input_registers_and_cannot_be_written(station: OutputThread) -> None:
    with Plc(station.address) as plc:
        number = plc.ready()
        plc.trigger(number, "GOOD")
        plc.result()
        mirror = plc.client.read_holding_registers(registers.MIRROR, count=registers.SHOWN).registers
        shown = plc.read()
        beat = registers.HEARTBEAT
        assert mirror[:beat] + mirror[beat + 1 :] == shown[:beat] + shown[beat + 1 :]
        # Read and write in one request, as some PLCs do: the answer is of after the write.
        both = plc.client.readwrite_registers(
            read_address=registers.MIRROR, read_count=3, write_address=registers.ACK_SEQUENCE, values=[number]
        )
        assert both.registers == [int(Status.ONLINE | Status.READY), number, 0]
        assert plc.client.write_register(registers.MIRROR, 1).isError()
        assert plc.client.write_coil(0, True).isError()
        assert plc.client.read_holding_registers(30, count=1).isError()
        assert plc.client.read_input_registers(2 * registers.BLOCK, count=1).isError()


def test_each_camera_has_its_own_block(station: OutputThread, bench: Bench) -> None:
    with Plc(station.address) as top, Plc(station.address, camera=1) as side:
        first, second = top.ready(), side.ready()
        bench.hold()
        side.trigger(second, "BAD-S")
        top.trigger(first, "GOOD-T")
        assert Status.BUSY in top.status()
        bench.let_go()
        assert top.result()[registers.VERDICT] == 1
        assert side.result()[registers.VERDICT] == 2


def test_what_takes_too_long_is_no_verdict_when_its_time_is_over(bench: Bench) -> None:
    with output(bench, "modbus", verdict_seconds=0.3) as station, Plc(station.address) as plc:
        number = plc.ready()
        bench.hold()
        plc.trigger(number)
        found = plc.result()
        assert (found[registers.VERDICT], found[registers.REASON]) == (3, 3)
        bench.let_go()
        plc.write(registers.ACK_SEQUENCE, [number])
        assert plc.ready() == number + 1


def test_the_heartbeat_beats_and_ready_goes_when_the_camera_goes(station: OutputThread, bench: Bench) -> None:
    with Plc(station.address) as plc:
        plc.ready()
        first = plc.read()[registers.HEARTBEAT]
        until(lambda: plc.read()[registers.HEARTBEAT] not in (first, first + 1))
        bench.why_not = "camera top is lost"
        until(lambda: Status.READY not in plc.status())
        assert Status.ONLINE in plc.status()


def test_following_shows_every_inspection_with_its_number(bench: Bench) -> None:
    with output(bench, "modbus", mode="following", cameras=("top", "left")) as station, Plc(station.address) as plc:
        first = plc.read()[registers.NEXT_SEQUENCE]
        for place, verdict in enumerate((Verdict.PASS, Verdict.REJECT, Verdict.NO_VERDICT)):
            bench.publish(verdict, part_id=f"P-{place}")
            wanted = registers.unpacked(registers.packed(f"P-{place}", 16))
            until(lambda wanted=wanted: registers.unpacked(plc.read()[registers.RESULT_PART_ID :]) == wanted)
            found = plc.read()
            assert found[registers.RESULT_SEQUENCE] == (first + place - 1) % 65535 + 1
            assert found[registers.VERDICT] == place + 1
            assert Status.FOLLOWING in Status(found[registers.STATUS])
        bench.publish(Verdict.PASS, age_ns=60_000_000_000)
        until(lambda: plc.read()[registers.REASON] == 3)
        with Plc(station.address, camera=1) as left:
            assert Status.RESULT_VALID not in left.status()


def test_connection_and_silence_are_told_once_a_change(
    station: OutputThread, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.outputs.modbus.SILENT_SECONDS", 1.0)
    bench.wait_state(OutputState.WAITING)
    with Plc(station.address) as plc:
        plc.read()
        bench.wait_state(OutputState.CONNECTED)
    bench.wait_state(OutputState.WAITING)
    with Plc(station.address) as plc:
        plc.read()
        bench.wait_state(OutputState.CONNECTED)
    assert bench.states.empty()


def test_a_plc_that_hangs_in_the_middle_of_a_request_hinders_nobody(station: OutputThread, bench: Bench) -> None:
    host, _, port = station.address.rpartition(":")
    with socket.create_connection((host, int(port))) as hanging:
        hanging.sendall(bytes.fromhex("0001 0000 0006 01"))  # half a request, and then nothing
        with Plc(station.address) as plc:
            number = plc.ready()
            plc.trigger(number, "GOOD")
            assert plc.result()[registers.VERDICT] == 1
        with socket.create_connection((host, int(port))) as noisy:
            noisy.sendall(b"GET / HTTP/1.0\r\n\r\n" * 50)
            with Plc(station.address) as plc:
                assert plc.result()[registers.RESULT_SEQUENCE] == number


def test_an_address_that_is_taken_is_said_so(station: OutputThread, bench: Bench) -> None:
    with (
        pytest.raises(OSError, match=r"\[outputs.modbus\] listen: .* cannot be had"),
        output(bench, "modbus", listen=station.address),
    ):
        pass


def test_stopping_waits_for_no_inspection(bench: Bench) -> None:
    with output(bench, "modbus", verdict_seconds=1.0) as station, Plc(station.address) as plc:
        bench.hold()
        plc.trigger(plc.ready())
        began = time.monotonic()
        station.close()
        assert time.monotonic() - began < 5
        assert station.channels[0].signals.reason == "DRAINING"
        assert station.channels[0].signals.verdict == 3


@given(st.text(max_size=40))
def test_text_in_registers_comes_back_as_ascii(text: str) -> None:
    packed = registers.packed(text, 16)
    assert len(packed) == 16
    assert all(0 <= register <= 0xFFFF for register in packed)
    back = registers.unpacked(packed)
    assert back.isascii()
    assert len(back) <= 32
    if text.isascii() and text.isprintable():
        assert back == text[:32].strip()
