"""docs/line_outputs.md says what the code does, number for number."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from edge.outputs import registers
from edge.outputs.handshake import Counts
from edge.outputs.opcua_nodes import handshake_of, result_of
from edge.outputs.reasons import CODES
from edge.outputs.signals import Status

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "line_outputs.md").read_text(encoding="utf-8")
WRITTEN, SHOWN, BITS = (
    dict(re.findall(r"^\| (\d+)(?: to \d+)? \| ([A-Z_]+) \|$", part, flags=re.MULTILINE))
    for part in (
        TEXT.split("Holding registers the PLC writes")[1].split("Input registers")[0],
        TEXT.split("Input registers")[1].split("Bits of STATUS")[0],
        TEXT.split("Bits of STATUS")[1].split("## OPC UA")[0],
    )
)


def test_the_registers_are_those_of_the_table() -> None:
    assert len(WRITTEN) == 3
    assert len(SHOWN) == 11
    for table in (WRITTEN, SHOWN):
        assert {name: getattr(registers, name) for name in table.values()} == {
            name: int(at) for at, name in table.items()
        }
    assert f"to {registers.WRITTEN - 1} | PART_ID" in TEXT
    assert f"to {registers.SHOWN - 1} | RESULT_PART_ID" in TEXT
    assert f"to {registers.COUNTS + len(registers.COUNTED) - 1} | COUNTS" in TEXT
    assert f"from holding register {registers.MIRROR} on" in TEXT
    assert f"the second's at {registers.BLOCK}" in TEXT


def test_the_bits_are_those_of_the_table() -> None:
    assert {name: 1 << int(bit) for bit, name in BITS.items()} == {bit.name: bit.value for bit in Status}


def test_the_reasons_are_those_of_the_table() -> None:
    table = TEXT.split("## Reasons")[1].split("## Modbus")[0]
    told = {name: int(number) for number, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|$", table, flags=re.MULTILINE)}
    assert told == {name: number for name, number in CODES.items() if name}


def test_the_counters_and_their_order_are_those_of_the_code() -> None:
    names = [field.name for field in dataclasses.fields(Counts)]
    assert list(registers.COUNTED) == names
    assert ", ".join(names) in " ".join(TEXT.split())
    table = TEXT.split("## Counters")[1]
    assert all(re.search(rf"^\|.*\b{name}\b.*\|", table, flags=re.MULTILINE) for name in names)


def test_the_names_of_opc_ua_are_in_the_text() -> None:
    from edge.outputs.handshake import Mode, State
    from edge.outputs.signals import signals_of

    signals = signals_of(State(next=1), mode=Mode.TRIGGERED, boot=1)
    part = TEXT.split("## OPC UA")[1].split("## MQTT")[0]
    for name in [*handshake_of(signals), *result_of(signals), "TriggerSequence", "AckSequence", "Heartbeat"]:
        assert re.search(rf"\b{name}\b", part), name


def test_the_names_of_mqtt_are_in_the_text() -> None:
    import json

    from edge.inspection import Verdict
    from edge.outputs.handshake import Followed, Mode, Outcome, Rules, State, step
    from edge.outputs.messages import result_payload, state_payload
    from edge.outputs.signals import signals_of

    rules = Rules(mode=Mode.FOLLOWING, verdict_ns=1, ack_ns=1)
    state, _ = step(State(next=1), Followed(outcome=Outcome(verdict=Verdict.PASS)), 0, rules)
    signals = signals_of(state, mode=Mode.FOLLOWING, boot=1)
    for what, payload in (("state", state_payload(signals)), ("result", result_payload(signals))):
        row = next(line for line in TEXT.splitlines() if f"/{what}` | station" in line)
        assert row.split("|")[-2].strip() == ", ".join(json.loads(payload))
