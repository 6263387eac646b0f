"""Modbus TCP: the station is the server, the PLC reads and writes when its own cycle says so.

Registers are made from the handshake at the moment they are read, and writes reach it before they are answered; so a
PLC that reads after its write sees the effect, and one that reads a block in one request never sees half a change.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from edge.outputs import registers
from edge.outputs.channel import Channel
from edge.outputs.contract import MissingPackageError, Output, OutputState, Served
from edge.outputs.handshake import Acknowledge, Trigger
from edge.outputs.settings import ModbusSettings, address_of

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes

try:
    from pymodbus.constants import ExcCodes as _Codes
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice
except ImportError:
    raise MissingPackageError("modbus", "pymodbus") from None

logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0
"""Without a request for so long the PLC counts as gone."""
HEARTBEAT_SECONDS = 0.5
_LOOK_SECONDS = 0.5
_HOLDING_WRITES = (6, 16, 22, 23)
_READ_INPUT = 4
_BITS = (1, 2, 5, 15)


class ModbusOutput(Output):
    """A Modbus TCP server; every unit id is the station."""

    name = "modbus"

    def __init__(self, settings: ModbusSettings) -> None:
        self._settings = settings
        self._channels: tuple[Channel, ...] = ()
        self._last_request = -SILENT_SECONDS
        self._began = time.monotonic()

    async def serve(self, served: Served) -> None:
        """Listens until cancelled."""
        self._channels = tuple(served.channels)
        host, port = address_of(self._settings.listen)
        port = _free(host, port)
        server = ModbusTcpServer(self._device(), address=(host, port))
        if not await server.listen():
            raise _taken(self._settings.listen)
        try:
            served.report(OutputState.WAITING, "")
            served.listening(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            logger.info("Modbus TCP listens on %s", f"{host}:{port}")
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                silent = time.monotonic() - self._last_request > SILENT_SECONDS
                served.report(OutputState.WAITING if silent else OutputState.CONNECTED, "")
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]

    def _device(self) -> SimDevice:
        holding, inputs = [], []
        for index in range(len(self._channels)):
            base = index * registers.BLOCK
            holding.append(SimData(base, count=registers.WRITTEN, values=0, datatype=DataType.REGISTERS))
            holding.append(
                SimData(
                    base + registers.MIRROR,
                    count=registers.SHOWN,
                    values=0,
                    datatype=DataType.REGISTERS,
                    readonly=True,
                )
            )
            inputs.append(SimData(base, count=registers.SHOWN, values=0, datatype=DataType.REGISTERS))
        bits = [SimData(0, count=16, values=False, datatype=DataType.BITS, readonly=True)]
        return SimDevice(0, simdata=(bits, bits, holding, inputs), action=self._action)

    async def _action(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        written: list[Any] | None,
    ) -> ExcCodes | None:
        """Called by the library before it reads or writes: `current` begins at address `start` and is its memory.

        It may be called more than once for a request; every word of the handshake may be repeated.
        """
        self._last_request = time.monotonic()
        if function in _BITS:
            return _Codes.ILLEGAL_ADDRESS  # there are none: all is registers
        if written is not None and function in _HOLDING_WRITES:
            if any(not 0 <= value < 0x10000 for value in written):
                return _Codes.ILLEGAL_VALUE
            self._write(start, address, [int(value) for value in written], current)
        else:
            offset = 0 if function == _READ_INPUT else registers.MIRROR
            first, last = address // registers.BLOCK, (address + count - 1) // registers.BLOCK
            for channel in self._channels[first : last + 1]:
                at = channel.index * registers.BLOCK + offset - start
                current[at : at + registers.SHOWN] = registers.shown(channel.signals, self._heartbeat())
        return None

    def _write(self, start: int, address: int, written: list[int], current: list[int]) -> None:
        memory = list(current)
        memory[address - start : address - start + len(written)] = written
        for channel in self._channels:
            base = channel.index * registers.BLOCK
            touched = {at - base for at in range(address, address + len(written))}
            block = memory[base - start : base - start + registers.WRITTEN]
            # The acknowledgement first: one request may take the last result and ask for the next.
            if registers.ACK_SEQUENCE in touched:
                channel.deliver(Acknowledge(sequence=block[registers.ACK_SEQUENCE]))
            if registers.TRIGGER_SEQUENCE in touched:
                part_id = registers.unpacked(block[registers.PART_ID : registers.WRITTEN])
                channel.deliver(Trigger(sequence=block[registers.TRIGGER_SEQUENCE], part_id=part_id))

    def _heartbeat(self) -> int:
        return int((time.monotonic() - self._began) / HEARTBEAT_SECONDS)


def _free(host: str, port: int) -> int:
    """A port that can be had, because the library tells neither why one cannot nor which one 0 has become."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _taken(f"{host}:{port}", error.strerror or str(error)) from None


def _taken(address: str, why: str = "it is in use, or wrong") -> OSError:
    return OSError(f"[outputs.modbus] listen: {address} cannot be had ({why}); is another station running?")
