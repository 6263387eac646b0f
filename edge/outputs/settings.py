"""What a station's owner decides about PLCs and brokers: the sections [outputs.*] of station.toml."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge.frame import is_camera_name
from edge.outputs.handshake import Mode, Rules
from edge.settings import Settings

MOST_CAMERAS = 64
_PLAIN_TOPIC = re.compile(r"[^+#\x00]{1,128}")


class OutputSettings(Settings):
    """What every output has."""

    mode: Literal["triggered", "following"] = "triggered"
    """triggered: the PLC says when; following: every inspection of these cameras, whoever asked for it, is a result."""
    cameras: tuple[str, ...] = Field(default=(), max_length=MOST_CAMERAS)
    """In the order the PLC counts them. Empty: all of the station's own. Following may name cameras of line PCs."""
    verdict_seconds: float = Field(default=2.0, ge=0.01, le=600)
    """Longest time from the trigger, or from the picture, to a verdict; later ones are NO_VERDICT."""
    ack_seconds: float = Field(default=10.0, ge=0.1, le=3600)
    """How long a result is shown to a PLC that does not acknowledge it."""

    @field_validator("cameras")
    @classmethod
    def _are_names(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        for name in cameras:
            if not is_camera_name(name):
                raise ValueError(f"{name!r} is no camera name: use 1 to 64 letters, digits, '-', '_' or '.'")
            if cameras.count(name) > 1:
                raise ValueError(f"camera {name!r} is there twice")
        return cameras

    @property
    def rules(self) -> Rules:
        """For the handshake."""
        return Rules(
            mode=Mode(self.mode), verdict_ns=int(self.verdict_seconds * 1e9), ack_ns=int(self.ack_seconds * 1e9)
        )

    def chosen(self, station: Collection[str]) -> tuple[str, ...]:
        """The cameras in their order.

        Args:
            station: names of the station's own.

        Raises:
            ValueError: there is none, or one that cannot be triggered.
        """
        names = self.cameras or tuple(station)
        if not names:
            raise ValueError("the station has no [[cameras]], so name those of line PCs in `cameras`, mode following")
        for name in names:
            if self.mode == "triggered" and name not in station:
                there_are = ", ".join(station) or "none"
                raise ValueError(
                    f"camera {name!r} cannot be triggered: it is none of the station's own ({there_are}); "
                    'mode = "following" is for those of line PCs'
                )
        return names


def _port_of(listen: str) -> str:
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{listen!r} is no address: write HOST:PORT, as in 127.0.0.1:5020 or [::1]:5020")
    return listen


_Listen = Annotated[str, AfterValidator(_port_of)]


def address_of(listen: str) -> tuple[str, int]:
    """Host, without brackets, and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class ModbusSettings(OutputSettings):
    """Section [outputs.modbus]: the station is a Modbus TCP server. Modbus knows no login: a network of its own."""

    listen: _Listen = "127.0.0.1:5020"
    """HOST:PORT, port 0: any free one. The standard's own port 502 needs the right to open low ports."""


class OpcuaSettings(OutputSettings):
    """Section [outputs.opcua]: the station is an OPC UA server."""

    listen: _Listen = "127.0.0.1:4840"
    """HOST:PORT, port 0: any free one."""
    certificate: Path | None = None
    """DER or PEM. With it and `private_key` only signed and encrypted connections are taken (Basic256Sha256)."""
    private_key: Path | None = None
    """PEM, without a passphrase."""
    trusted: Path | None = None
    """Folder with the certificates of clients that may connect; needs `certificate`. Absent: any certificate."""
    keep_results: int = Field(default=100, ge=1, le=10000)
    """Latest results of each camera that GetResultById finds."""

    @model_validator(mode="after")
    def _certificate_is_whole(self) -> OpcuaSettings:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together: give both or none")
        if self.trusted is not None and self.certificate is None:
            raise ValueError("trusted needs certificate and private_key: without them nobody shows a certificate")
        return self


class MqttSettings(OutputSettings):
    """Section [outputs.mqtt]: the station is a client of a broker."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Of the broker."""
    port: int = Field(default=1883, ge=1, le=65535)
    """8883 is usual with TLS."""
    version: Literal["5", "3.1.1"] = "5"
    """Of MQTT. Before 5 a broker cannot be told when a result is too old to be delivered."""
    topic: str = "lineside"
    """First part of all topics; the station's name follows."""
    qos: Literal[0, 1, 2] = 1
    """Of everything that is published and subscribed. 0 may lose, 1 may repeat, 2 is slow; 1 fits the handshake."""
    username: str = ""
    password_file: Path | None = None
    """One line."""
    tls: bool = False
    """Encrypt, and check the broker's certificate."""
    ca_file: Path | None = None
    """Who signed the broker's certificate; absent: whom the system trusts."""
    client_certificate: Path | None = None
    client_key: Path | None = None
    keepalive_seconds: int = Field(default=5, ge=1, le=3600)
    """The broker declares the station offline after 1.5 times this without a word from it."""

    @field_validator("topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if not _PLAIN_TOPIC.fullmatch(topic) or topic.startswith(("/", "$")) or topic.endswith("/"):
            raise ValueError(f"{topic!r} is no topic: no '+', '#', and no '/' at its ends")
        return topic

    @model_validator(mode="after")
    def _is_whole(self) -> MqttSettings:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together: give both or none")
        if not self.tls and (self.ca_file is not None or self.client_certificate is not None):
            raise ValueError("ca_file, client_certificate and client_key need tls = true")
        return self


class OutputsSettings(Settings):
    """Sections [outputs.*]; each that is there is an output of its own, with its own handshake for every camera."""

    opcua: OpcuaSettings | None = None
    modbus: ModbusSettings | None = None
    mqtt: MqttSettings | None = None

    def check(self, cameras: Collection[str]) -> None:
        """Whether the outputs fit the station's cameras.

        Raises:
            ValueError: they do not; names the section.
        """
        for name in type(self).model_fields:
            settings: OutputSettings | None = getattr(self, name)
            if settings is not None:
                try:
                    settings.chosen(cameras)
                except ValueError as error:
                    raise ValueError(f"outputs.{name}: {error}") from None
