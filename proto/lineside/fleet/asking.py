"""What stations say of themselves, all asked at once; one that does not answer holds up nobody."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient
from lineside.fleet.inventory import Station, Tls
from lineside.reasons import ContractError
from lineside.v1 import model_pb2

AT_ONCE = 16
"""Stations asked at a time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of asking one station."""

    station: Station
    said: model_pb2.ListResponse | None
    """None: it did not answer."""
    trouble: str = ""
    """Why it did not, or why it is not believed."""
    skew_seconds: float | None = None
    """How far its clock is ahead of this machine's; None: it does not tell its time."""
    trip_seconds: float = 0.0
    """From question to answer; the skew is known to half of it, up and down."""


def open_client(station: Station, *, actor: str, timeout: float) -> ModelsClient:
    """A connection to a station; a context manager.

    Raises:
        ValueError: a key file cannot be read.
    """
    credentials = None if station.tls is None else _credentials(station.tls)
    return ModelsClient(station.address, credentials=credentials, timeout=timeout, actor=actor)


def ask(station: Station, client: ModelsClient) -> Answer:
    """Asks one station; raises nothing."""
    asked_at, began = time.time(), time.monotonic()
    try:
        said = client.standing()
    except (ContractError, StationUnreachableError) as error:
        return Answer(station=station, said=None, trouble=str(error))
    trip = time.monotonic() - began
    skew = None
    if said.station.unix_ns:
        skew = said.station.unix_ns / 1e9 - (asked_at + trip / 2)
    return Answer(station=station, said=said, trouble=stranger(station, said), skew_seconds=skew, trip_seconds=trip)


def ask_all(stations: Sequence[Station], *, timeout: float = 5.0, at_once: int = AT_ONCE) -> tuple[Answer, ...]:
    """Asks all of them, in their order.

    Args:
        stations: to ask.
        timeout: seconds for each answer.
        at_once: most at a time.
    """
    if not stations:
        return ()

    def one(station: Station) -> Answer:
        try:
            with open_client(station, actor="", timeout=timeout) as client:
                return ask(station, client)
        except ValueError as error:
            return Answer(station=station, said=None, trouble=str(error))

    with concurrent.futures.ThreadPoolExecutor(min(at_once, len(stations)), "fleet-ask") as pool:
        return tuple(pool.map(one, stations))


def stranger(station: Station, said: model_pb2.ListResponse) -> str:
    """Why an answer is not this station's; empty: it is. One too old to tell its name is believed."""
    name = said.station.name
    if not name or name == station.name:
        return ""
    return f"{station.address} answers as {name!r}, not {station.name!r}; correct the inventory or the station's name"


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_read(tls.ca), private_key=_read(tls.key), certificate_chain=_read(tls.certificate)
    )


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"tls: {path} cannot be read: {error.strerror}") from None
