"""All outputs of a station as one part: made from the configuration, started and stopped together."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Mapping
from types import TracebackType

from edge.events import EventBus
from edge.outputs.channel import Channel, Inspect
from edge.outputs.contract import Output
from edge.outputs.handshake import LAST_SEQUENCE
from edge.outputs.settings import ModbusSettings, MqttSettings, OpcuaSettings, OutputSettings, OutputsSettings
from edge.outputs.thread import OnState, OutputThread

Able = Callable[[str, bool], str]
"""Of a camera and whether this output triggers it: why there can be no result now; empty: there can. Never waits."""


def make_output(settings: OutputSettings) -> Output:
    """The protocol for a section; loads its library.

    Raises:
        MissingPackageError: it is not installed; says which extra has it.
    """
    match settings:
        case OpcuaSettings():
            from edge.outputs.opcua import OpcuaOutput

            return OpcuaOutput(settings)
        case ModbusSettings():
            from edge.outputs.modbus import ModbusOutput

            return ModbusOutput(settings)
        case MqttSettings():
            from edge.outputs.mqtt import MqttOutput

            return MqttOutput(settings)
    raise TypeError(f"no output for {type(settings).__name__}")


def check(settings: OutputsSettings) -> tuple[str, ...]:
    """Whether every output could be made: libraries, certificates, passwords; nothing is started.

    Returns:
        Names of the outputs.

    Raises:
        ValueError, OSError: one could not; says why.
    """
    return tuple(make_output(section).name for section in _sections(settings))


def _sections(settings: OutputsSettings) -> list[OutputSettings]:
    sections = (getattr(settings, name) for name in OutputsSettings.model_fields)
    return [section for section in sections if section is not None]


class Outputs:
    """A context manager: entering starts every output of the configuration, leaving stops them.

    Args:
        station: its name.
        settings: of the sections.
        triggers: of the station's own cameras, by name, in their order.
        able: why there can be no result of this camera now; empty: there can.
        bus: what happens at the station.
        on_state: told an output's name, its state and why, once a change.

    Raises:
        MissingPackageError: an output's library is not installed.
    """

    def __init__(
        self,
        *,
        station: str,
        settings: OutputsSettings,
        triggers: Mapping[str, Inspect],
        able: Able,
        bus: EventBus,
        on_state: OnState,
    ) -> None:
        boot = 1 + secrets.randbelow(LAST_SEQUENCE)
        self.threads: tuple[OutputThread, ...] = tuple(
            OutputThread(
                station=station,
                output=make_output(section),
                channels=_channels(section, triggers, able, boot),
                bus=bus,
                on_state=on_state,
            )
            for section in _sections(settings)
        )
        self._stack = contextlib.ExitStack()

    @property
    def addresses(self) -> dict[str, str]:
        """Where they listen, by name; known once entered. Empty text: it calls others."""
        return {thread.name: thread.address for thread in self.threads}

    def __enter__(self) -> Outputs:
        """Starts them.

        Raises:
            OSError: an address cannot be had.
        """
        with contextlib.ExitStack() as stack:
            for thread in self.threads:
                stack.enter_context(thread)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self.threads:
            thread.begin_to_close()
        self._stack.close()


def _channels(settings: OutputSettings, triggers: Mapping[str, Inspect], able: Able, boot: int) -> list[Channel]:
    return [
        Channel(
            camera=camera,
            index=index,
            rules=settings.rules,
            boot=boot,
            # Not 1: a number of the last run that comes now must not look like the next one.
            first=1 + secrets.randbelow(LAST_SEQUENCE),
            inspect=triggers[camera] if settings.mode == "triggered" else None,
            able=functools.partial(able, camera, settings.mode == "triggered"),
        )
        for index, camera in enumerate(settings.chosen(tuple(triggers)))
    ]
