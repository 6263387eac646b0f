"""What every output promises: it serves its channels on its own event loop until it is cancelled."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Callable, Sequence

from edge.outputs.channel import Channel


class OutputState(enum.IntEnum):
    """Numbers as in inspection.proto."""

    UNSPECIFIED = 0
    WAITING = 1
    """The station listens, and nobody has spoken for a while."""
    CONNECTED = 2
    LOST = 3
    """The other side cannot be reached; it is tried again."""


class OutputLostError(Exception):
    """The other side cannot be reached, or has gone; says what was tried. The output is started again after a while."""


class MissingPackageError(ValueError):
    """The configuration asks for an output whose library is not installed; says which extra has it."""

    def __init__(self, output: str, package: str) -> None:
        super().__init__(
            f"[outputs.{output}] needs the package {package}, which is not installed: pip install 'lineside[{output}]'"
        )


Report = Callable[[OutputState, str], None]
"""Told the present state and why; the same twice is no news. Any thread."""


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Served:
    """What an output is given each time it starts."""

    station: str
    channels: Sequence[Channel]
    report: Report
    listening: Callable[[str], None]
    """Told the address once it listens, or at once where it only calls others."""


class Output(abc.ABC):
    """A protocol. Its library is loaded when it is made."""

    name: str
    """Of the section: opcua, modbus, mqtt."""

    @abc.abstractmethod
    async def serve(self, served: Served) -> None:
        """Serves until cancelled.

        Raises:
            OSError: the address cannot be had; this ends the output for good if it never listened.
            OutputLostError: the other side has gone; it is called again.
        """
