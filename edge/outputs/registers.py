"""The Modbus register map, as numbers and back. Pure. docs/line_outputs.md has the same table for PLC programmers.

Each camera has a block of 100 registers: the first at 0, the second at 100, and so on. All numbers are unsigned.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.outputs.handshake import Counts
from edge.outputs.signals import Signals

BLOCK = 100
"""Registers from one camera to the next."""

# Holding registers the PLC writes, from the block's start.
TRIGGER_SEQUENCE = 0
ACK_SEQUENCE = 1
PART_ID = 2
PART_ID_REGISTERS = 16
WRITTEN = PART_ID + PART_ID_REGISTERS
"""So many are written by the PLC."""

MIRROR = 40
"""Where the input registers can also be read as holding registers, for PLCs that read no others."""

# Input registers, from the block's start, or from MIRROR.
STATUS = 0
ACCEPTED_SEQUENCE = 1
RESULT_SEQUENCE = 2
VERDICT = 3
REASON = 4
NEXT_SEQUENCE = 5
DETECTIONS = 6
HEARTBEAT = 7
BOOT = 8
COUNTS = 9
"""The first of eight, in the order of COUNTED; each wraps to 0 after 65535."""
COUNTED = ("triggers", "passed", "rejected", "no_verdict", "late", "refused", "skipped", "unacknowledged")
RESULT_PART_ID = 20
SHOWN = RESULT_PART_ID + PART_ID_REGISTERS
"""So many are shown by the station."""

_REGISTER = 0x10000


def shown(signals: Signals, heartbeat: int) -> list[int]:
    """The SHOWN input registers of a camera."""
    registers = [0] * SHOWN
    registers[STATUS] = int(signals.status)
    registers[ACCEPTED_SEQUENCE] = signals.accepted_sequence
    registers[RESULT_SEQUENCE] = signals.result_sequence
    registers[VERDICT] = int(signals.verdict)
    registers[REASON] = signals.reason_code
    registers[NEXT_SEQUENCE] = signals.next_sequence
    registers[DETECTIONS] = min(signals.detections, _REGISTER - 1)
    registers[HEARTBEAT] = heartbeat % _REGISTER
    registers[BOOT] = signals.boot
    registers[COUNTS : COUNTS + len(COUNTED)] = counts_of(signals.counts)
    registers[RESULT_PART_ID:SHOWN] = packed(signals.part_id, PART_ID_REGISTERS)
    return registers


def counts_of(counts: Counts) -> list[int]:
    """The counters as registers."""
    return [getattr(counts, name) % _REGISTER for name in COUNTED]


def packed(text: str, registers: int) -> list[int]:
    """Text as registers, two characters each, the first in the high byte; shortened or filled up with zeros.

    Characters outside ASCII become '?'.
    """
    data = text.encode("ascii", errors="replace")[: 2 * registers].ljust(2 * registers, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def unpacked(registers: Sequence[int]) -> str:
    """The text in registers, up to the first zero; what is no printable ASCII becomes '?', blanks at the ends go."""
    data = b"".join(register.to_bytes(2, "big") for register in registers).split(b"\0", 1)[0]
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data).strip()
